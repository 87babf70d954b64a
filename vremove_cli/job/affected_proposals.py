"""What will move once the object is gone, proposed: from what touches it, or by a model that is asked."""

from collections.abc import Iterator

import cv2
import numpy as np

from vremove_cli.detection import contact, vlm
from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.job.events import Emit, Note
from vremove_cli.job.model_fetch import ensure_helper
from vremove_cli.job.request import Request
from vremove_cli.job.stages.track import SegmentView
from vremove_cli.job.task_graph import AFFECTED, segments_in
from vremove_cli.masks.io import MaskFile
from vremove_cli.media.clip import ClipInfo
from vremove_cli.prompts import Prompt, parse_prompt
from vremove_cli.removers.void.quadmask import ERASED
from vremove_cli.tracking.base import ObjectPrompts, TrackerFrame
from vremove_cli.tracking.flow.background_model import ForegroundEvidence
from vremove_cli.tracking.flow.tracker import FlowTracker

_LATER = 4  # frames over which motion is judged
_LOOKS = 8  # frames of a shot that are looked at for the object in a mask file
_POINTS = 6  # on what is proposed, beside its box


def check(request: Request) -> None:
    """Raises `UsageError` unless `request.affected_by` is contact or vlm:NAME, and nothing else says what will move."""
    asked = request.affected_by
    if asked is None:
        return
    if asked != "contact" and not (asked.startswith("vlm:") and asked[4:]):
        raise UsageError(f"--affected-by {asked} is unknown", "choose contact, or vlm:NAME as in vlm:smolvlm")
    if request.affected or request.affected_points or request.affected_boxes:
        raise UsageError("what will move was given, and --affected-by too", "use one or the other")


def affected_prompts(
    request: Request, clip: ClipInfo, span: FrameRange, clicks: dict[str, dict[int, ObjectPrompts]],
    mask: ClipInfo | None, emit: Emit, *, fetch: bool,
) -> list[Prompt]:  # fmt: skip
    """Boxes and points on what will move, in pixels of the displayed frame; none when nothing is seen to.

    Each shot is looked at where its object is first pointed at, or where a mask file first shows it. Raises
    `ModelError` when a model that is to be asked cannot be had or gives no answer.
    """
    asked = request.affected_by or ""
    model = None
    if asked.startswith("vlm:"):
        place = ensure_helper(asked[4:], "affected", request, emit, fetch=fetch)
        if place is None:
            emit(Note(f"affected: {asked[4:]} is not here; it is asked what will move when it is"))
            return []
        model = vlm.load_vlm(*place)
    out: list[Prompt] = []
    for frame, last, given, here in _objects(request, clip, span, clicks, mask):
        view = SegmentView(clip, FrameRange(frame, frame + 1))
        sights = list(view.sights(range(frame, min(frame + _LATER, last) + 1), None))
        gone = clip.orientation.upright(_object(sights[0], given, here))
        shown = clip.orientation.upright(sights[0].rgb)
        if not gone.any():
            continue
        scale = clip.shown_size[0] / shown.shape[1]
        if model is None:
            later = clip.orientation.upright(sights[-1].rgb)
            found, why = contact.find_dependents(shown, later, gone, _turned(clip, sights[0].standout, gone.shape))
            if found.any():
                emit(Note(f"affected: what {why} on frame {frame}, at {_corners(bounds(found), scale)}"))
                out += _pointed(f"{AFFECTED}.{len(out)}", frame, found, scale)
            continue
        for name, box in vlm.ask_what_moves(model, shown, gone):
            emit(Note(f"affected: {name} on frame {frame}, at {_corners(box, scale)}"))
            label = f"{AFFECTED}.{len(out)}"
            out.append(parse_prompt(f"{label}=@{frame}:{_corners(box, scale)}", "box"))
    if not out:
        emit(Note("affected: nothing is seen that will move; point at it with --affected-point if something will"))
    return out


def _objects(
    request: Request,
    clip: ClipInfo,
    span: FrameRange,
    clicks: dict[str, dict[int, ObjectPrompts]],
    mask: ClipInfo | None,
) -> Iterator[tuple[int, int, Array | None, list[ObjectPrompts]]]:
    """For each shot that shows the object: a frame of it, the shot's last frame, and the mask there or the clicks."""
    invert, levels = request.invert_mask, ERASED if request.quadmask else ()
    for start, stop in segments_in(span, clip, clip.frames + 1):
        if mask is not None:
            source = MaskFile(mask, clip, invert=invert, levels=levels)
            for t in range(start, stop, -(-(stop - start) // _LOOKS)):
                (given,) = source.read(t, t + 1)
                if given.any():
                    yield t, stop - 1, given, []
                    break
            continue
        here = [(t, c) for by_frame in clicks.values() for t, c in by_frame.items() if start <= t < stop]
        first = min((t for t, c in here if c.points or c.boxes), default=None)
        if first is not None:
            yield first, stop - 1, None, [c for t, c in here if t == first and (c.points or c.boxes)]


def _object(sight: TrackerFrame, given: Array | None, clicks: list[ObjectPrompts]) -> Array:
    """What is erased on a frame, (h, w) bool at the size of its sight: as given (H, W), or as clicked."""
    if given is not None:
        return np.asarray(cv2.resize(given, sight.kept, interpolation=cv2.INTER_AREA) > 127)
    return np.any([FlowTracker().begin(sight, c)[1].mask > 0.5 for c in clicks], axis=0)


def _turned(clip: ClipInfo, standout: ForegroundEvidence, shape: tuple[int, ...]) -> ForegroundEvidence:
    parts = (clip.orientation.upright(x) for x in (standout.strength, standout.moves, standout.lit))
    return ForegroundEvidence(*parts).resized(shape[1], shape[0])


def _corners(box: Box, scale: float) -> str:
    return ",".join(str(round(v * scale)) for v in (box.x0, box.y0, box.x1, box.y1))


def _pointed(name: str, frame: int, found: Array, scale: float) -> list[Prompt]:
    """A box round a mask (h, w) bool and points far apart inside of it, for a tracker."""
    out = [parse_prompt(f"{name}=@{frame}:{_corners(bounds(found), scale)}", "box")]
    depth = cv2.distanceTransform(np.pad(found.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= 0.5 * np.percentile(depth[found], 90))
    at = int(depth[rows, columns].argmax())
    away = np.full(len(rows), np.inf)
    for _ in range(_POINTS):
        out.append(parse_prompt(f"{name}=@{frame}:{round(columns[at] * scale)},{round(rows[at] * scale)}", "point"))
        away = np.minimum(away, np.hypot(rows - rows[at], columns - columns[at]))
        at = int(away.argmax())
    return out
