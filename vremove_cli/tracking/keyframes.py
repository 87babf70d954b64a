"""A costly tracker on keyframes, and the flow tracker on the frames between them.

Between two keyframes the flow tracker propagates the mask from both sides; the nearer side weighs more. Its appearance
model lives on from keyframe to keyframe and learns from each keyframe's mask.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from vremove_cli.arrays import iou
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.tracking.base import ABSENT, ObjectPrompts, Tracker, TrackerFrame, TrackerState, TrackResult
from vremove_cli.tracking.flow.tracker import FlowTracker

_SAME_OBJECT = 0.5  # overlap of tracked and given mask below which the tracker starts anew (drawn scenes: J .56 to .65)

TrackStep = tuple[int, TrackResult, TrackerState]  # frame number, its mask, and the state from which to go on


class KeyframedState(TrackerState):
    """The states of both trackers.

    Attributes:
        key: State of the keyframes' tracker.
        flow: State of the flow tracker; None while the object is lost.
    """

    def __init__(self, key: TrackerState, flow: TrackerState | None) -> None:
        self.key, self.flow = key, flow

    @property
    def arrays(self) -> dict[str, Array]:
        """The arrays of both trackers, named key/... and flow/...."""
        flow = self.flow.arrays if self.flow is not None else {}
        return {f"key/{k}": v for k, v in self.key.arrays.items()} | {f"flow/{k}": v for k, v in flow.items()}

    @classmethod
    def from_state(cls, state: TrackerState) -> "KeyframedState":
        """Return a live or stored state as the states of both trackers."""
        if isinstance(state, KeyframedState):
            return state
        parts: dict[str, dict[str, Array]] = {"key": {}, "flow": {}}
        for name, array in state.arrays.items():
            which, _, inner = name.partition("/")
            parts[which][inner] = array
        return cls(TrackerState(parts["key"]), TrackerState(parts["flow"]) if parts["flow"] else None)


def keyframes_of(span: FrameRange, origin: int, prompts: Mapping[int, ObjectPrompts], every: int) -> set[int]:
    """Return the keyframes of a segment.

    Args:
        span: The segment, start <= t < stop.
        origin: Frame of the prompt that tracking starts from, inside the segment or not.
        prompts: Prompts of the object by frame.
        every: Largest distance between keyframes.

    Returns:
        The prompted frames, the frames at which tracking leaves the segment, and every `every`th frame from those back
        towards the origin.
    """
    start, stop = span
    ahead = set(range(stop - 1, max(origin, start - 1), -every)) if stop - 1 > origin else set()
    back = set(range(start, min(origin, stop), every)) if start < origin else set()
    prompted = {t for t in prompts if start <= t < stop}
    correction_end = {start} if prompted - {origin} else set()  # a correction is followed backward to there
    return ahead | back | prompted | correction_end


def track_every_frame(
    tracker: Tracker,
    frames: Iterator[TrackerFrame],
    state: TrackerState | None,
    prompts: Mapping[int, ObjectPrompts],
    masks: Mapping[str, Array] | None = None,
) -> Iterator[TrackStep]:
    """Track an object with one tracker.

    Args:
        tracker: The tracker.
        frames: Frames in the order of travel.
        state: State after the frame before; None if the first frame is prompted.
        prompts: Prompts by frame; they begin or correct.
        masks: The masks that prompts name, (h, w) float32 in [0, 1], at the size of the tracker's masks.

    Yields:
        Each frame's number, its mask and the state after it.
    """
    for frame in frames:
        state, result = _advance(tracker, frame, state, prompts.get(frame.index), masks)
        yield frame.index, result, state


def track_with_keyframes(
    tracker: Tracker,
    frames: Iterator[tuple[TrackerFrame, TrackerFrame | None]],
    state: TrackerState | None,
    prompts: Mapping[int, ObjectPrompts],
    masks: Mapping[str, Array] | None = None,
) -> Iterator[TrackStep]:
    """Track an object with one tracker on keyframes and the flow tracker between them.

    Args:
        tracker: The keyframes' tracker.
        frames: Frames in the order of travel, for the flow tracker and, on keyframes, for the other. The last one is a
            keyframe.
        state: State after the frame before; None if the first frame is prompted.
        prompts: Prompts by frame; prompted frames are keyframes.
        masks: The masks that prompts name, as in `track_every_frame`.

    Yields:
        Each frame's number, its mask and the state after the next keyframe. Frames come once that keyframe is done.
    """
    both = KeyframedState.from_state(state) if state is not None else None
    gap: list[TrackerFrame] = []
    for frame, keyframe in frames:
        if keyframe is None:
            gap.append(frame)
            continue
        key, result = _advance(tracker, keyframe, both.key if both else None, prompts.get(frame.index), masks)
        forward, flow_state = _propagate_through(gap, both.flow if both else None)
        adopted = None if result.remark == ABSENT else FlowTracker().adopt(frame, flow_state, result.mask)
        backward = _propagate_through(gap[::-1], adopted)[0][::-1]
        both = KeyframedState(key, adopted)
        for k, (between, one, other) in enumerate(zip(gap, forward, backward, strict=True)):
            fused = _fuse(one, other, (k + 1) / (len(gap) + 1))
            yield between.index, fused or _empty_result(between), both
        yield frame.index, result, both
        gap = []
    assert not gap, "the last frame is a keyframe"


def _advance(
    tracker: Tracker,
    frame: TrackerFrame,
    state: TrackerState | None,
    prompts: ObjectPrompts | None,
    masks: Mapping[str, Array] | None,
) -> tuple[TrackerState, TrackResult]:
    """Propagate to a frame, or begin or correct there if it has prompts; a given mask is the frame's mask."""
    if prompts is None:
        assert state is not None
        return tracker.propagate(frame, state)
    if prompts.mask:
        assert masks is not None
        mask = masks[prompts.mask]
        if state is not None and iou(tracker.propagate(frame, state)[1].mask > 0.5, mask > 0.5) < _SAME_OBJECT:
            state = None  # something else was followed: what was learnt of it would lead astray
        return tracker.adopt(frame, state, mask), TrackResult(mask, 1.0)
    return tracker.begin(frame, prompts) if state is None else tracker.correct(frame, state, prompts)


def _propagate_through(
    frames: list[TrackerFrame], state: TrackerState | None
) -> tuple[list[TrackResult | None], TrackerState | None]:
    """Propagate the flow tracker through frames; return its masks, None where the object is lost, and its state."""
    out: list[TrackResult | None] = []
    for frame in frames:
        if state is None:
            out.append(None)
            continue
        state, result = FlowTracker().propagate(frame, state)
        out.append(None if result.remark == ABSENT else result)
    return out, state


def _fuse(forward: TrackResult | None, backward: TrackResult | None, position: float) -> TrackResult | None:
    """Blend the masks propagated from both keyframes; `position` is 0 at the first keyframe and 1 at the second."""
    if forward is None or backward is None:
        only = forward or backward
        return only and TrackResult(only.mask, only.confidence)
    mask = ((1 - position) * forward.mask + position * backward.mask).astype(np.float32)
    return TrackResult(mask, (1 - position) * forward.confidence + position * backward.confidence)


def _empty_result(frame: TrackerFrame) -> TrackResult:
    return TrackResult(np.zeros(frame.mask_size[::-1], np.float32), 0.0, ABSENT)
