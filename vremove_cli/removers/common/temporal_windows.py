"""Runs of frames that overlap: generated apart, so that a farm may share them, and joined where they meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.removers.base import Fill, Stage
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT


def overlapping_windows(count: int, longest: int, overlap: int, grid: int = 1) -> list[tuple[int, int]]:
    """Half-open runs of at most `longest` that cover `count` frames in order, each sharing at least `overlap` frames
    with the one before; each begins at a multiple of `grid`."""
    if not 0 <= overlap < longest - grid:
        raise ValueError(f"an overlap of {overlap} leaves nothing of {longest} on a grid of {grid}")
    if count <= longest:
        return [(0, count)] if count else []
    pieces = -(-(count - overlap) // (longest - overlap))
    while True:
        step = -(-(count - longest) // (pieces - 1))
        step = -(-step // grid) * grid
        if step + overlap <= longest:
            return [(k * step, min(k * step + longest, count)) for k in range(pieces) if k * step + overlap < count]
        pieces += 1


@dataclass(frozen=True)
class Window:
    """Frames start <= t < stop, every `step`-th of them, generated together; those in `known` (a range) come from runs
    before it. A run with a step above 1 is of keyframes."""

    start: int
    stop: int
    step: int = 1
    known: range = range(0)

    @property
    def frames(self) -> range:
        return range(self.start, self.stop, self.step)


def keyframe_guided_windows(count: int, longest: int = 81, stride: int = 10) -> list[Window]:
    """Keyframe-guided propagation over `count` frames (UnderEraser, sec. 3.4, eq. 7), in an order that can be done.

    Every k-th frame is a keyframe, k = ceil(count / longest). They are generated first, as one clip, and are known in
    every window; each window begins at the last keyframe of the one before. Where k would exceed the `stride` that the
    network was trained with, it is that, and the keyframes, too many for one clip then, are themselves propagated. The
    last window is as long as the others: it begins at an earlier keyframe, rather than be a short tail.
    """
    if count <= longest:
        return [Window(0, count)] if count else []
    step = min(-(-count // longest), stride)
    keys = -(-count // step)
    before = [
        Window(r.start * step, (r.frames[-1]) * step + 1, r.step * step, _times(r.known, step))
        for r in keyframe_guided_windows(keys, longest, stride)
    ]
    return [*before, *(Window(a, b, 1, range(a, b, step)) for a, b in _chained(count, longest, step))]


def _chained(count: int, longest: int, step: int) -> list[tuple[int, int]]:
    """Windows that begin at keyframes, each at the last one of the window before; the last one is moved back."""
    out, start = [], 0
    while start + longest < count:
        out.append((start, start + longest))
        start = (start + longest - 1) // step * step
    last = -(-(count - longest) // step) * step
    return [*out, (last, count)]


def _times(numbers: range, factor: int) -> range:
    return range(numbers.start * factor, numbers.stop * factor, numbers.step * factor)


_JOIN = "join-"


def overlapping_stages(name: str, shots: Sequence[tuple[int, int]], longest: int, shared: int) -> list[Stage]:
    """Stages for runs of at most `longest` frames of each shot, which share at least `shared` with the one before, and
    short stages that go over from each run to the next where both have frames."""
    runs = [
        (first + a, first + b)
        for first, stop in shots
        for a, b in overlapping_windows(stop - first, longest, shared, FRAMES_PER_LATENT)
    ]
    windows = [Stage(f"{name}-{start:06d}", start, stop) for start, stop in runs]
    return [*windows, *_joins(windows, longest)]


def keyframe_guided_stages(name: str, runs: Sequence[Window], first: int, fade: int) -> list[Stage]:
    """Stages for keyframes and the windows between them, frame 0 of the runs being the frame `first`; and the joins.

    What a run knows it needs the runs before it for that generated those frames.
    """
    stages: list[Stage] = []
    for run in runs:
        needs = tuple(s.id for s, r in zip(stages, runs, strict=False) if _knows(run, r))
        start = first + run.start
        stages.append(Stage(f"{name}-{start:06d}-{run.step}", start, first + run.stop, needs, run.step))
    windows = [s for s in stages if s.step == 1]
    return [*stages, *_joins(windows, fade)]


def _knows(run: Window, before: Window) -> bool:
    """Whether a run knows keyframes that one before it generates."""
    known = run.known
    return bool(known) and before.step == known.step and before.start <= known[-1] and before.stop > known[0]


def _joins(windows: Sequence[Stage], fade: int) -> list[Stage]:
    out = []
    for k, (before, after) in enumerate(zip(windows, windows[1:], strict=False)):
        earlier = windows[k - 1].stop if k else 0  # where three runs meet, one goes over into the next at a time
        start = max(after.start, before.stop - fade, earlier)
        if start < before.stop:
            out.append(Stage(f"{_JOIN}{after.id}", start, before.stop, (before.id, after.id)))
    return out


def is_join(stage: Stage) -> bool:
    """Whether a stage makes nothing itself."""
    return stage.id.startswith(_JOIN)


def crossfade(stage: Stage, inputs: Mapping[Stage, Fill], frames: Array) -> Array:
    """What a join gives: the earlier run's frames going over into the later one's, (T, H, W, 3); what only one of them
    made, as that made it, and `frames` where neither had anything to do."""
    made = [_part(s, inputs[s], stage) for s in sorted(inputs, key=lambda s: s.start)]
    if len(made) < 2:
        return made[0] if made else frames
    ramp = rising_weights(len(stage.frames))[:, None, None, None]
    return np.asarray(made[0] * (1 - ramp) + made[1] * ramp)


def rising_weights(count: int) -> Array:
    """Return the weights of a crossfade (count,) float32: evenly spaced between 0 and 1, both excluded."""
    return np.arange(1, count + 1, dtype=np.float32) / (count + 1)


def _part(had: Stage, fill: Fill, wanted: Stage) -> Array:
    return fill.frames[wanted.start - had.start : wanted.stop - had.start]


def inject_keyframes(stage: Stage, frames: Array, mask: Array, inputs: Mapping[Stage, Fill]) -> tuple[Array, Array]:
    """Frames (T, H, W, 3) and mask (T, H, W) bool of a stage with the keyframes that were made before it put in, where
    nothing is to be erased any more."""
    frames, mask = frames.copy(), mask.copy()
    place = {t: i for i, t in enumerate(stage.frames)}
    for before, fill in reversed(list(inputs.items())):  # where two runs made a keyframe, the earlier one's counts
        for t, made in zip(before.frames, fill.frames, strict=True):
            if t in place:
                frames[place[t]] = made
                mask[place[t]] = False
    return frames, mask
