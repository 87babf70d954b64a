"""Where a result is measured: in the hole, in a ring round it that nobody touched, and along lines between them."""

from dataclasses import dataclass

import numpy as np

from vremove_cli.arrays import distance_from
from vremove_cli.geometry import Array, Box, bounds

# An erasure grows the mask by up to 4 % of the object's size (`masks.morphology.auto_grow`) and blends 2 pixels more.
_REACH_SHARE, _LEAST_REACH = 0.04, 6  # as a share of the object's size, and in pixels
_RING_SHARE, _LEAST_RING = 0.25, 12  # width of the ring as a share of the object's size, and in pixels
_LEAST_PIXELS = 64  # of the hole, and of the ring, below which a mean is chance


@dataclass(frozen=True)
class Zones:
    """The zones of one frame, on a box round the object.

    Attributes:
        box: Box in pixels of the frame; the arrays cover it.
        hole: (h, w) bool, the object's mask.
        ring: (h, w) bool, its surroundings beyond `reach`.
        distance: (h, w) float32, pixels from the mask's border, negative inside.
        reach: Pixels from the mask's border within which an erasure may end.
    """

    box: Box
    hole: Array
    ring: Array
    distance: Array
    reach: int


def zones_of(mask: Array) -> Zones | None:
    """Return the zones of a frame's mask (H, W) bool; None where the hole or the ring is too small to be measured."""
    area = np.count_nonzero(mask)
    if area < _LEAST_PIXELS:
        return None
    reach = max(_LEAST_REACH, round(_REACH_SHARE * area**0.5))
    width = max(_LEAST_RING, round(_RING_SHARE * area**0.5))
    box = bounds(mask).grow(reach + width).clip(mask.shape[1], mask.shape[0])
    hole = mask[box.slices]
    distance = distance_from(hole) if hole.all() else distance_from(hole) - distance_from(~hole)
    ring = (distance > reach) & (distance <= reach + width)
    return Zones(box, hole, ring, distance, reach) if np.count_nonzero(ring) >= _LEAST_PIXELS else None
