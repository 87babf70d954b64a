"""Runs of frames that overlap: generated apart, so that a farm may share them, and joined where they meet."""

from collections.abc import Mapping, Sequence

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.removers.base import Fill, Stage
from vremove_cli.windows import Run, overlapping

_JOIN = "join-"
_GRID = 4  # frames to a latent: runs begin where latents do, so that they may begin with the same noise


def joined(name: str, shots: Sequence[tuple[int, int]], longest: int, shared: int) -> list[Stage]:
    """Stages for runs of at most `longest` frames of each shot, which share at least `shared` with the one before, and
    short stages that go over from each run to the next where both have frames."""
    runs = [
        (first + a, first + b) for first, stop in shots for a, b in overlapping(stop - first, longest, shared, _GRID)
    ]
    windows = [Stage(f"{name}-{start:06d}", start, stop) for start, stop in runs]
    return [*windows, *_joins(windows, longest)]


def guided(name: str, runs: Sequence[Run], first: int, fade: int) -> list[Stage]:
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


def _knows(run: Run, before: Run) -> bool:
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


def faded(stage: Stage, inputs: Mapping[Stage, Fill], frames: Array) -> Array:
    """What a join gives: the earlier run's frames going over into the later one's, (T, H, W, 3); what only one of them
    made, as that made it, and `frames` where neither had anything to do."""
    made = [_part(s, inputs[s], stage) for s in sorted(inputs, key=lambda s: s.start)]
    if len(made) < 2:
        return made[0] if made else frames
    count = len(stage.frames)
    ramp = (np.arange(1, count + 1, dtype=np.float32) / (count + 1))[:, None, None, None]
    return np.asarray(made[0] * (1 - ramp) + made[1] * ramp)


def _part(had: Stage, fill: Fill, wanted: Stage) -> Array:
    return fill.frames[wanted.start - had.start : wanted.stop - had.start]


def with_known(stage: Stage, frames: Array, mask: Array, inputs: Mapping[Stage, Fill]) -> tuple[Array, Array]:
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
