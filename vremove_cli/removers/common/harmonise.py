"""Fitting a network's pixels to the clip around the hole: colour drift is removed, grain is added.

A network's picture has drifted in colour and has lost the clip's grain. In a ring around the hole both pictures are
known: the low frequencies of their difference are continued into the hole and added; the standard deviation of the high
frequencies that the network's picture lacks is the strength of the added noise.
"""

import cv2
import numpy as np

from vremove_cli.arrays import ring
from vremove_cli.geometry import Array

RING = 0.06  # width of the compared ring, as a share of the picture's shorter side
_FINE = 1.0  # pixels (standard deviation of a Gaussian) below which a detail counts as grain
_LEAST = 1e-3  # standard deviation below which no grain is added, of a range of 1


def harmonise(generated: Array, source: Array, hole: Array, rng: np.random.Generator) -> Array:
    """Fit a network's picture to the clip around the hole.

    Args:
        generated: The network's picture (h, w, 3) float32 in [0, 1], at any size.
        source: The clip's picture (H, W, 3) float32 in [0, 1].
        hole: (H, W) bool.
        rng: Source of the grain.

    Returns:
        The generated picture (H, W, 3) float32 in [0, 1], without its drift and with the clip's grain.
    """
    height, width = hole.shape
    large = generated
    if generated.shape[:2] != (height, width):
        large = cv2.resize(generated, (width, height), interpolation=cv2.INTER_CUBIC)
    reach = max(4, round(RING * min(height, width)))
    around = ring(hole, reach)
    if not around.any():
        return np.clip(large, 0, 1)
    drift = _extrapolate(np.where(around[..., None], source - large, 0), around, reach)
    out = large + drift
    grain = _grain(source, out, around)
    if grain > _LEAST:
        out = out + rng.normal(0, grain, (height, width, 1))
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _extrapolate(values: Array, known: Array, reach: int) -> Array:
    """Continue values (H, W, 3) from the pixels where they are known to all pixels.

    Normalised convolution: a Gaussian mean of the known pixels, at doubled standard deviations until it reaches every
    pixel.
    """
    out, left = np.zeros_like(values), np.ones(known.shape, bool)
    sigma = reach / 2
    weight = known.astype(np.float32)
    while left.any() and sigma < 4 * max(known.shape):
        total = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma) / np.maximum(total, 1e-6)[..., None]
        reached = left & (total > 0.02)
        out[reached] = mean[reached]
        left &= ~reached
        sigma *= 2
    return np.asarray(cv2.GaussianBlur(out, (0, 0), reach / 4), np.float32)


def _grain(source: Array, generated: Array, around: Array) -> float:
    """Return the standard deviation of the noise that the source has on the ring and the generated picture lacks."""

    def noise(picture: Array) -> float:
        gray = picture.mean(axis=2)
        detail = (gray - cv2.GaussianBlur(gray, (0, 0), _FINE))[around]
        return 1.48 * float(np.median(np.abs(detail)))  # 1.48 MAD estimates the standard deviation of Gaussian noise

    return max(0.0, noise(source) ** 2 - noise(generated) ** 2) ** 0.5
