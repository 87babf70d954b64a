"""Masks on the grids of subsampled components."""

import numpy as np

from vremove_cli.geometry import Array


def subsample_mask(mask: Array, sub_x: int, sub_y: int) -> Array:
    """A mask (h, w) on a subsampled grid: set where any of the covered pixels is."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % (1 << sub_y)), (0, -width % (1 << sub_x))))
    rows, columns = padded.shape[0] >> sub_y, padded.shape[1] >> sub_x
    return np.asarray(padded.reshape(rows, 1 << sub_y, columns, 1 << sub_x).any(axis=(1, 3)))
