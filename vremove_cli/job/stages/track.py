"""The tasks that follow objects: through a segment, from prompts or from the neighbouring segment, and back from later
prompts until the masks agree with what was there."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np

from vremove_cli.errors import NothingError
from vremove_cli.frame_ranges import FrameRange, shot_context, spread_evenly
from vremove_cli.geometry import Array, Placed
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.mask_store import first_mask_note, tracked_frames
from vremove_cli.job.model_fetch import fetch_progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.postprocess import close_in_time, upscale_mask
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip, Frame
from vremove_cli.tracking import registry as tracker_registry
from vremove_cli.tracking.base import (
    ABSENT,
    FOUND_AGAIN,
    NO_OBJECT,
    WORK_SIZE,
    ObjectPrompts,
    Tracker,
    TrackerFrame,
    TrackerState,
    TrackResult,
)
from vremove_cli.tracking.flow.background_model import REACH, WIDTH, BackgroundModel, ForegroundEvidence
from vremove_cli.tracking.keyframes import TrackStep, keyframes_of, track_every_frame, track_with_keyframes
from vremove_cli.tracking.static_overlay import SAMPLES, StaticOverlayTracker, is_static_overlay
from vremove_cli.weights import store

# A correction has nothing more to say when two masks differ by less than this, or by less than this share of what they
# differed by at most, for so many frames.
_SAME, _LEFT, _LONG = 0.03, 0.35, 3
_OTHER = 0.1  # overlap below which two masks are of different things
_CHUNK = 16  # frames in memory while a clip is read backwards

T = TypeVar("T")
# Frames in the order of travel, what is remembered, prompts on the way -> masks, each with what is remembered then.
Follower = Callable[[range, TrackerState | None, dict[int, ObjectPrompts]], Iterator[TrackStep]]


class SegmentView:
    """A segment as trackers see it: frames in either direction, with what stands out from the rest of the shot."""

    def __init__(self, info: ClipInfo, span: FrameRange) -> None:
        self._clip, self.full, self._span = Clip(info), (info.width, info.height), span
        self.size = _fitted(self.full, min(1.0, WORK_SIZE / min(self.full)))

    @property
    def samples(self) -> Array:
        """Frames spread over the segment (N, h, w, 3) uint8."""
        return np.stack(self._around[1])

    def sights(self, order: range, sees: tuple[int, int] | None) -> Iterator[TrackerFrame]:
        """Frames in the order of travel, for a tracker that wants this size."""
        return _ahead(self._in_order(order, lambda frame: self._sight(frame, sees)))

    def pairs(
        self, order: range, keys: set[int], sees: tuple[int, int] | None
    ) -> Iterator[tuple[TrackerFrame, TrackerFrame | None]]:
        """The same for two trackers: one that sees every frame, and one of this size that sees keyframes."""

        def both(frame: Frame) -> tuple[TrackerFrame, TrackerFrame | None]:
            return self._sight(frame, None), self._sight(frame, sees) if frame.index in keys else None

        return _ahead(self._in_order(order, both))

    def grays(self, start: int, stop: int) -> Iterator[tuple[int, Array]]:
        """Frames start <= t < stop, (h, w) uint8."""
        return ((f.index, cv2.cvtColor(f.rgb8(self.size), cv2.COLOR_RGB2GRAY)) for f in self._clip.frames(start, stop))

    @cached_property
    def _around(self) -> tuple[BackgroundModel, list[Array]]:
        """What the shot shows round the segment, and samples from the segment: read at once, when first wanted."""
        info, small = self._clip.info, _fitted(self.full, min(1.0, WIDTH / max(self.full)))
        wanted = set(spread_evenly(*self._span, SAMPLES))
        frames, samples = {}, []
        for frame in self._clip.frames(*shot_context(self._span, info.frames, info.cuts, REACH)):
            frames[frame.index] = frame.rgb8(small)
            if frame.index in wanted:
                samples.append(frame.rgb8(self.size))
        return BackgroundModel(frames), samples

    def _in_order(self, order: range, make: Callable[[Frame], T]) -> Iterator[T]:
        if order.step > 0:
            yield from (make(f) for f in self._clip.frames(order.start, order.stop))
            return
        for high in range(order.start, order.stop, -_CHUNK):
            low = max(order.stop, high - _CHUNK)
            yield from reversed([make(f) for f in self._clip.frames(low + 1, high + 1)])

    def _sight(self, frame: Frame, sees: tuple[int, int] | None) -> TrackerFrame:
        """A frame at a size that a tracker wants; one that sees more than masks keep needs no evidence."""
        standout = ForegroundEvidence.nothing(1, 1) if sees else self._around[0].standout(frame.index)
        return TrackerFrame(frame.index, frame.rgb8(sees or self.size), self.full, self.size, standout)


def _fitted(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(8, round(size[0] * scale)), max(8, round(size[1] * scale))


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, the next of which is made in another thread while one is used."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item


def run_track(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Follow one object through a segment: from its first prompt both ways, or on from the neighbouring segment."""
    start, stop = task.span
    assert task.origin is not None
    view = SegmentView(plan.clip, task.span)
    path: dict[int, TrackResult] = {}
    done = _tracked_before(plan, task, folder)
    states: dict[int, TrackerState] = {}

    def keep(frame: int, tracked: TrackResult) -> None:
        path[frame] = tracked
        emit(Progress("track", done + len(path), plan.span.length))
        if frame == task.origin:
            _report_first(plan, task, tracked.remark, emit)

    entry = None
    if not start <= task.origin < stop:
        entry = _load_state(folder, task.needs[0], "forward" if start > task.origin else "backward")
    follower = _follower(plan, task, view, entry, emit)
    clicks = plan.clicks[task.target]
    if entry is None or start > task.origin:
        low = task.origin if entry is None else start
        state = entry
        for t, tracked, state in follower(range(low, stop), entry, clicks):
            keep(t, tracked)
            if t in clicks:
                states[t] = state
        assert state is not None
        _save_state(folder, task.id, "forward", state)
        entry = states.get(task.origin)
    if start <= task.origin:  # of a first frame, too, the segment before wants the state
        assert entry is not None
        last = entry
        for t, tracked, last in follower(range(min(task.origin, stop) - 1, start - 1, -1), entry, {}):  # noqa: B007
            keep(t, tracked)
        _save_state(folder, task.id, "backward", last)
    _drop_state(folder, task.id, "mend")
    for frame in sorted(f for f in states if f != task.origin):
        _correct_back(plan, task, folder, follower, states[frame], frame, frame, path)
    masks = _finished(plan, view, path, task.span)
    return _result(folder, task, masks, path)


