"""How an object is propagated through a segment, and how a later correction is carried back: shared by two stages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from vremove_cli.arrays import iou
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed
from vremove_cli.job.events import Emit
from vremove_cli.job.key_masks import read_key_mask
from vremove_cli.job.mask_store import MaskResult
from vremove_cli.job.model_fetch import progress_if_allowed
from vremove_cli.job.plan import Plan
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.postprocess import close_in_time, upscale_mask
from vremove_cli.tracking import registry as trackers
from vremove_cli.tracking.base import ABSENT, FOUND_AGAIN, ObjectPrompts, Tracker, TrackerState, TrackResult
from vremove_cli.tracking.keyframes import TrackStep, keyframes_of, track_every_frame, track_with_keyframes
from vremove_cli.tracking.static_overlay import StaticOverlayTracker, is_static_overlay
from vremove_cli.weights import store

# A correction ends when the old and the new mask differ (1 - IoU) by less than _SAME, or by less than _LEFT times their
# largest difference so far, on _LONG consecutive frames.
_SAME, _LEFT, _LONG = 0.03, 0.35, 3
_OTHER = 0.1  # IoU below which two masks are of different things

# (frames in the order of travel, state before them, prompts on the way) -> frame, result and state, one after another.
Propagator = Callable[[range, TrackerState | None, dict[int, ObjectPrompts]], Iterator[TrackStep]]


@dataclass(frozen=True)
class Segment:
    """One task of tracking.

    Attributes:
        plan: The plan.
        task: The task.
        folder: The work folder.
        view: The segment's frames.
        propagate: Follows the object.
        key_masks: The object's key masks, (H, W) uint8, 0 or 255, by frame of the segment.
    """

    plan: Plan
    task: Task
    folder: WorkFolder
    view: SegmentView
    propagate: Propagator
    key_masks: dict[int, Array]

    @property
    def prompts(self) -> dict[int, ObjectPrompts]:
        """The object's prompts by frame."""
        return self.plan.prompts[self.task.target]

    def save_state(self, way: str, state: TrackerState) -> None:
        """Store a tracker's state for another task; `way` is forward, backward or correction."""
        arrays: dict[str, Any] = state.arrays
        np.savez(_state_path(self.folder, self.task.id, way), **arrays)


def open_segment(plan: Plan, task: Task, folder: WorkFolder, emit: Emit, state: TrackerState | None) -> Segment:
    """Return a segment with the tracker that its object needs.

    That is the plan's tracker, on every frame or on keyframes; or the tracker of static overlays, with `--static` or if
    the first prompt is a box whose content stays on the screen in samples of the segment.
    """
    assert task.origin is not None
    view, prompts = SegmentView(plan.clip, task.span), plan.prompts[task.target]
    if state is not None:
        static = StaticOverlayTracker.owns(state)
    else:
        scaled = prompts[task.origin].scaled(view.size[1] / plan.clip.height)
        static = plan.request.static or (bool(scaled.boxes) and is_static_overlay(view.samples, scaled))
    named = {t: p.mask for t, p in prompts.items() if p.mask and task.span.holds(t)}
    key_masks = {t: read_key_mask(plan.key_masks[path], plan.clip) for t, path in named.items()}
    masks = {path: _scaled_mask(key_masks[t], view.size) for t, path in named.items()}
    tracker: Tracker = StaticOverlayTracker(view.samples) if static else _tracker(plan, emit)
    size = tracker.input_size
    if static or plan.tracker.every == 1:

        def propagate(
            order: range, state: TrackerState | None, prompts: dict[int, ObjectPrompts]
        ) -> Iterator[TrackStep]:
            return track_every_frame(tracker, view.frames(order, size), state, prompts, masks)

        return Segment(plan, task, folder, view, propagate, key_masks)
    keyframes = keyframes_of(task.span, task.origin, prompts, plan.tracker.every)

    def propagate_keyframes(
        order: range, state: TrackerState | None, prompts: dict[int, ObjectPrompts]
    ) -> Iterator[TrackStep]:
        return track_with_keyframes(tracker, view.frame_pairs(order, keyframes, size), state, prompts, masks)

    return Segment(plan, task, folder, view, propagate_keyframes, key_masks)


def _tracker(plan: Plan, emit: Emit) -> Tracker:
    """Return the plan's tracker; its weights may have to come to this machine first."""
    choice = plan.tracker
    if choice.checkpoint is not None:
        progress = progress_if_allowed(plan.request, emit)
        checkpoint = store.ensure_planned(choice.checkpoint, plan.request.accept_license, progress)
        choice = replace(choice, checkpoint=checkpoint)
    return trackers.make_tracker(choice, plan.arithmetic, plan.span.length)


def _state_path(folder: WorkFolder, task: str, way: str) -> Any:
    return folder.file("states", f"{task}.{way}.npz")


def has_state(folder: WorkFolder, task: str, way: str) -> bool:
    """Return whether a task left a state."""
    return bool(_state_path(folder, task, way).exists())


def load_state(folder: WorkFolder, task: str, way: str) -> TrackerState:
    """Return a state that a task left."""
    with np.load(folder.existing("states", f"{task}.{way}.npz")) as found:
        return TrackerState({k: found[k] for k in found.files})


