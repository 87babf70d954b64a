"""The planner: from a request to a plan, before any work."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from vremove_cli import __version__
from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.affected_proposals import affected_prompts
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.gpu_memory import memory_mode
from vremove_cli.job.key_masks import scan_key_masks
from vremove_cli.job.model_fetch import fetch_progress
from vremove_cli.job.object_prompts import (
    PromptsByObject,
    affected_object_prompts,
    object_prompts,
    prompts_by_object,
)
from vremove_cli.job.plan import Plan, digests_of_weights, fingerprint, fingerprints_of, inputs_by_role
from vremove_cli.job.request import Request, split_reference
from vremove_cli.job.shot_cuts import cuts_of
from vremove_cli.job.stages.base import Provenance, with_keys
from vremove_cli.job.stages.kinds import STAGES
from vremove_cli.job.task_graph import (
    PLATE_SEGMENT,
    TRACK_SEGMENT,
    Task,
    fill_tasks,
    mask_tasks,
    segments_in,
    shot_info,
    tasks_with_reach,
    tracking_tasks,
)
from vremove_cli.job.text_prompts import text_prompts
from vremove_cli.masks.io import MaskFile, check_shape
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.lost_side_data import lost_side_data
from vremove_cli.media.provenance import TRACKED, mark_of
from vremove_cli.media.read import open_clip
from vremove_cli.media.stream_plan import plan_streams
from vremove_cli.media.timecode import Timecode, offset_of
from vremove_cli.prompts import Prompt, frame_of, parse_when
from vremove_cli.removers import registry
from vremove_cli.removers.base import Remover
from vremove_cli.removers.common.vram_estimate import MemoryMode
from vremove_cli.tracking import registry as trackers
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import catalogue, find
from vremove_cli.weights.store import Checkpoint


def make_plan(request: Request, emit: Emit, before: Plan | None = None, *, fetch: bool = True) -> Plan:
    """Scan the input and decide everything.

    Args:
        request: The request.
        emit: Gets notes and progress.
        before: A plan for the same input, which saves scanning it again.
        fetch: Whether missing weights may be fetched.

    Raises:
        VremoveError: The job cannot be done; the error says why and what to do.
    """
    prompts = object_prompts(request)
    clip = _scan(request, before, emit)
    clip = replace(clip, cuts=cuts_of(request.cuts, clip))
    notes = list(clip.notes)
    span = _span(request, clip)
    if request.text:
        prompts = _with_text_prompts(prompts, request, clip, span, emit, fetch=fetch)
    encode = choose_encoder(clip, request.output, request.encoder_options, notes)
    notes += lost_side_data(clip, encode)
    streams = plan_streams(clip, encode, drop=request.drop_streams, notes=notes)
    remover, reason = registry.resolve(request.remover)
    if remover == "plate" and request.recover == "off":
        raise UsageError("plate does nothing but recover", "leave out --recover off, or choose another --remover")
    notes.append(f"remover: {remover} ({reason})")
    settings = request.settings({})
    made = registry.make(remover, settings)
    moving = affected_object_prompts(request)
    if (request.affected_mask or request.affected_by or moving) and not made.spec.physics:
        raise UsageError(f"{remover} does not know what will move", "add --remover void, or leave that out")
    mask = _user_mask(request.mask_file, clip, "mask", notes)
    effects = _user_mask(request.effects_file, clip, "effects", notes)
    affected_file = request.affected_mask or (request.quadmask if made.spec.physics else None)
    affected = _user_mask(affected_file, clip, "affected", notes)
    by_object = prompts_by_object([*prompts, *moving], clip, span)
    if request.affected_by:
        moving = affected_prompts(request, clip, span, by_object, mask, emit, fetch=fetch)
        by_object = prompts_by_object([*prompts, *moving], clip, span)
    key_masks = scan_key_masks(by_object, clip, notes)
    references = _references(request, clip, span, notes)
    fingerprints = fingerprints_of(inputs_by_role(clip, mask, effects, affected, key_masks, references))
    tracker = tracker_for(request, notes, emit if fetch else None)
    weights = digests_of_weights(request)
    checkpoints = _checkpoints(request, made.spec.models_for(settings), emit if fetch else None)
    memory = _memory(request, remover, checkpoints, clip, notes)
    pieces = segments_in(span, clip, PLATE_SEGMENT)
    known = Provenance(
        prompts=by_object,
        fingerprints=fingerprints,
        cuts=clip.cuts,
        tracker=_tracker_facts(tracker, weights, span),
        remover=[
            remover,
            *_arithmetic(memory),
            *(weights[path] for path, _ in request.own_loras),
            *_model_facts(checkpoints, weights),
        ],
    )
    tasks = with_keys(_tasks(request, clip, span, pieces, by_object, made, notes), STAGES, request, known)
    for text in notes:
        emit(Note(text))
    return Plan(
        request=request,
        version=__version__,
        fingerprints=fingerprints,
        clip=clip,
        encode=encode,
        streams=tuple(streams),
        mask=mask,
        tracked=mask is None or mark_of(mask) == TRACKED,
        effects=effects,
        affected=affected,
        key_masks=key_masks,
        references=references,
        tracker=tracker,
        weights=weights,
        remover=remover,
        checkpoints=checkpoints,
        memory=memory,
        span=span,
        segments=pieces,
        prompts=by_object,
        tasks=tasks,
        notes=tuple(notes),
    )


def _with_text_prompts(
    prompts: list[Prompt], request: Request, clip: ClipInfo, span: FrameRange, emit: Emit, *, fetch: bool
) -> list[Prompt]:
    """Return the prompts with boxes for what --text names, without negative points of objects that were not found."""
    found = prompts + text_prompts(request, clip, span, emit, fetch=fetch)
    known = {p.name for p in found if p.positive}
    return [p for p in found if p.name in known]


def _user_mask(path: str | None, clip: ClipInfo, what: str, notes: list[str]) -> ClipInfo | None:
    """Return a scanned mask file of the user's, checked against the clip."""
    if not path:
        return None
    info = open_clip(path).info
    notes += MaskFile(info, clip, what=what).notes
    return info


