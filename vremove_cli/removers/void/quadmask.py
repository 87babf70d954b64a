"""VOID's mask of four values, as a picture and as its network was trained to see it.

0: remove; 63: remove, and what is behind it changes too; 127: changes once the object is gone; 255: keep.
"""

from enum import IntEnum

import numpy as np

from vremove_cli.geometry import Array


class Level(IntEnum):
    """The values of a quadmask."""

    REMOVE = 0
    BOTH = 63
    AFFECTED = 127
    KEEP = 255


ERASED, CHANGED = (Level.REMOVE, Level.BOTH), (Level.BOTH, Level.AFFECTED)


def draw_quadmask(erase: Array, affected: Array) -> Array:
    """A quadmask uint8 from what is erased and what will change, bool of one shape."""
    out = np.full(erase.shape, Level.KEEP, np.uint8)
    out[affected] = Level.AFFECTED
    out[erase] = Level.REMOVE
    out[erase & affected] = Level.BOTH
    return out


def quantise(values: Array) -> Array:
    """Gray values 0 to 255, float, as the nearest level by the reference's limits: uint8."""
    limits, levels = np.array([31, 95, 191]), np.array(list(Level), np.uint8)
    return levels[np.searchsorted(limits, values, side="left")]


def vae_input(quadmask: Array, *, second_pass: bool) -> Array:
    """What the VAE is given for a quadmask: float32, 0 where something goes, 1 where all stays.

    The first pass knows three values (63 counts as 0; 127 is 128/255), the second one only two (127 counts as 0).
    """
    keep = quadmask == Level.KEEP
    if second_pass:
        return keep.astype(np.float32)
    half = np.float32((255 - Level.AFFECTED) / 255)
    return np.where(keep, np.float32(1), np.where(quadmask == Level.AFFECTED, half, np.float32(0)))
