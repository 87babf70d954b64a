"""Deciding: from a request to a plan, before any work."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from vremove_cli import __version__
from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.affected_proposals import affected_prompts, check
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.model_fetch import fetch_progress
from vremove_cli.job.plan import Plan, digests_of_weights, fingerprint
from vremove_cli.job.request import Request, picture_of
from vremove_cli.job.task_graph import (
    AFFECTED,
    PLATE_SEGMENT,
    TRACK_SEGMENT,
    UNNAMED,
    Task,
    fill_tasks,
    is_affected,
    mask_tasks,
    segments_in,
    shot_info,
    tasks_with_reach,
    tracking_tasks,
    with_keys,
)  # fmt: skip
from vremove_cli.job.text_prompts import text_prompts
from vremove_cli.masks.io import MaskFile
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import choose_encoder
from vremove_cli.media.read import open_clip
from vremove_cli.media.streams import plan_streams
from vremove_cli.prompts import Prompt, frame_of, inside, parse_prompt, parse_when
from vremove_cli.removers import registry
from vremove_cli.removers.base import Remover
from vremove_cli.tracking import registry as tracker_registry
from vremove_cli.tracking.base import ObjectPrompts
from vremove_cli.tracking.registry import TrackerChoice
from vremove_cli.weights import store
from vremove_cli.weights.catalogue import catalogue, find
from vremove_cli.weights.store import Part


def make_plan(request: Request, emit: Emit, before: Plan | None = None, *, fetch: bool = True) -> Plan:
    """Scan the input and decide everything; raises a `VremoveError` for whatever cannot be done.

    A plan made `before` for the same input saves scanning it again. Weights that are not here are fetched if allowed.
    """
    prompts = parse_prompts(request)
    clip = _scanned(request, before, emit)
    notes = list(clip.notes)
    span = _range(request, clip)
    if request.text:
        prompts += text_prompts(request, clip, span, emit, fetch=fetch)
        shown = {p.name for p in prompts if p.positive}  # without the detector, not what a negative point is beside
        prompts = [p for p in prompts if p.name in shown]
    encode = choose_encoder(clip, request.output, request.wishes, notes)
    streams = plan_streams(clip, encode.container, drop=request.drop_streams, notes=notes)
    moved = _affected(request)
    remover, why = registry.resolve(request.remover)
    notes.append(f"remover: {remover} ({why})")
    maker = registry.make(remover, request.settings({}))
    if (request.affected or request.affected_by or moved) and not maker.spec.physics:
        raise UsageError(f"{remover} does not know what will move", "add --remover void, or leave that out")
    mask, effects, affected = (
        _given(path, clip, what, notes)
        for what, path in (
            ("mask", request.mask),
            ("effects", None if request.effects in ("auto", "off") else request.effects),
            ("affected", request.affected),
        )
    )
    clicks = _clicks([*prompts, *moved], clip, span)
    if request.affected_by:
        moved = affected_prompts(request, clip, span, clicks, mask, emit, fetch=fetch)
        clicks = _clicks([*prompts, *moved], clip, span)
    references = _references(request, clip, span, notes)
    digests = [fingerprint(i.path, i.files) for i in (clip, mask, effects, affected, *references.values()) if i]
    tracker = _tracker(request, notes, emit if fetch else None)
    weights = digests_of_weights(request)
    parts = _parts(request, maker.spec.models, emit if fetch else None)
    pieces = segments_in(span, clip, PLATE_SEGMENT)
    tasks = _tasks(request, clip, span, pieces, clicks, maker, notes)
    for text in notes:
        emit(Note(text))
    return Plan(
        request, __version__, " ".join(digests), clip, encode, streams, mask, effects, affected, references, tracker,
        weights, remover, parts, span, pieces, clicks,
        with_keys(tasks, request, clicks, digests, _made_with(tracker, weights, span), _which(parts, weights)),
        tuple(notes),
    )  # fmt: skip


def _given(path: str | None, clip: ClipInfo, what: str, notes: list[str]) -> ClipInfo | None:
    """A mask file of the user's, checked against the clip."""
    if not path:
        return None
    own = open_clip(path).info
    notes += MaskFile(own, clip, what=what).notes
    return own


