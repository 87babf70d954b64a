"""A costly tracker on some frames, the flow tracker between them.

Between two keyframes the object is carried from both sides, and the nearer side counts more. The flow tracker's memory
of colours and background goes on from keyframe to keyframe, renewed by each mask.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.tracking.base import ABSENT, ObjectPrompts, Tracker, TrackerFrame, TrackerState, TrackResult
from vremove_cli.tracking.flow.tracker import FlowTracker

TrackStep = tuple[int, TrackResult, TrackerState]  # a frame, its mask, and what is remembered after it


class KeyframedState(TrackerState):
    """The two memories as one."""

    def __init__(self, key: TrackerState, flow: TrackerState | None) -> None:
        self.key, self.flow = key, flow

    @property
    def arrays(self) -> dict[str, Array]:
        """Both trackers' arrays, their names told apart."""
        flow = self.flow.arrays if self.flow is not None else {}
        return {f"key/{k}": v for k, v in self.key.arrays.items()} | {f"flow/{k}": v for k, v in flow.items()}

    @classmethod
    def loaded(cls, state: TrackerState) -> "KeyframedState":
        """The same from stored arrays."""
        if isinstance(state, KeyframedState):
            return state
        parts: dict[str, dict[str, Array]] = {"key": {}, "flow": {}}
        for name, array in state.arrays.items():
            which, _, inner = name.partition("/")
            parts[which][inner] = array
        return cls(TrackerState(parts["key"]), TrackerState(parts["flow"]) if parts["flow"] else None)


def keyframes_of(span: FrameRange, origin: int, prompts: Mapping[int, ObjectPrompts], every: int) -> set[int]:
    """The keyframes of a segment start <= t < stop: prompts, the frame on which the way on leaves it, and those before
    that in steps of `every`, away from the prompt at `origin`."""
    start, stop = span
    ahead = set(range(stop - 1, max(origin, start - 1), -every)) if stop - 1 > origin else set()
    back = set(range(start, min(origin, stop), every)) if start < origin else set()
    prompted = {t for t in prompts if start <= t < stop}
    return ahead | back | prompted | ({start} if prompted - {origin} else set())  # a correction's way back ends there


def track_every_frame(
    tracker: Tracker, sights: Iterator[TrackerFrame], state: TrackerState | None, clicks: Mapping[int, ObjectPrompts]
) -> Iterator[TrackStep]:
    """Follow an object through frames in the order of travel; prompts begin or correct."""
    for sight in sights:
        state, tracked = _next(tracker, sight, state, clicks.get(sight.index))
        yield sight.index, tracked, state


def track_with_keyframes(
    tracker: Tracker,
    sights: Iterator[tuple[TrackerFrame, TrackerFrame | None]],
    state: TrackerState | None,
    clicks: Mapping[int, ObjectPrompts],
) -> Iterator[TrackStep]:
    """The same with the tracker on keyframes only: `sights` are for the flow tracker and, on keyframes, for the other.

    Frames come when the next keyframe is known, each with the memory after that.
    """
    both = KeyframedState.loaded(state) if state is not None else None
    gap: list[TrackerFrame] = []
    for sight, large in sights:
        if large is None:
            gap.append(sight)
            continue
        key, tracked = _next(tracker, large, both.key if both else None, clicks.get(sight.index))
        ahead, carried = _carried(gap, both.flow if both else None)
        adopted = None if tracked.remark == ABSENT else FlowTracker().adopt(sight, carried, tracked.mask)
        back = _carried(gap[::-1], adopted)[0][::-1]
        both = KeyframedState(key, adopted)
        for k, (passed, one, other) in enumerate(zip(gap, ahead, back, strict=True)):
            fused = _fused(one, other, (k + 1) / (len(gap) + 1))
            yield passed.index, fused or _nothing(passed), both
        yield sight.index, tracked, both
        gap = []
    assert not gap, "the last frame of a way is a keyframe"


def _next(
    tracker: Tracker, sight: TrackerFrame, state: TrackerState | None, clicks: ObjectPrompts | None
) -> tuple[TrackerState, TrackResult]:
    if clicks is None:
        assert state is not None
        return tracker.propagate(sight, state)
    return tracker.begin(sight, clicks) if state is None else tracker.correct(sight, state, clicks)


def _carried(
    gap: list[TrackerFrame], state: TrackerState | None
) -> tuple[list[TrackResult | None], TrackerState | None]:
    """The masks of frames in the order of travel, from what is remembered before them, and the memory after them."""
    out: list[TrackResult | None] = []
    for sight in gap:
        if state is None:
            out.append(None)
            continue
        state, tracked = FlowTracker().propagate(sight, state)
        out.append(None if tracked.remark == ABSENT else tracked)
    return out, state


def _fused(ahead: TrackResult | None, back: TrackResult | None, way: float) -> TrackResult | None:
    """One mask from those that were carried there from both sides; `way` is how far the frame is from the first."""
    if ahead is None or back is None:
        one = ahead or back
        return one and TrackResult(one.mask, one.confidence)
    mask = ((1 - way) * ahead.mask + way * back.mask).astype(np.float32)
    return TrackResult(mask, (1 - way) * ahead.confidence + way * back.confidence)


def _nothing(sight: TrackerFrame) -> TrackResult:
    return TrackResult(np.zeros(sight.mask_size[::-1], np.float32), 0.0, ABSENT)
