"""Grain of carried pixels: what is painted once would show the same grain on every frame, beside grain that moves.

The grain of the clip is measured as it changes in time. Carried pixels lose what they brought along, and each frame
gets grain of its own.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Placed
from vremove_cli.motion.trace import sample_mask
from vremove_cli.motion.warp import sample
from vremove_cli.plate.carry import Keyframes
from vremove_cli.plate.sample_group import Planes

_RING = 24  # pixels round the gap in which grain is measured
_MOST_POINTS = 4000  # of the ring that are compared
_LEAST_POINTS = 100  # below which nothing is said
_LEAST = 0.3 / 255  # of the largest sample value, below which there is no grain
_MAD = 1.4826  # standard deviations of a Gaussian in its median absolute deviation
_INTERPOLATED = 0.65  # share of white noise's variance that bicubic interpolation leaves, the mean of all phases
_STILL = 0.01  # pixels of motion, up to which nothing is interpolated
_SEED = 3  # of the choice of points
_WINDOW = 7  # samples over which grain is averaged
_RANGE = 3.0  # standard deviations of the grain within which values count as one


def measure_grain(
    keyframes: Keyframes, t: int, other: int, planes: Planes, after: Planes, gap: Placed, hidden: Mapping[int, Placed]
) -> tuple[float, ...]:
    """Return the standard deviation of the grain of each component round a gap, in sample values.

    Args:
        keyframes: The motion.
        t: A frame.
        other: The next one or the one before.
        planes: Components of frame t.
        after: Those of the other frame.
        gap: The gap of frame t (uint8).
        hidden: Erase masks by frame.
    """
    info = keyframes.info
    box = gap.box.grow(_RING).clip(info.width, info.height)
    object_mask = hidden.get(t, Placed.nothing()).on(box)
    around = dilate_square(gap.on(box) > 0, _RING) & (gap.on(box) == 0) & (object_mask == 0)
    rows, columns = np.nonzero(around)
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:_MOST_POINTS]
    points = np.stack([columns[chosen] + box.x0, rows[chosen] + box.y0], axis=1).astype(np.float32)
    there, inside = keyframes.motion.locate(points, t, other)
    inside &= sample_mask(hidden.get(other, Placed.nothing()), there) == 0
    points, there = points[inside], there[inside]
    if len(points) < _LEAST_POINTS:
        return (0.0,) * len(planes)
    still = float(np.abs(there - np.rint(there)).max()) < _STILL
    variance = 2.0 if still else 1 + _INTERPOLATED
    out = []
    for plane, second, component in zip(planes, after, info.layout.components, strict=True):
        scale = np.array([1 << component.sub_x, 1 << component.sub_y], np.float32)
        at = np.rint(points / scale).astype(int).clip(0, [plane.shape[1] - 1, plane.shape[0] - 1])
        moved = (at + (there - points) / scale).astype(np.float32)
        change = sample(second.astype(np.float32), moved, cubic=not still) - plane[at[:, 1], at[:, 0]]
        deviation = _MAD * float(np.median(np.abs(change - np.median(change)))) / variance**0.5
        out.append(deviation if deviation >= _LEAST * info.layout.peak else 0.0)
    return tuple(out)


def without_grain(planes: Planes, grain: tuple[float, ...]) -> Planes:
    """Return components (H, W) without their grain, by a bilateral filter (Tomasi and Manduchi, 1998)."""
    return tuple(
        np.rint(cv2.bilateralFilter(plane.astype(np.float32), _WINDOW, _RANGE * deviation, _WINDOW / 2)).astype(
            plane.dtype
        )
        if deviation
        else plane
        for plane, deviation in zip(planes, grain, strict=True)
    )


def with_grain(planes: Planes, grain: tuple[float, ...], peak: int, rng: np.random.Generator) -> Planes:
    """Return components (H, W) with new grain.

    Args:
        planes: Components.
        grain: Standard deviation of each one's grain in sample values.
        peak: Largest sample value.
        rng: Source of the grain.
    """
    return tuple(
        np.clip(np.rint(plane + rng.normal(0, deviation, plane.shape)), 0, peak).astype(plane.dtype)
        if deviation
        else plane
        for plane, deviation in zip(planes, grain, strict=True)
    )