def _tasks(
    request: Request,
    clip: ClipInfo,
    span: FrameRange,
    pieces: tuple[FrameRange, ...],
    prompts: PromptsByObject,
    remover: Remover,
    notes: list[str],
) -> tuple[Task, ...]:
    """Return all pieces of work, each after those that it needs."""
    tasks = tracking_tasks(prompts, segments_in(span, clip, TRACK_SEGMENT), clip.cuts, notes)
    if request.mask_file:
        tasks = mask_tasks(pieces) + tasks
    tasks += tasks_with_reach("background", tasks, pieces, clip, span)
    plates = tasks_with_reach("plate", tasks, pieces, clip, span)
    stages = remover.stages(shot_info(clip, span, pieces))
    return (*tasks, *plates, *fill_tasks(stages, plates, whole_frame=remover.spec.region == "frame"))


def _scan(request: Request, before: Plan | None, emit: Emit) -> ClipInfo:
    """Return the scanned clip, from a plan made before if the file is unchanged."""
    if before is not None and before.request.input == request.input:
        same = before.request.skip_errors == request.skip_errors
        same = same and before.request.cuts in ("auto", request.cuts)  # a plan holds the cuts that count
        if same and before.fingerprints["clip"] == fingerprint(before.clip.path, before.clip.files):
            return before.clip
    return open_clip(
        request.input, skip_errors=request.skip_errors, progress=lambda d, n: emit(Progress("scan", d, n))
    ).info


def _references(request: Request, clip: ClipInfo, span: FrameRange, notes: list[str]) -> dict[int, ClipInfo]:
    """Return clean pictures by the frame they are for: as written, else the first frame that is edited."""
    out: dict[int, ClipInfo] = {}
    for text in request.reference:
        path, when = split_reference(text)
        picture = open_clip(path).info
        if picture.frames != 1:
            raise UsageError(f"the reference {path} has {picture.frames} frames", "give one picture: FILE.png@WHEN")
        frame = frame_of(parse_when(when), clip) if when else span.start
        if frame in out or not span.holds(frame):
            raise UsageError(f"the reference {text} is for a frame that is not edited or has one", "check WHEN")
        check_shape(picture, clip, f"reference {path}")
        if picture.shown_size != clip.shown_size:
            notes.append(f"the reference {path} was scaled to the clip's size")
        out[frame] = picture
    return out


