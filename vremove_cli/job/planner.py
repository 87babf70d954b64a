"""The planner: from a request to a plan, before any work."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.affected_proposals import affected_prompts
from vremove_cli.job.choices import Ask
from vremove_cli.job.choosing import Chosen, Proposal, propose, settle, tracker_for
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.gpu_memory import memory_mode
from vremove_cli.job.key_masks import scan_key_masks
from vremove_cli.job.object_prompts import (
    PromptsByObject,
    affected_object_prompts,
    object_prompts,
    prompts_by_object,
)
from vremove_cli.job.output_paths import is_void_folder
from vremove_cli.job.plan import Plan, digests_of_weights, fingerprint, fingerprints_of, inputs_by_role
from vremove_cli.job.request import Request, split_reference
from vremove_cli.job.shot_cuts import cuts_of
from vremove_cli.job.stages.base import Provenance, with_keys
from vremove_cli.job.stages.kinds import STAGES
from vremove_cli.job.target import target_of
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
from vremove_cli.job.this_machine import runs_network
from vremove_cli.job.tool_versions import NAMES, versions_here
from vremove_cli.masks.io import MaskFile, check_shape
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.lost_side_data import lost_side_data
from vremove_cli.media.provenance import TRACKED, mark_of
from vremove_cli.media.read import open_clip
from vremove_cli.media.stream_plan import plan_streams
from vremove_cli.media.timecode import Timecode, offset_of
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.prompts import Prompt, frame_of, parse_when
from vremove_cli.removers import registry
from vremove_cli.removers.base import Remover
from vremove_cli.removers.common.vram_estimate import MemoryMode
from vremove_cli.tracking import registry as trackers
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights.store import Checkpoint


def make_plan(
    request: Request,
    emit: Emit,
    before: Plan | None = None,
    *,
    fetch: bool = True,
    ask: Ask | None = None,
    elsewhere: bool = False,
) -> Plan:
    """Scan the input and decide everything.

    Args:
        request: The request.
        emit: Gets notes and progress.
        before: A plan for the same input, which saves scanning it again.
        fetch: Whether missing weights may be fetched.
        ask: Asks the user whether to fetch what auto would take; None where nobody can be asked.
        elsewhere: Whether other machines run the job: this one need not have the device.

    Raises:
        VremoveError: The job cannot be done; the error says why and what to do.
    """
    prompts = object_prompts(request)
    clip = _scan(request, before, emit)
    clip = replace(clip, cuts=cuts_of(request.cuts, clip))
    notes = list(clip.notes)
    span = _span(request, clip)
    target = target_of(request, elsewhere=elsewhere)
    if request.text:
        prompts = _with_text_prompts(prompts, target.helper_request(request), clip, span, emit, fetch=fetch)
    encode = choose_encoder(clip, request.output, request.encoder_options, notes)
    notes += lost_side_data(clip, encode)
    streams = plan_streams(clip, encode, drop=request.drop_streams, notes=notes)
    moving = affected_object_prompts(request)
    moves = bool(request.affected_mask or request.affected_by or moving)
    ask = None if request.frozen else ask
    may_fetch = request.download == "auto" or (request.download == "ask" and fetch and ask is not None)
    may_move = moves or bool(request.quadmask)
    proposal = propose(request, clip, target, moves=may_move, fetches=may_fetch)
    spec = registry.spec_of(proposal.remover)
    _check_remover(request, proposal, moves=moves)
    mask = _user_mask(request.mask_file, clip, "mask", notes)
    effects = _user_mask(request.effects_file, clip, "effects", notes)
    affected_file = request.affected_mask or (request.quadmask if spec.physics else None)
    affected = _user_mask(affected_file, clip, "affected", notes)
    by_object = prompts_by_object([*prompts, *moving], clip, span)
    if request.affected_by:
        moving = affected_prompts(target.helper_request(request), clip, span, by_object, mask, emit, fetch=fetch)
        by_object = prompts_by_object([*prompts, *moving], clip, span)
    key_masks = scan_key_masks(by_object, clip, notes)
    references = _references(request, clip, span, notes)
    fingerprints = fingerprints_of(inputs_by_role(clip, mask, effects, affected, key_masks, references))
    weights = digests_of_weights(request)
    chosen = settle(request, clip, target, proposal, emit, ask, moves=may_move, fetch=fetch)
    _check_remover(request, chosen, moves=moves)
    notes += [str(choice) for choice in chosen.choices]
    remover, tracker, checkpoints = chosen.remover, chosen.tracker, chosen.checkpoints
    made = registry.make(remover, request.settings({c.model.name: c for c in checkpoints}))
    if made.spec.network or trackers.runs_network(tracker):
        notes += target.notes(request)
    memory = memory_mode(made, request, clip, target, notes)
    pieces = segments_in(span, clip, PLATE_SEGMENT)
    known = Provenance(
        prompts=by_object,
        fingerprints=fingerprints,
        cuts=clip.cuts,
        tracker=_tracker_facts(tracker, weights, span, target.arithmetic),
        remover=[
            remover,
            *_numbers(made, memory, target.arithmetic),
            *(weights[path] for path, _ in request.own_loras),
            *_model_facts(checkpoints, weights),
        ],
    )
    tasks = _tasks(request, clip, span, pieces, by_object, made, notes, conditional=chosen.conditional)
    tasks = with_keys(tasks, STAGES, request, known)
    for text in notes:
        emit(Note(text))
    return Plan(
        request=request,
        versions=versions_here((*NAMES, "sam2") if tracker.engine == "sam2" else NAMES),
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
        arithmetic=target.arithmetic,
        conditional=chosen.conditional,
        choices=chosen.choices,
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
    *,
    conditional: bool,
) -> tuple[Task, ...]:
    """Return all pieces of work, each after those that it needs."""
    tasks = tracking_tasks(prompts, segments_in(span, clip, TRACK_SEGMENT), clip.cuts, notes)
    if request.mask_file:
        tasks = mask_tasks(pieces) + tasks
    tasks += tasks_with_reach("background", tasks, pieces, clip, span)
    plates = tasks_with_reach("plate", tasks, pieces, clip, span)
    stages = remover.stages(shot_info(clip, span, pieces))
    # A condition is one for the whole connected group; one that paints chooses a region for each keyframe.
    alone = (remover.spec.region == "frame" and not conditional) or remover.spec.paints
    return (*tasks, *plates, *fill_tasks(stages, plates, whole_frame=alone))


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


def _check_remover(request: Request, chosen: Proposal | Chosen, *, moves: bool) -> None:
    """Raise `UsageError` for a remover that cannot do what is asked for."""
    name = chosen.remover
    if name == "plate" and request.recover == "off":
        raise UsageError("plate does nothing but recover", "leave out --recover off, or choose another --remover")
    if request.candidates > 1 and not registry.spec_of(name).paints:
        painters = " or ".join(n for n, spec in registry.specs().items() if spec.paints)
        raise UsageError(f"{name} paints no candidates", f"add --remover {painters}, or use --retry and --min-score")
    if request.retry and name == "plate":
        raise UsageError("plate makes the same fill each time", "leave out --retry, or choose another --remover")
    moves = moves or (bool(request.quadmask) and not is_void_folder(Path(request.input).parent))
    if moves and not registry.spec_of(name).physics:
        raise UsageError(f"{name} does not know what will move", "add --remover void, or leave that out")


def same_choices(plan: Plan, request: Request, *, elsewhere: bool = False) -> bool:
    """Return whether the tracker and the device would be the same if they were chosen now.

    Weights may have come or gone, and so may a GPU. The order of attention kernels holds on any GPU.
    """
    target = None
    if any(runs_network(plan, kind) for kind in {task.kind for task in plan.tasks}):
        target = target_of(request, elsewhere=elsewhere)
        now, then = target.arithmetic, plan.arithmetic
        if (now.device, now.dtype) != (then.device, then.dtype):
            return False
    return replace(tracker_for(request, target), why="") == replace(plan.tracker, why="")


def _numbers(remover: Remover, memory: MemoryMode, arithmetic: Arithmetic) -> list[Any]:
    """Return what a remover's results depend on of its arithmetic and its memory mode.

    They are equal whether weights are resident or not, and nearly equal in any order of attention kernels.
    """
    network = remover.spec.network
    how = [arithmetic.device, arithmetic.dtype_of(half=network.half)] if network else []
    return [memory.weights == "fp8", memory.tile, *how]


def _model_facts(checkpoints: Iterable[Checkpoint | None], weights: dict[str, str]) -> list[list[str]]:
    """Return models by name with their commits, or with the digest of the user's own file."""
    return [[p.model.name, p.commit or weights.get(p.model.name, "")] for p in checkpoints if p is not None]


def _tracker_facts(
    tracker: TrackerChoice, weights: dict[str, str], span: FrameRange, arithmetic: Arithmetic
) -> list[Any]:
    """Return what masks depend on besides the prompts."""
    few = min(trackers.FEW, trackers.frames_seen(tracker, span.length)) if tracker.checkpoint else 0
    how = [arithmetic.device, arithmetic.dtype] if trackers.runs_network(tracker) else []
    return [tracker.name, tracker.engine, tracker.every, few, *how, *_model_facts([tracker.checkpoint], weights)]