def drop_state(folder: WorkFolder, task: str, way: str) -> None:
    """Delete the state that a broken-off run of a task may have left."""
    _state_path(folder, task, way).unlink(missing_ok=True)


def correct_backward(
    segment: Segment, state: TrackerState, stop: int, prompt: int, path: dict[int, TrackResult]
) -> None:
    """Correct a segment's masks before a later prompt; what is left to do goes to the segment before.

    Args:
        segment: The segment.
        state: The tracker's state after the correction.
        stop: Frame after the last that may be wrong.
        prompt: Frame of the correction.
        path: Results by frame; changed in place.
    """
    before = max(f for f in segment.prompts if f < prompt)
    low = max(segment.task.span.start, before)
    left = _correct(segment.propagate, state, FrameRange(low, stop), (before + prompt) / 2, path)
    if low == segment.task.span.start and left is not None:
        segment.save_state("correction", left)


def _correct(
    propagate: Propagator, state: TrackerState, span: FrameRange, half: float, path: dict[int, TrackResult]
) -> TrackerState | None:
    """Follow the object backwards from a correction at the end of `span`, and replace wrong results.

    It ends where both agree, where the object is not found, or half-way to the prompt before unless nothing was found
    there; then it returns None. Otherwise it returns the state after the span's first frame.
    """
    agreed, overlap, least, last = 0, 1.0, 1.0, state
    for t, result, last in propagate(range(span.stop - 1, span.start - 1, -1), state, {}):  # noqa: B007
        old = path[t]
        if t < half and old.remark != ABSENT:
            return None
        if result.remark == ABSENT:
            if overlap < _OTHER:
                _forget(path, span.start, t)
            return None
        overlap = iou(result.mask > 0.5, old.mask > 0.5)
        least = min(least, overlap)
        agreed = agreed + 1 if 1 - overlap < max(_SAME, _LEFT * (1 - least)) else 0
        if agreed >= _LONG:
            return None
        path[t] = result
    return last


def _forget(path: dict[int, TrackResult], low: int, frame: int) -> None:
    """Take back masks up to a frame, if they are of something that was found when the object was lost."""
    found = next((t for t in range(frame, low - 1, -1) if path[t].remark in (FOUND_AGAIN, ABSENT)), None)
    if found is not None and path[found].remark == FOUND_AGAIN:
        for t in range(found, frame + 1):
            path[t] = TrackResult(np.zeros_like(path[t].mask), 0.0, ABSENT)


def finish_masks(segment: Segment, path: dict[int, TrackResult], span: FrameRange) -> dict[int, Placed]:
    """Return masks at the clip's size; those that optical flow carried are first closed in time.

    Frames with a key mask get exactly that, whatever a later correction made of them; `path` is changed in place.
    """
    given = {t: mask for t, mask in segment.key_masks.items() if span.holds(t)}
    path.update({t: TrackResult(_scaled_mask(mask, segment.view.size), 1.0) for t, mask in given.items()})
    return _tracked_masks(segment, path, span) | {t: Placed.tight(mask) for t, mask in given.items()}


def _tracked_masks(segment: Segment, path: dict[int, TrackResult], span: FrameRange) -> dict[int, Placed]:
    plan, view = segment.plan, segment.view
    masks = {t: result.mask for t, result in path.items()}
    if plan.tracker.checkpoint is not None and plan.tracker.every == 1:
        return {t: upscale_mask(masks[t], view.full) for t in range(*span)}
    grays: dict[int, Array] = {}
    out: dict[int, Placed] = {}
    low, high = max(min(path), span.start - 1), min(max(path) + 1, span.stop + 1)
    for t, gray in view.grays(low, high):
        grays[t] = gray
        if t - 1 >= span.start:
            out[t - 1] = upscale_mask(close_in_time(masks, grays, t - 1), view.full)
            grays.pop(t - 2, None)
    for t in range(*span):
        if t not in out:
            out[t] = upscale_mask(masks[t], view.full)
    return out


def small_mask(segment: Segment, mask: Placed) -> Array:
    """Return a stored mask at the size of tracking, (h, w) float32 in [0, 1]."""
    clip = segment.plan.clip
    full = mask.full(clip.width, clip.height)
    return _scaled_mask(full, segment.view.size)


def _scaled_mask(mask: Array, size: tuple[int, int]) -> Array:
    """Return a mask (H, W) uint8 at the size of tracking, (h, w) float32 in [0, 1]."""
    return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)


def store_result(segment: Segment, masks: dict[int, Placed], path: dict[int, TrackResult]) -> MaskResult:
    """Store a segment's masks and return what is known of them."""
    frames = range(*segment.task.span)
    table = save_masks(segment.folder.file("masks", f"{segment.task.id}.mkv"), [masks[t] for t in frames])
    remarks = {t: path[t].remark for t in frames if path[t].remark}
    confidence = tuple(round(path[t].confidence, 3) for t in frames)
    return MaskResult(table, confidence, remarks, areas=tuple(masks[t].area for t in frames))
