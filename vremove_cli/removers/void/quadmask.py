"""VOID's mask of four values (quadmask): drawing it, reading it, and the network's view of it.

0: erase; 63: erase, and what is behind changes too; 127: changes once the object is gone; 255: keep.
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


def draw_quadmask(erase: Array, affected: Array) -> Array:
    """Draw a quadmask.

    Args:
        erase: Pixels to erase, bool of any shape.
        affected: Pixels that change once the object is gone, bool of the same shape.

    Returns:
        uint8 of that shape; see `Level`.
    """
    out = np.full(erase.shape, Level.KEEP, np.uint8)
    out[affected] = Level.AFFECTED
    out[erase] = Level.REMOVE
    out[erase & affected] = Level.BOTH
    return out


def quantise(values: Array) -> Array:
    """Return the nearest `Level` (uint8) of gray values from 0 to 255, by the limits of the released code."""
    limits, levels = np.array([31, 95, 191]), np.array(list(Level), np.uint8)
    return levels[np.searchsorted(limits, values, side="left")]


def is_erased(values: Array) -> Array:
    """Return where a quadmask of gray values (H, W) says: erase. Bool (H, W)."""
    return np.isin(quantise(values), (Level.REMOVE, Level.BOTH))


def is_affected(values: Array) -> Array:
    """Return where a quadmask of gray values (H, W) says: changes once the object is gone. Bool (H, W)."""
    return np.isin(quantise(values), (Level.BOTH, Level.AFFECTED))


def vae_input(quadmask: Array, *, second_pass: bool) -> Array:
    """Return a quadmask as the VAE encodes it.

    Args:
        quadmask: Values of `Level`, uint8 of any shape.
        second_pass: The first pass knows three values (63 becomes 0, 127 becomes 128/255), the second pass two (127
            becomes 0).

    Returns:
        float32 of that shape: 0 where something goes, 1 where all stays.
    """
    keep = quadmask == Level.KEEP
    if second_pass:
        return keep.astype(np.float32)
    half = np.float32((255 - Level.AFFECTED) / 255)
    return np.where(keep, np.float32(1), np.where(quadmask == Level.AFFECTED, half, np.float32(0)))