def _tasks(
    request: Request, clip: ClipInfo, span: FrameRange, pieces: tuple[FrameRange, ...],
    clicks: dict[str, dict[int, ObjectPrompts]], maker: Remover, notes: list[str],
) -> tuple[Task, ...]:  # fmt: skip
    """All pieces of work, those that others need before them."""
    tasks = tracking_tasks(clicks, segments_in(span, clip, TRACK_SEGMENT), clip.cuts, notes)
    if request.mask:
        tasks = mask_tasks(pieces) + tasks
    if request.effects != "off":
        tasks += tasks_with_reach("effects", tasks, pieces, clip, span)
    plates = tasks_with_reach("plate", tasks, pieces, clip, span)
    fills = fill_tasks(maker.stages(shot_info(clip, span, pieces)), plates, whole=maker.spec.region == "frame")
    return (*tasks, *plates, *fills)


def _scanned(request: Request, before: Plan | None, emit: Emit) -> ClipInfo:
    if before is not None and before.request.input == request.input:
        same = before.request.skip_errors == request.skip_errors
        if same and before.fingerprint.split()[0] == fingerprint(before.clip.path, before.clip.files):
            return before.clip
    return open_clip(
        request.input, skip_errors=request.skip_errors, progress=lambda d, n: emit(Progress("scan", d, n))
    ).info


def parse_prompts(request: Request) -> list[Prompt]:
    prompts = [parse_prompt(p, "point") for p in request.points]
    prompts += [parse_prompt(p, "point", positive=False) for p in request.not_points]
    prompts += [parse_prompt(p, "box") for p in request.boxes]
    if taken := next((p.name for p in prompts if is_affected(p.name)), None):
        raise UsageError(f"an object is named '{taken}'", "give it another name: that is what will move is called")
    if request.text is not None and not request.text.strip(" ."):
        raise UsageError("--text is empty", 'say what to erase, as in --text "the dog"')
    if request.mask and (prompts or request.text):
        raise UsageError("a mask and points, boxes or a text were given", "use one or the other")
    if (request.pick or request.all_matches) and not request.text:
        raise UsageError("--pick and --all-matches choose among what --text finds", "add --text PHRASE")
    if not request.mask and not request.text and not any(p.positive for p in prompts):
        raise UsageError("nothing says what to erase", "add --point X,Y or --box X0,Y0,X1,Y1 or --mask FILE")
    names = {p.name for p in prompts} | ({""} if request.text else set())
    if names >= {"", UNNAMED}:
        raise UsageError(
            f"one object is named '{UNNAMED}' and one has no name, which are the same", "name each of them differently"
        )
    for name in names:
        if not any(p.positive for p in prompts if p.name == name) and not _found_by_text(request, name):
            raise UsageError(f"object '{name}' has only negative points", f"add --point {name}=X,Y")
    return prompts


def _found_by_text(request: Request, name: str) -> bool:
    """Whether an object of this name may be among what --text finds."""
    return bool(request.text) and (not name or name.startswith("match"))


def _affected(request: Request) -> list[Prompt]:
    """Prompts for what will move once the object is gone, under names of their own."""
    prompts = [parse_prompt(p, "point") for p in request.affected_points]
    prompts += [parse_prompt(p, "box") for p in request.affected_boxes]
    if prompts and request.affected:
        raise UsageError("a mask of what will move and points or boxes on it were given", "use one or the other")
    check(request)
    return [replace(p, name=f"{AFFECTED}.{p.name}" if p.name else AFFECTED) for p in prompts]


def _references(request: Request, clip: ClipInfo, span: FrameRange, notes: list[str]) -> dict[int, ClipInfo]:
    """Clean pictures by the frame they are for; without @WHEN, the first that is edited."""
    out: dict[int, ClipInfo] = {}
    for text in request.references:
        path, when = picture_of(text)
        picture = open_clip(path).info
        if picture.frames != 1:
            raise UsageError(f"the reference {path} has {picture.frames} frames", "give one picture: FILE.png@WHEN")
        frame = frame_of(parse_when(when), clip.times, clip.file_numbers) if when else span.start
        if frame in out or not span.start <= frame < span.stop:
            raise UsageError(f"the reference {text} is for a frame that is not edited or has one", "check WHEN")
        if picture.shown_size != clip.shown_size:
            notes.append(f"the reference {path} was scaled to the clip's size")
        out[frame] = picture
    return out


def _range(request: Request, clip: ClipInfo) -> FrameRange:
    start = frame_of(parse_when(request.start), clip.times, clip.file_numbers) if request.start else 0
    stop = _end(request.end, clip) if request.end else clip.frames
    if stop <= start:
        raise UsageError(f"the range {request.start}..{request.end} is empty", "give a --start before the --end")
    return FrameRange(start, stop)


