"""Proposals of what will move once the object is gone: from what touches it, or from a vision-language model."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.detection import contact, vlm
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.job.events import Emit, Note
from vremove_cli.job.key_masks import read_key_mask
from vremove_cli.job.model_fetch import ensure_helper
from vremove_cli.job.object_prompts import AFFECTED, PromptsByObject
from vremove_cli.job.request import Request
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.job.task_graph import shots_in
from vremove_cli.job.text_prompts import LOOKS
from vremove_cli.masks.io import MaskFile
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import open_clip
from vremove_cli.prompts import Prompt, parse_prompt
from vremove_cli.removers.void.quadmask import is_erased
from vremove_cli.tracking.base import ForegroundEvidence, ObjectPrompts, TrackerFrame
from vremove_cli.tracking.flow.tracker import FlowTracker

_LATER = 4  # frames over which motion is judged
_POINTS = 6  # prompts on what is proposed, beside its box


def affected_prompts(
    request: Request,
    clip: ClipInfo,
    span: FrameRange,
    prompts: PromptsByObject,
    mask: ClipInfo | None,
    emit: Emit,
    *,
    fetch: bool,
) -> list[Prompt]:
    """Return prompts on what will move.

    Each shot is looked at where its object has its first prompt, or where a mask file first shows it.

    Args:
        request: The request; its `affected_by` says how to look.
        clip: The clip.
        span: Frames that are edited.
        prompts: Prompts for the objects, by name and frame.
        mask: The user's mask file.
        emit: Gets notes and progress.
        fetch: Whether a model may be fetched.

    Returns:
        Boxes and points in pixels of the displayed frame; none when nothing is found.

    Raises:
        ModelError: The model cannot be had, or its answer cannot be read.
    """
    model = None
    if request.vlm:
        place = ensure_helper(request.vlm, "affected", request, emit, fetch=fetch)
        if place is None:
            emit(Note(f"affected: {request.vlm} is not on this machine; a run fetches it and asks it what will move"))
            return []
        model = vlm.load_vlm(*place)
    out: list[Prompt] = []
    for sighting in _sightings(request, clip, span, prompts, mask):
        out += (
            _by_contact(sighting, clip, emit, len(out))
            if model is None
            else _by_model(model, sighting, clip, emit, len(out))
        )
    if not out:
        emit(Note("affected: nothing was found that will move; if something will, mark it with --affected-point"))
    return out


@dataclass(frozen=True)
class _Sighting:
    """One frame on which an object is seen.

    Attributes:
        frame: Its index.
        last: Last frame of its shot.
        mask: The object, (H, W) uint8, from a mask file; None where prompts say it.
        prompts: Prompts of the objects on the frame.
    """

    frame: int
    last: int
    mask: Array | None
    prompts: list[ObjectPrompts]


def _sightings(
    request: Request, clip: ClipInfo, span: FrameRange, prompts: PromptsByObject, mask: ClipInfo | None
) -> Iterator[_Sighting]:
    """Yield one sighting for each shot that shows the object."""
    select = is_erased if request.quadmask else None
    for shot in shots_in(span, clip):
        if mask is not None:
            source = MaskFile(mask, clip, invert=request.invert_mask, select=select)
            for t in range(shot.start, shot.stop, -(-shot.length // LOOKS)):
                (picture,) = source.read(t, t + 1)
                if picture.any():
                    yield _Sighting(t, shot.stop - 1, picture, [])
                    break
            continue
        inside = [(t, p) for by_frame in prompts.values() for t, p in by_frame.items() if shot.holds(t)]
        first = min((t for t, p in inside if p.positive), default=None)
        if first is not None:
            here = [p for t, p in inside if t == first and p.positive]
            yield _Sighting(first, shot.stop - 1, None, here)


def _frames(sighting: _Sighting, clip: ClipInfo) -> tuple[list[TrackerFrame], Array]:
    """Return the frames from a sighting on, and the upright object mask on the first, (h, w) bool."""
    view = SegmentView(clip, FrameRange(sighting.frame, sighting.frame + 1))
    frames = list(view.frames(range(sighting.frame, min(sighting.frame + _LATER, sighting.last) + 1), None))
    return frames, clip.orientation.upright(_object_mask(frames[0], sighting, clip))


def _object_mask(frame: TrackerFrame, sighting: _Sighting, clip: ClipInfo) -> Array:
    """Return what is erased on a frame, (h, w) bool."""
    given = [sighting.mask] if sighting.mask is not None else []
    given += [read_key_mask(open_clip(p.mask).info, clip) for p in sighting.prompts if p.mask]
    found = [cv2.resize(mask, frame.mask_size, interpolation=cv2.INTER_AREA) > 127 for mask in given]
    found += [FlowTracker().begin(frame, p)[1].mask > 0.5 for p in sighting.prompts if not p.mask]
    return np.any(found, axis=0)


def _by_contact(sighting: _Sighting, clip: ClipInfo, emit: Emit, number: int) -> list[Prompt]:
    """Return prompts on what touches the object and moves with it, or rests on it."""
    frames, erased = _frames(sighting, clip)
    if not erased.any():
        return []
    shown, later = (clip.orientation.upright(f.rgb) for f in (frames[0], frames[-1]))
    found, reason = contact.find_dependents(shown, later, erased, _upright(clip, frames[0].foreground, erased.shape))
    if not found.any():
        return []
    scale = clip.shown_size[0] / shown.shape[1]
    emit(Note(f"affected: what {reason} on frame {sighting.frame}, at {_corners(bounds(found), scale)}"))
    return _prompts_on(f"{AFFECTED}.{number}", sighting.frame, found, scale)


def _by_model(
    model: vlm.VisionLanguageModel, sighting: _Sighting, clip: ClipInfo, emit: Emit, number: int
) -> list[Prompt]:
    """Return boxes of what a vision-language model says will move."""
    frames, erased = _frames(sighting, clip)
    if not erased.any():
        return []
    shown = clip.orientation.upright(frames[0].rgb)
    out: list[Prompt] = []
    scale = clip.shown_size[0] / shown.shape[1]
    for name, box in vlm.ask_what_moves(model, shown, erased):
        emit(Note(f"affected: {name} on frame {sighting.frame}, at {_corners(box, scale)}"))
        label = f"{AFFECTED}.{number + len(out)}"
        out.append(parse_prompt(f"{label}=@{sighting.frame}:{_corners(box, scale)}", "box"))
    return out


def _upright(clip: ClipInfo, evidence: ForegroundEvidence | None, shape: tuple[int, ...]) -> ForegroundEvidence:
    evidence = evidence or ForegroundEvidence.zeros(1, 1)
    return evidence.map(clip.orientation.upright).resized(shape[1], shape[0])


def _corners(box: Box, scale: float) -> str:
    return ",".join(str(round(v * scale)) for v in (box.x0, box.y0, box.x1, box.y1))


def _prompts_on(name: str, frame: int, found: Array, scale: float) -> list[Prompt]:
    """Return a box around a mask (h, w) bool and points far apart inside it, for a tracker."""
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
