"""Trace hidden background points along the flow until a frame shows them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array, Placed
from vremove_cli.motion.flow import HoleFlow
from vremove_cli.motion.warp import sample

BACKGROUND_BELOW = 3  # mask value (0..255) below which a point counts as background: about 1 %


@dataclass(frozen=True)
class TraceResult:
    """Where each of N hidden points becomes visible.

    Attributes:
        frame: (N,) int32, the frame that shows the point; -1 if none does.
        points: (N, 2) float32, its position (x, y) there in pixels.
        distance: (N,) float32, how many frames away that is; 0 if none shows it.
    """

    frame: Array
    points: Array
    distance: Array


def trace(
    points: Array,
    start: int,
    direction: int,
    stop: int,
    flows: Mapping[int, HoleFlow],
    mask_at: Callable[[int, Array], Array],
    size: tuple[int, int],
    scale: float,
) -> TraceResult:
    """Follow points in one direction of time until the object no longer covers them.

    Args:
        points: (N, 2) (x, y) in pixels of frame `start`.
        start: The frame that hides the points.
        direction: 1 for forward in time, -1 for backward.
        stop: The first frame not to enter.
        flows: Flow from frame t to frame t + `direction`, by t, in working pixels.
        mask_at: Takes a frame and points (M, 2) in its pixels; returns mask values (M,) 0..255.
        size: The frame's (width, height) in pixels.
        scale: Working pixels per frame pixel.

    Returns:
        Where the points become visible; points that leave the frame are never visible.
    """
    count = len(points)
    frame = np.full(count, -1, np.int32)
    visible_at = np.zeros((count, 2), np.float32)
    distance = np.zeros(count, np.float32)
    alive = np.arange(count)
    positions: Array = points.astype(np.float32)
    t = start
    while len(alive) and t + direction != stop:
        positions = (flows[t].map_points((positions + 0.5) * scale - 0.5) + 0.5) / scale - 0.5
        t += direction
        x, y = positions[:, 0], positions[:, 1]
        inside = (x >= 0) & (x <= size[0] - 1) & (y >= 0) & (y <= size[1] - 1)
        alive, positions = alive[inside], positions[inside]
        if not len(alive):
            break
        visible = mask_at(t, positions) < BACKGROUND_BELOW
        done = alive[visible]
        frame[done], visible_at[done], distance[done] = t, positions[visible], abs(t - start)
        alive, positions = alive[~visible], positions[~visible]
    return TraceResult(frame, visible_at, distance)


def sample_mask(mask: Placed, points: Array) -> Array:
    """Sample a mask bilinearly at points (N, 2) of the frame: (N,) of its dtype, 0 outside its box."""
    if mask.box.empty:
        return np.zeros(len(points), mask.values.dtype)
    local = points - np.array([mask.box.x0, mask.box.y0], np.float32)
    return sample(mask.values, local, outside=0.0)
