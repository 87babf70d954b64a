"""How wide the seams between a remover's windows are, with keyframes that lead them and without."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from support.clips import mask_of, scene
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.removers.base import Fill, Shot, ShotInfo, Stage
from vremove_cli.removers.common.temporal_windows import is_join


@dataclass(frozen=True)
class Seams:
    """Means of absolute differences, of 1: between two windows in the frames that both have (`led` by keyframes,
    `alone` without), from frame to frame where windows meet and are `joined`, and from frame to frame `inside`; the
    `effect` of the keyframes on what the windows make; and how many `keyframes` there are."""

    led: float
    alone: float
    joined: float
    inside: float
    effect: float
    keyframes: int


def measured(remover: Any, frames: int, size: tuple[int, int]) -> Seams:
    """Run all stages over the tests' scene at a (width, height), and the windows once more without keyframes."""
    stages = remover.stages(ShotInfo((FrameRange(0, frames),), (FrameRange(0, frames),), *size))
    source = np.stack([cv2.resize(scene(t, 96, 64), size) for t in range(frames)]).astype(np.float32) / 255
    mask = np.stack([cv2.resize(mask_of(t, 96, 64), size) > 127 for t in range(frames)])

    def run(stage: Stage, inputs: dict[Stage, Fill]) -> Fill:
        own = list(stage.frames)
        shot = Shot(source[own], mask[own], mask[own], np.zeros_like(mask[own]), stage.start, 0, 0, lambda *_: None)
        return remover.run(stage, shot, inputs)

    made: dict[Stage, Fill] = {}
    for stage in stages:
        made[stage] = run(stage, {s: made[s] for s in stages if s.id in stage.needs})
    windows = [s for s in stages if s.step == 1 and not is_join(s)]
    alone = {s: run(s, {}) for s in windows}
    video = np.empty_like(source)
    for stage in reversed(windows):
        video[stage.start : stage.stop] = made[stage].frames
    for stage in filter(is_join, stages):
        video[stage.start : stage.stop] = made[stage].frames
    steps = np.abs(np.diff(video, axis=0)).mean(axis=(1, 2, 3))
    border = np.zeros(len(steps), bool)
    for stage in filter(is_join, stages):
        border[max(0, stage.start - 1) : stage.stop] = True
    return Seams(
        _gap(windows, made), _gap(windows, alone), float(steps[border].mean()), float(steps[~border].mean()),
        float(np.mean([np.abs(made[s].frames - alone[s].frames).mean() for s in windows])),
        sum(len(s.frames) for s in stages if s.step > 1),
    )  # fmt: skip


def _gap(windows: list[Stage], made: dict[Stage, Fill]) -> float:
    out = []
    for before, after in zip(windows, windows[1:], strict=False):
        shared = before.stop - after.start
        out.append(np.abs(made[before].frames[-shared:] - made[after].frames[:shared]).mean())
    return float(np.mean(out))
