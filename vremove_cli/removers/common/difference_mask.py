"""The difference mask: pixels beside the object that a remover changed, such as its shadow, reflection and light.

ROSE (Miao et al., 2025, sec. 4.4) marks the pixels where a clip with the object and the same clip without it differ by
more than 0.09. Here the second clip is generated: it is softer, off in colour, and unsteady. The difference is
therefore taken between blurred frames, less its median over the frame, and only where a neighbouring frame has it too.
"""

import cv2
import numpy as np

from vremove_cli.arrays import large_components
from vremove_cli.geometry import Array

THRESHOLD = 0.09  # mean absolute difference of R'G'B' in [0, 1]: ROSE, sec. 4.4
_BLUR = 1 / 200  # standard deviation of the blur, as a share of the shorter side
_SPECK = 0.0005  # components below this share of the frame are dropped


def difference_mask(generated: Array, source: Array, erase: Array) -> Array:
    """Return where generated frames differ from their source, outside the erase mask.

    Args:
        generated: (T, H, W, 3) float32 in [0, 1].
        source: The same shape and range.
        erase: (T, H, W) bool.

    Returns:
        (T, H, W) bool.
    """
    found = np.stack([_differ(g, s, e) for g, s, e in zip(generated, source, erase, strict=True)])
    if len(found) == 1:
        return _without_specks(found[0])[None]
    padded = np.concatenate([found[1:2], found, found[-2:-1]])
    steady = found & (padded[:-2] | padded[2:])
    return np.stack([_without_specks(one) for one in steady])


def _differ(generated: Array, source: Array, erase: Array) -> Array:
    """Return one frame's difference, (H, W) bool."""
    sigma = max(1.0, _BLUR * min(erase.shape))
    keep = ~erase
    difference = cv2.GaussianBlur(generated, (0, 0), sigma) - cv2.GaussianBlur(source, (0, 0), sigma)
    total = np.zeros(erase.shape, np.float32)
    for channel in cv2.split(difference):  # many times as fast as NumPy's reductions of the last axis
        total += np.abs(channel - np.median(channel[keep])) if keep.any() else np.abs(channel)
    return np.asarray((total / 3 > THRESHOLD) & keep)


def _without_specks(mask: Array) -> Array:
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return large_components(opened, _SPECK * mask.size)
