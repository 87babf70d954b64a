"""Where a remover changed the picture beside the object: its shadow, its reflection, its light, what it held up.

ROSE (Miao et al., 2025, sec. 4.4) calls it the difference mask, and draws it where a clip and the same without the
object differ by more than 0.09. Here the second one is what a network made, which is also a little softer everywhere,
off in colour, and restless: so it is the difference of smooth pictures, without what all of the frame has in common,
and only where a neighbouring frame has it too.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array

THRESHOLD = 0.09
_SMOOTH = 1 / 200  # of the shorter side
_SPECK = 0.0005  # of the frame


def difference_mask(made: Array, source: Array, erase: Array) -> Array:
    """Where frames made and their source (T, H, W, 3) float32 in [0, 1] differ outside of `erase` (T, H, W) bool."""
    found = np.stack([_differ(m, s, e) for m, s, e in zip(made, source, erase, strict=True)])
    if len(found) == 1:
        return _without_specks(found[0])[None]
    beside = np.concatenate([found[1:2], found, found[-2:-1]])
    steady = found & (beside[:-2] | beside[2:])
    return np.stack([_without_specks(one) for one in steady])


def _differ(made: Array, source: Array, erase: Array) -> Array:
    """One frame's difference, (H, W) bool."""
    smooth = max(1.0, _SMOOTH * min(erase.shape))
    apart = cv2.GaussianBlur(made, (0, 0), smooth) - cv2.GaussianBlur(source, (0, 0), smooth)
    if not erase.all():
        apart = apart - np.median(apart[~erase], axis=0)
    return np.asarray((np.abs(apart).mean(axis=2) > THRESHOLD) & ~erase)


def _without_specks(mask: Array) -> Array:
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    large = stats[:, cv2.CC_STAT_AREA] >= _SPECK * mask.size
    large[0] = False
    return np.asarray(large[labels])
