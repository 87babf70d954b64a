"""Motion inside a hole, continued from what is known round it."""

import cv2
import numpy as np

from vremove_cli.geometry import Array

_SWEEPS, _LAST_SWEEPS, _SMALL = 24, 8, 64  # a large level starts from a good guess: only its seams need smoothing
_CROSS = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4


def membrane(values: Array, unknown: Array) -> Array:
    """Values (H, W, C) float32 with the `unknown` (H, W) bool pixels replaced by the smoothest continuation.

    Solves Laplace's equation coarse to fine: each level starts from the next coarser one and is relaxed by Jacobi
    sweeps. Where everything is unknown the result is zero.
    """
    known = (~unknown).astype(np.float32)
    return _solve(values * known[..., None], known)


def _solve(weighted: Array, known: Array) -> Array:
    height, width = known.shape
    smallest = min(height, width) <= 4
    if smallest or known.min() > 0:
        total = known.sum()
        mean = weighted.sum(axis=(0, 1)) / total if total else np.zeros(weighted.shape[2], np.float32)
        out = np.broadcast_to(mean, weighted.shape).astype(np.float32)
    else:
        size = ((width + 1) // 2, (height + 1) // 2)
        small_known = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
        small = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        some = small_known > 0
        values = np.where(some[..., None], small / np.maximum(small_known, 1e-6)[..., None], 0)
        out = cv2.resize(_solve(values.astype(np.float32), some.astype(np.float32)), (width, height))
        out = out.reshape(height, width, -1)
    fixed = (known > 0)[..., None]
    source = np.where(fixed, weighted / np.maximum(known, 1e-6)[..., None], 0).astype(np.float32)
    free = np.ascontiguousarray(np.broadcast_to(~fixed, source.shape), np.float32)
    out = source + out * free
    if fixed.all():
        return out
    for _ in range(_SWEEPS if max(height, width) <= _SMALL else _LAST_SWEEPS):
        relaxed = cv2.filter2D(out, -1, _CROSS, borderType=cv2.BORDER_REPLICATE).reshape(out.shape)
        out = cv2.add(cv2.multiply(relaxed, free), source).reshape(source.shape)
    return out
