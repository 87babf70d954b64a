"""Where the background behind the object was last seen, and where it is seen next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array, Placed
from vremove_cli.motion.flow import HoleFlow
from vremove_cli.motion.warp import sample

FREE = 3  # mask values (0..255) below which a pixel counts as background: about 1 %


@dataclass(frozen=True)
class Ends:
    """For each of N hidden points: the frame that shows it (-1: none), where, and how many frames away."""

    frame: Array
    points: Array
    distance: Array


def trace(
    points: Array,
    start: int,
    step: int,
    stop: int,
    flows: Mapping[int, HoleFlow],
    hidden: Callable[[int, Array], Array],
    size: tuple[int, int],
    scale: float,
) -> Ends:
    """Follow points (N, 2) of frame `start` until the object no longer covers them.

    `step` is 1 or -1 and `stop` the first frame not to be entered. `flows[t]` leads from t to t + step at working
    scale (`scale` working pixels for one of the frame's); `hidden(t, points)` gives mask values (N,) 0..255 at points
    of frame t. `size` is the frame's (width, height). Points that leave the frame end nowhere.
    """
    count = len(points)
    frame = np.full(count, -1, np.int32)
    found = np.zeros((count, 2), np.float32)
    distance = np.zeros(count, np.float32)
    alive = np.arange(count)
    at: Array = points.astype(np.float32)
    t = start
    while len(alive) and t + step != stop:
        at = (flows[t].follow((at + 0.5) * scale - 0.5) + 0.5) / scale - 0.5
        t += step
        inside = (at[:, 0] >= 0) & (at[:, 0] <= size[0] - 1) & (at[:, 1] >= 0) & (at[:, 1] <= size[1] - 1)
        alive, at = alive[inside], at[inside]
        if not len(alive):
            break
        free = hidden(t, at) < FREE
        done = alive[free]
        frame[done], found[done], distance[done] = t, at[free], abs(t - start)
        alive, at = alive[~free], at[~free]
    return Ends(frame, found, distance)


def mask_lookup(mask: Placed, points: Array) -> Array:
    """Values (N,) of a mask at points (N, 2) of the frame; 0 outside its box."""
    local = points - np.array([mask.box.x0, mask.box.y0], np.float32)
    return sample(mask.values, local, outside=0.0)
