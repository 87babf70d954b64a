"""All background motion that a run of frames needs, worked out once, in both directions of time."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip
from vremove_cli.motion.camera import camera_step
from vremove_cli.motion.flow import HoleFlow, hole_flow

LONG_SIDE = 960  # motion is measured at this size at most; it is smooth, and colours are sampled at full size anyway
_WORKERS = 2


@dataclass(frozen=True)
class MotionField:
    """Flow of the hidden background to the next (`ahead`) and the previous frame (`back`), by frame.

    `scale` is the size of a working pixel's grid against the frame's: working = frame * scale.
    """

    ahead: Mapping[int, HoleFlow]
    back: Mapping[int, HoleFlow]
    scale: float


def working_scale(info: ClipInfo) -> float:
    """Size at which motion is measured, against the frame's."""
    return min(1.0, LONG_SIDE / max(info.width, info.height))


def measure(
    clip: Clip, start: int, stop: int, masks: Mapping[int, Placed], tick: Callable[[], None] = lambda: None
) -> MotionField:
    """Motion of frames start <= t < stop; `masks` are binary (0 or 255) and full size. `tick` is called once a frame.

    Two neighbouring frames are in memory at a time; pairs in which nothing is hidden are skipped.
    """
    info = clip.info
    scale = working_scale(info)
    size = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    ahead: dict[int, HoleFlow] = {}
    back: dict[int, HoleFlow] = {}
    last: tuple[Array, Array] | None = None
    with ThreadPoolExecutor(_WORKERS) as pool:
        for frame in clip.frames(start, stop):
            t = frame.index
            gray = frame.gray()
            mask = masks[t].full(info.width, info.height) if t in masks else np.zeros(gray.shape, np.uint8)
            if scale < 1:
                gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
                mask = (cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8) * 255
            if last is not None and (mask.any() or last[1].any()):
                camera = camera_step(last[0], gray, last[1], mask)
                one = pool.submit(hole_flow, last[0], gray, last[1], mask, camera)
                two = pool.submit(hole_flow, gray, last[0], mask, last[1], np.linalg.inv(camera))
                ahead[t - 1], back[t] = one.result(), two.result()
            last = (gray, mask)
            tick()
    return MotionField(ahead, back, scale)