def _end(text: str, clip: ClipInfo) -> int:
    """The first frame that is no longer edited: for a time, the first that starts at it or later."""
    when = parse_when(text)
    if when.unit == "frame" and when.value == clip.frames:
        return clip.frames
    if when.unit == "seconds":
        return next((t for t in range(clip.frames) if clip.times.seconds(t) >= when.value), clip.frames)
    return frame_of(when, clip.times, clip.file_numbers)


def _clicks(prompts: list[Prompt], clip: ClipInfo, span: FrameRange) -> dict[str, dict[int, ObjectPrompts]]:
    """Prompts by object and frame, in stored pixels."""
    out: dict[str, dict[int, ObjectPrompts]] = {}

    def frame_for(prompt: Prompt) -> int:
        """Where a prompt says, else the first frame; for a negative point, the frame its object is first pointed at."""
        if prompt.when is None and not prompt.positive:
            return min(frame_for(p) for p in prompts if p.positive and p.name == prompt.name)
        return span.start if prompt.when is None else frame_of(prompt.when, clip.times, clip.file_numbers)

    for prompt in prompts:
        inside(prompt, *clip.shown_size)
        frame = frame_for(prompt)
        if not span.start <= frame < span.stop:
            raise UsageError(f"the prompt {prompt} lies outside the range that is edited", "move --start or --end")
        had = out.setdefault(prompt.name, {}).get(frame, ObjectPrompts())
        out[prompt.name][frame] = _joined(had, prompt, clip)
    for name, by_frame in out.items():
        frame = min(by_frame)
        if not (by_frame[frame].points or by_frame[frame].boxes):
            raise UsageError(
                f"frame {frame} has a negative point and nothing says before it what the object is",
                f"add --point {name}{'=' if name else ''}@{frame}:X,Y on the object",
            )
    return out


def _joined(had: ObjectPrompts, prompt: Prompt, clip: ClipInfo) -> ObjectPrompts:
    def stored(x: float, y: float) -> tuple[float, float]:
        return clip.orientation.store_point(x, y, clip.width, clip.height)

    if not prompt.is_box:
        point = stored(*prompt.xy)
        if prompt.positive:
            return ObjectPrompts((*had.points, point), had.negative, had.boxes)
        return ObjectPrompts(had.points, (*had.negative, point), had.boxes)
    width, height = clip.shown_size
    x0, y0, x1, y1 = prompt.xy
    one = stored(x0, y0)
    two = stored(min(x1, width) - 1, min(y1, height) - 1)
    left, right = sorted((one[0], two[0]))
    top, bottom = sorted((one[1], two[1]))
    return ObjectPrompts(had.points, had.negative, (*had.boxes, (left, top, right + 1, bottom + 1)))


def same_tracker(plan: Plan, request: Request) -> bool:
    """Whether a job's tracker would be the same if it were decided now: its weights may have come or gone."""
    now = _tracker(request, [], None)
    return (now.name, now.every, now.part) == (plan.tracker.name, plan.tracker.every, plan.tracker.part)


def _tracker(request: Request, notes: list[str], emit: Emit | None) -> TrackerChoice:
    """The tracker; its weights are fetched if there is somebody to tell."""
    if request.mask and not (request.affected_points or request.affected_boxes or request.affected_by):
        return TrackerChoice("file", "a mask was given")
    models = catalogue(request.models)
    for name in request.own_weights:
        find(name, models)
    progress = fetch_progress(emit) if emit else None
    asked = "flow" if request.static else request.tracker  # what stands still needs no network
    choice = tracker_registry.choose_tracker(
        asked, request.track_every, request.device, models, request.own_weights, request.accept_license, progress
    )
    notes.append(f"tracker: {choice.name} ({choice.why})")
    return choice


def _parts(request: Request, names: tuple[str, ...], emit: Emit | None) -> tuple[Part, ...]:
    """The remover's models; they are fetched if there is somebody to tell."""
    models = catalogue(request.models)
    progress = fetch_progress(emit) if emit else None
    own = request.own_weights
    return tuple(store.part_of(find(n, models), own, request.accept_license, progress) for n in names)


def _which(parts: Iterable[Part | None], weights: dict[str, str]) -> list[Any]:
    """Which models a result depends on: their commits, or what is in the user's own."""
    return [[p.model.name, p.commit or weights.get(p.model.name, "")] for p in parts if p is not None]


def _made_with(tracker: TrackerChoice, weights: dict[str, str], span: FrameRange) -> list[Any]:
    """What the masks depend on besides the prompts."""
    few = min(tracker_registry.FEW, tracker_registry.frames_seen(tracker, span.length)) if tracker.part else 0
    return [tracker.name, tracker.every, few, *_which([tracker.part], weights)]
