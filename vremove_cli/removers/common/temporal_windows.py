"""Overlapping windows of a long clip: generated one by one, so that machines can share them, and joined by crossfades.

Two schemes: windows that overlap, and windows guided by keyframes that are generated first (UnderEraser, sec. 3.4).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.removers.base import Fill, Stage
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT

_JOIN = "join-"  # prefix of the ids of stages that crossfade


def overlapping_windows(count: int, longest: int, overlap: int, grid: int = 1) -> list[tuple[int, int]]:
    """Return the fewest windows that cover a length.

    Args:
        count: Length to cover: frames, latents or pixels.
        longest: Length of a window, at most.
        overlap: Length that each window shares with the one before, at least.
        grid: Windows start at multiples of it.

    Returns:
        Half-open ranges (start, stop) in order.

    Raises:
        ValueError: Windows with this overlap could not advance.
    """
    if not 0 <= overlap < longest - grid:
        raise ValueError(f"windows of {longest} with an overlap of {overlap} cannot advance on a grid of {grid}")
    if count <= longest:
        return [(0, count)] if count else []
    pieces = -(-(count - overlap) // (longest - overlap))
    while True:
        step = -(-(count - longest) // (pieces - 1))
        step = -(-step // grid) * grid
        if step + overlap <= longest:
            return [(k * step, min(k * step + longest, count)) for k in range(pieces) if k * step + overlap < count]
        pieces += 1


def chained_stages(name: str, spans: Sequence[FrameRange], shots: Sequence[FrameRange]) -> list[Stage]:
    """Return a stage for each span, which needs the one before it in the same shot."""
    out: list[Stage] = []
    for span in spans:
        first = any(span.start == shot.start for shot in shots)
        needs = () if first or not out else (out[-1].id,)
        out.append(Stage(f"{name}-{span.start:06d}", span.start, span.stop, needs))
    return out


@dataclass(frozen=True)
class Window:
    """Frames that are generated together.

    Attributes:
        start: First frame.
        stop: Frame after the last one.
        step: Distance of the frames; above 1 they are keyframes.
        known: Frames that earlier windows generated.
    """

    start: int
    stop: int
    step: int = 1
    known: range = range(0)

    @property
    def frames(self) -> range:
        """The frames of the window."""
        return range(self.start, self.stop, self.step)


def keyframe_guided_windows(count: int, longest: int = 81, stride: int = 10) -> list[Window]:
    """Return the windows of keyframe-guided propagation (UnderEraser, sec. 3.4, eq. 7), in an order that works.

    Every k-th frame is a keyframe, k = ceil(count / longest). Keyframes are generated first, as one clip, and are known
    in every window; each window starts at the last keyframe of the one before. Beyond the paper: k never exceeds
    `stride`, and keyframes that are then too many for one clip are propagated from keyframes of their own; the last
    window starts at an earlier keyframe instead of being a short tail.

    Args:
        count: Frames of the clip.
        longest: Frames of a window, at most.
        stride: The largest distance of keyframes in the network's training.

    Returns:
        Windows, each after all whose frames it knows.
    """
    if count <= longest:
        return [Window(0, count)] if count else []
    step = min(-(-count // longest), stride)
    keyframes = -(-count // step)
    coarse = [
        Window(w.start * step, (w.frames[-1]) * step + 1, w.step * step, _scaled(w.known, step))
        for w in keyframe_guided_windows(keyframes, longest, stride)
    ]
    return [*coarse, *(Window(a, b, 1, range(a, b, step)) for a, b in _chained(count, longest, step))]


def _chained(count: int, longest: int, step: int) -> list[tuple[int, int]]:
    """Return windows that start at the last keyframe of the one before; the last window is moved back."""
    out, start = [], 0
    while start + longest < count:
        out.append((start, start + longest))
        start = (start + longest - 1) // step * step
    last = -(-(count - longest) // step) * step
    return [*out, (last, count)]


def _scaled(numbers: range, factor: int) -> range:
    return range(numbers.start * factor, numbers.stop * factor, numbers.step * factor)


def overlapping_stages(name: str, shots: Sequence[tuple[int, int]], longest: int, shared: int) -> list[Stage]:
    """Return a stage for each window of each shot, and a stage for each crossfade between two windows.

    Windows start where latents do, so that they start from the same noise in the frames that they share.

    Args:
        name: Prefix of the stages' ids.
        shots: Frames (start, stop) of the shots.
        longest: Frames of a window, at most.
        shared: Frames that each window shares with the one before, at least.
    """
    spans = [
        (first + a, first + b)
        for first, stop in shots
        for a, b in overlapping_windows(stop - first, longest, shared, FRAMES_PER_LATENT)
    ]
    windows = [Stage(f"{name}-{start:06d}", start, stop) for start, stop in spans]
    return [*windows, *_joins(windows, longest)]


def keyframe_guided_stages(name: str, windows: Sequence[Window], first: int, fade: int) -> list[Stage]:
    """Return a stage for each window and a stage for each crossfade between two windows.

    Args:
        name: Prefix of the stages' ids.
        windows: The windows of a shot, by `keyframe_guided_windows`.
        first: The shot's first frame.
        fade: Frames of a crossfade, at most.

    Returns:
        Stages; each needs those that generate the keyframes that it knows.
    """
    stages: list[Stage] = []
    levels: dict[int, list[Stage]] = {}  # by the distance of their frames, in order
    for window in windows:
        needs = tuple(s.id for s in _generating(window.known, first, levels.get(window.known.step, [])))
        start = first + window.start
        stages.append(Stage(f"{name}-{start:06d}-{window.step}", start, first + window.stop, needs, window.step))
        levels.setdefault(window.step, []).append(stages[-1])
    shown = [s for s in stages if s.step == 1]
    return [*stages, *_joins(shown, fade)]


def _generating(known: range, first: int, stages: list[Stage]) -> list[Stage]:
    """Return those of some stages, whose starts and ends are in order, that generate known keyframes of a shot."""
    if not known:
        return []
    low = bisect_right(stages, first + known[0], key=lambda s: s.stop)
    return stages[low : bisect_right(stages, first + known[-1], key=lambda s: s.start)]


def _joins(windows: Sequence[Stage], fade: int) -> list[Stage]:
    out = []
    for k, (before, after) in enumerate(zip(windows, windows[1:], strict=False)):
        earlier = windows[k - 1].stop if k else 0  # where three windows overlap, crossfades follow one another
        start = max(after.start, before.stop - fade, earlier)
        if start < before.stop:
            out.append(Stage(f"{_JOIN}{after.id}", start, before.stop, (before.id, after.id)))
    return out


def is_join(stage: Stage) -> bool:
    """Return whether a stage crossfades two windows and generates nothing."""
    return is_join_id(stage.id)


def is_join_id(stage: str) -> bool:
    """Return whether a stage crossfades, by its id."""
    return stage.startswith(_JOIN)


def crossfade(stage: Stage, inputs: Mapping[Stage, Fill], frames: Array) -> Array:
    """Return the frames of a join.

    Args:
        stage: The join.
        inputs: Fills of its two windows; one that had nothing to fill is missing.
        frames: The join's frames (T, H, W, 3), which are returned if both are missing.

    Returns:
        (T, H, W, 3): the earlier window's frames fading into the later one's, or the frames of the only one.
    """
    parts = [_part(s, inputs[s], stage) for s in sorted(inputs, key=lambda s: s.start)]
    if len(parts) < 2:
        return parts[0] if parts else frames
    weights = rising_weights(len(stage.frames))[:, None, None, None]
    return np.asarray(parts[0] * (1 - weights) + parts[1] * weights)


def rising_weights(count: int) -> Array:
    """Return the weights of a crossfade (count,) float32: evenly spaced between 0 and 1, both excluded."""
    return np.arange(1, count + 1, dtype=np.float32) / (count + 1)


def _part(window: Stage, fill: Fill, join: Stage) -> Array:
    return fill.frames[join.start - window.start : join.stop - window.start]


def inject_keyframes(stage: Stage, frames: Array, mask: Array, inputs: Mapping[Stage, Fill]) -> tuple[Array, Array]:
    """Put generated keyframes into a stage's frames, and clear the mask there.

    Args:
        stage: The stage.
        frames: Its frames (T, H, W, 3).
        mask: Its mask (T, H, W) bool.
        inputs: Fills of the stages that generated keyframes.

    Returns:
        New frames and a new mask of the same shapes.
    """
    frames, mask = frames.copy(), mask.copy()
    index = {t: i for i, t in enumerate(stage.frames)}
    for before, fill in reversed(list(inputs.items())):  # where two stages generated a keyframe, the earlier one wins
        for t, keyframe in zip(before.frames, fill.frames, strict=True):
            if t in index:
                frames[index[t]] = keyframe
                mask[index[t]] = False
    return frames, mask