def run_backward_correction(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Carry a correction made in a later segment back through this one, until it agrees with what is there."""
    assert task.origin is not None
    own, later = task.needs
    _drop_state(folder, task.id, "mend")
    if not folder.file("states", f"{later}.mend.npz").exists():
        return {"masks": None}
    state = _load_state(folder, later, "mend")
    view = SegmentView(plan.clip, task.span)
    masks, path = {}, {}
    for t, mask, sure, remark in tracked_frames(folder, own, task.span):
        masks[t], path[t] = mask, TrackResult(_small(mask, plan.clip, view.size), sure, remark)
    before = dict(path)
    follower = _follower(plan, task, view, state, emit)
    _correct_back(plan, task, folder, follower, state, task.span.stop, task.origin, path)
    first = min((t for t in path if path[t] is not before[t]), default=task.span.stop)
    masks |= _finished(plan, view, path, FrameRange(first, task.span.stop))
    return _result(folder, task, masks, path)


def _report_first(plan: Plan, task: Task, remark: str, emit: Emit) -> None:
    """Say at once when the first mask is doubtful; raises `NothingError` when a point lies on nothing at all."""
    clicks = plan.clicks[task.target][task.origin or 0]
    if remark == NO_OBJECT and not clicks.boxes:
        name = f" of {task.target}" if task.target else ""
        raise NothingError(
            f"nothing stands out at the point{name} on frame {task.origin}", "give a box round the object, or a mask"
        )
    if doubt := first_mask_note(task, task.origin or 0, remark):
        emit(Note(doubt))


def _finished(plan: Plan, view: SegmentView, path: dict[int, TrackResult], span: FrameRange) -> dict[int, Placed]:
    """The masks of a run at the clip's size; those that flow carried are steadied in time."""
    masks = {t: p.mask for t, p in path.items()}
    if plan.tracker.part is not None and plan.tracker.every == 1:
        return {t: upscale_mask(masks[t], view.full) for t in range(*span)}
    grays, out = {}, {}
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


def _small(mask: Placed, info: ClipInfo, size: tuple[int, int]) -> Array:
    """A stored mask at the size of sights, soft, (h, w) float32."""
    full = mask.full(info.width, info.height)
    return np.asarray(cv2.resize(full, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)


def _result(folder: WorkFolder, task: Task, masks: dict[int, Placed], path: dict[int, TrackResult]) -> dict[str, Any]:
    """Store the masks of a segment and give what is known of them."""
    frames = range(*task.span)
    where = save_masks(folder.file("masks", f"{task.id}.mkv"), [masks[t] for t in frames])
    remarks = {str(t): path[t].remark for t in frames if path[t].remark}
    return {"masks": where, "confidence": [round(path[t].confidence, 3) for t in frames], "remarks": remarks}


def _follower(plan: Plan, task: Task, view: SegmentView, state: TrackerState | None, emit: Emit) -> Follower:
    """How an object is followed: by the tracker that was asked for, on every frame or on keyframes; or as something
    that stands still on the screen, as asked or found on its first prompt's frame."""
    assert task.origin is not None
    clicks = plan.clicks[task.target]
    if state is not None:
        still = "still" in state.arrays
    else:
        scaled = clicks[task.origin].scaled(view.size[1] / plan.clip.height)
        still = plan.request.static or (bool(scaled.boxes) and is_static_overlay(view.samples, scaled))
    tracker: Tracker = StaticOverlayTracker(view.samples) if still else _made(plan, emit)
    if still or plan.tracker.every == 1:
        return lambda order, state, clicks: track_every_frame(tracker, view.sights(order, tracker.sees), state, clicks)
    keys = keyframes_of(task.span, task.origin, clicks, plan.tracker.every)
    return lambda order, state, clicks: track_with_keyframes(
        tracker, view.pairs(order, keys, tracker.sees), state, clicks
    )


def _made(plan: Plan, emit: Emit) -> Tracker:
    """The tracker of a plan, whose weights may have to come to this machine first."""
    request = plan.request
    choice = plan.tracker
    if choice.part is not None:
        here = store.ensure_planned(choice.part, request.accept_license, fetch_progress(emit))
        choice = replace(choice, part=here)
    return tracker_registry.make_tracker(choice, request.device, plan.span.length)


def _correct_back(
    plan: Plan, task: Task, folder: WorkFolder, follower: Follower, state: TrackerState, stop: int, prompt: int,
    path: dict[int, TrackResult],
) -> None:  # fmt: skip
    """Mend a segment's masks below `stop` for a prompt there or later; what is left goes to the segment before."""
    before = max(f for f in plan.clicks[task.target] if f < prompt)
    low = max(task.span.start, before)
    unfinished = _mend(follower, state, FrameRange(low, stop), (before + prompt) / 2, path)
    if low == task.span.start and unfinished is not None:
        _save_state(folder, task.id, "mend", unfinished)


def _mend(
    follower: Follower, state: TrackerState, span: FrameRange, half: float, path: dict[int, TrackResult]
) -> TrackerState | None:
    """Follow the object backwards from a correction at the end of `span`, and replace what is not right.

    It ends where the two agree, where the object is not found, or half-way to the prompt before unless nothing was
    found there; then None. Otherwise the state after the first frame of the run.
    """
    agreed, alike, least, last = 0, 1.0, 1.0, state
    for t, tracked, last in follower(range(span.stop - 1, span.start - 1, -1), state, {}):  # noqa: B007
        had = path[t]
        if t < half and had.remark != ABSENT:
            return None
        if tracked.remark == ABSENT:
            if alike < _OTHER:
                _forget(path, span.start, t)
            return None
        alike = overlap(tracked.mask, had.mask)
        least = min(least, alike)
        agreed = agreed + 1 if 1 - alike < max(_SAME, _LEFT * (1 - least)) else 0
        if agreed >= _LONG:
            return None
        path[t] = tracked
    return last


def _forget(path: dict[int, TrackResult], low: int, frame: int) -> None:
    """Take back masks up to a frame, if they are of something that was found when the object was lost."""
    found = next((t for t in range(frame, low - 1, -1) if path[t].remark in (FOUND_AGAIN, ABSENT)), None)
    if found is not None and path[found].remark == FOUND_AGAIN:
        for t in range(found, frame + 1):
            path[t] = TrackResult(np.zeros_like(path[t].mask), 0.0, ABSENT)


def overlap(a: Array, b: Array) -> float:
    """Intersection over union of two soft masks (h, w) in [0, 1]; 1 when both are empty."""
    one, two = a > 0.5, b > 0.5
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else 1.0


def _tracked_before(plan: Plan, task: Task, folder: WorkFolder) -> int:
    """Frames that finished tasks of the same object have done, for the progress bar."""
    same = [t for t in plan.tasks if t.kind == "track" and t.target == task.target and t.id != task.id]
    return sum(t.span.length for t in same if folder.finished(t.id))


def _save_state(folder: WorkFolder, task: str, way: str, state: TrackerState) -> None:
    arrays: dict[str, Any] = state.arrays
    np.savez(folder.file("states", f"{task}.{way}.npz"), **arrays)


def _drop_state(folder: WorkFolder, task: str, way: str) -> None:
    """Forget what an earlier, broken-off run of the task may have left."""
    folder.file("states", f"{task}.{way}.npz").unlink(missing_ok=True)


def _load_state(folder: WorkFolder, task: str, way: str) -> TrackerState:
    with np.load(folder.file("states", f"{task}.{way}.npz")) as found:
        return TrackerState({k: found[k] for k in found.files})
