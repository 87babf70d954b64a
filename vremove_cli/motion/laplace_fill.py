"""Continue known values smoothly into unknown pixels by Laplace's equation, from coarse to fine grids.

The sweeps are few and the result approximate: it serves as a guess or a smooth fill. `plate.poisson` solves to a given
tolerance, with gradients and weights.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array

_SMALL_SIDE = 64  # pixels; a larger level starts from a good guess, and only its seams need smoothing
_SMALL_SWEEPS, _LARGE_SWEEPS = 24, 8  # Jacobi sweeps on levels up to `_SMALL_SIDE`, and on larger ones
_COARSEST_SIDE = 4  # pixels of the shorter side at which the mean replaces a coarser level
_MIN_WEIGHT = 1e-6  # keeps divisions finite
_NEIGHBOUR_MEAN = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4  # Jacobi step of the 5-point Laplacian


def laplace_fill(values: Array, unknown: Array) -> Array:
    """Replace unknown pixels by the smoothest continuation of the known ones.

    Solves Laplace's equation with the known pixels as boundary. Each level starts from the next coarser one and is
    relaxed by Jacobi sweeps.

    Args:
        values: (H, W) or (H, W, C) float32; what it holds in unknown pixels does not count.
        unknown: (H, W) bool.

    Returns:
        The filled values, of the shape of `values`, float32; zero if every pixel is unknown.
    """
    known = (~unknown).astype(np.float32)
    planes = values.reshape(*unknown.shape, -1)
    return _fill_level(planes * known[..., None], known).reshape(values.shape)


def _fill_level(weighted: Array, known: Array) -> Array:
    """Fill one level: `weighted` (H, W, C) float32 is values times `known` (H, W) float32, shares of known pixels."""
    guess = _initial_guess(weighted, known)
    fixed = (known > 0)[..., None]
    source = np.where(fixed, weighted / np.maximum(known, _MIN_WEIGHT)[..., None], 0).astype(np.float32)
    free = np.ascontiguousarray(np.broadcast_to(~fixed, source.shape), np.float32)
    out = source + guess * free
    if fixed.all():
        return out
    for _ in range(_SMALL_SWEEPS if max(known.shape) <= _SMALL_SIDE else _LARGE_SWEEPS):
        relaxed = cv2.filter2D(out, -1, _NEIGHBOUR_MEAN, borderType=cv2.BORDER_REPLICATE).reshape(out.shape)
        out = cv2.add(cv2.multiply(relaxed, free), source).reshape(source.shape)
    return out


def _initial_guess(weighted: Array, known: Array) -> Array:
    """The next coarser level's solution, enlarged; on the coarsest level the mean of the known values."""
    height, width = known.shape
    if min(height, width) <= _COARSEST_SIDE or known.min() > 0:
        total = known.sum()
        mean = weighted.sum(axis=(0, 1)) / total if total else np.zeros(weighted.shape[2], np.float32)
        return np.broadcast_to(mean, weighted.shape).astype(np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    known_share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    halved = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    some = known_share > 0
    values = np.where(some[..., None], halved / np.maximum(known_share, _MIN_WEIGHT)[..., None], 0)
    coarse = _fill_level(values.astype(np.float32), some.astype(np.float32))
    return cv2.resize(coarse, (width, height)).reshape(height, width, -1)
