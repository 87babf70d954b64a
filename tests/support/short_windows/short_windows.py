"""Removers of an installed package: UnderEraser with windows of 17 frames, so that a short clip has several.

One computes with the networks that it is given. The other one waits instead, as a process does while a GPU computes.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from vremove_cli.geometry import Array
from vremove_cli.removers.base import ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.temporal_windows import keyframe_guided_stages, keyframe_guided_windows
from vremove_cli.removers.undereraser.remover import FADE, UnderEraserRemover

WINDOW = 17
STEP = 0.1  # seconds that a step takes of the one that waits


class ShortWindows(UnderEraserRemover):
    spec = replace(UnderEraserRemover.spec, name="short-windows")

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return [
            stage
            for first, stop in shot.shots
            for stage in keyframe_guided_stages("short", keyframe_guided_windows(stop - first, WINDOW), first, FADE)
        ]

    def length(self, frames: int) -> int:
        return WINDOW


class WaitingWindows(ShortWindows):
    spec = replace(ShortWindows.spec, name="waiting-windows")

    def denoiser(self, runtime: placement.Runtime) -> Any:
        return _Waiting(super().denoiser(runtime).vae, self.steps())


class _Waiting:
    """See `common.wan.remover.Denoiser`."""

    def __init__(self, vae: Any, steps: int) -> None:
        self.vae, self._steps = vae, steps

    def __call__(self, frames: Array, mask: Array, noise: Any, tick: Callable[[int], None]) -> Any:
        for step in range(self._steps):
            time.sleep(STEP)
            tick(step)
        return noise