def _span(request: Request, clip: ClipInfo) -> FrameRange:
    """Return the frames that are edited."""
    start = frame_of(parse_when(request.start), clip) if request.start else 0
    stop = _end(request.end, clip) if request.end else clip.frames
    if stop <= start:
        raise UsageError(f"the range {request.start}..{request.end} is empty", "give a --start before the --end")
    return FrameRange(start, stop)


def _end(text: str, clip: ClipInfo) -> int:
    """Return the first frame that is not edited any more: for a time, the first frame that starts at it or later."""
    when = parse_when(text)
    if when.unit == "frame" and when.value == clip.frames:
        return clip.frames
    if isinstance(when.value, Timecode) and offset_of(when.value, clip.timecode, clip.times) == clip.frames:
        return clip.frames
    if (
        not isinstance(when.value, Timecode) and when.unit == "seconds" and when.value <= clip.times.end_seconds
    ):  # a later one is refused below
        return next((t for t in range(clip.frames) if clip.times.seconds(t) >= when.value), clip.frames)
    return frame_of(when, clip)


def same_tracker(plan: Plan, request: Request) -> bool:
    """Return whether the tracker would be the same if it were chosen now: its weights may have come or gone."""
    now = tracker_for(request, [], None)
    return replace(now, why="") == replace(plan.tracker, why="")


def tracker_for(request: Request, notes: list[str], emit: Emit | None) -> TrackerChoice:
    """Return the tracker; its weights are fetched only with `emit`."""
    if request.mask_file and not (request.affected_point or request.affected_box or request.affected_by):
        return trackers.with_engine(TrackerChoice("file", "a mask was given"), request.sam2_engine)
    models = catalogue(request.models)
    for name in request.own_weights:
        find(name, models)
    choice = trackers.choose_tracker(
        "flow" if request.static else request.tracker,  # what is fixed to the screen needs no network
        request.track_every,
        request.device,
        models,
        request.own_weights,
        request.accept_license,
        fetch_progress(emit) if emit else None,
    )
    choice = trackers.with_engine(choice, request.sam2_engine)
    notes.append(f"tracker: {choice.name} ({choice.why})")
    return choice


def _checkpoints(request: Request, names: tuple[str, ...], emit: Emit | None) -> tuple[Checkpoint, ...]:
    """Return the remover's models; they are fetched only with `emit`."""
    models = catalogue(request.models)
    progress = fetch_progress(emit) if emit else None
    own = request.own_weights
    return tuple(store.checkpoint_for(find(n, models), own, request.accept_license, progress) for n in names)


def _memory(
    request: Request, remover: str, checkpoints: tuple[Checkpoint, ...], clip: ClipInfo, notes: list[str]
) -> MemoryMode:
    """Return where the weights of the remover's networks are; a remover knows its sizes once it has its models."""
    made = registry.make(remover, request.settings({c.model.name: c for c in checkpoints}))
    return memory_mode(made, request, clip, notes)


def _arithmetic(memory: MemoryMode) -> list[Any]:
    """Return what results depend on of a memory mode: they are equal whether weights are resident or not."""
    return [memory.weights == "fp8", memory.tile]


def _model_facts(checkpoints: Iterable[Checkpoint | None], weights: dict[str, str]) -> list[list[str]]:
    """Return models by name with their commits, or with the digest of the user's own file."""
    return [[p.model.name, p.commit or weights.get(p.model.name, "")] for p in checkpoints if p is not None]


def _tracker_facts(tracker: TrackerChoice, weights: dict[str, str], span: FrameRange) -> list[Any]:
    """Return what masks depend on besides the prompts."""
    few = min(trackers.FEW, trackers.frames_seen(tracker, span.length)) if tracker.checkpoint else 0
    return [tracker.name, tracker.engine, tracker.every, few, *_model_facts([tracker.checkpoint], weights)]
