"""Smoothed colour histograms in CIE Lab, and the log-likelihood ratio of two of them."""

import cv2
import numpy as np

from vremove_cli.geometry import Array

BINS = 20  # bins a channel: 5 units of L, 6.4 units of a and b
_UNIFORM_SHARE = 0.02  # of a flat histogram, mixed in so that no colour has probability 0


def to_lab(rgb: Array) -> Array:
    """Convert RGB (H, W, 3) uint8 to Lab (H, W, 3) float32, L in 0..100, a and b in about -100..100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def bins_of(lab: Array) -> Array:
    """Return the histogram bin (H, W) int32, 0 to BINS**3 - 1, of every pixel of a Lab picture (H, W, 3)."""
    scale = np.array([BINS / 100, BINS / 128, BINS / 128], np.float32)
    index = ((lab + np.array([0, 64, 64], np.float32)) * scale).astype(np.int32)
    index = np.clip(index, 0, BINS - 1)
    return (index[..., 0] * BINS + index[..., 1]) * BINS + index[..., 2]


def histogram(bins: Array, weight: Array) -> Array:
    """Return the smoothed colour distribution of a picture.

    Args:
        bins: Bins (H, W) of the pixels.
        weight: Weights (H, W) of the pixels, 0 or more.

    Returns:
        Probabilities (BINS**3,) float32, all above 0; uniform when all weights are 0.
    """
    counts = np.bincount(bins.ravel(), weight.ravel(), BINS**3).reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.concatenate([counts.take([0], axis), counts, counts.take([-1], axis)], axis)
        shifted = [padded.take(range(k, k + BINS), axis) for k in range(3)]
        counts = (shifted[0] + 2 * shifted[1] + shifted[2]) / 4
    flat = counts.ravel()
    total = flat.sum()
    if total <= 0:
        return np.full(BINS**3, 1 / BINS**3, np.float32)
    return ((1 - _UNIFORM_SHARE) * flat / total + _UNIFORM_SHARE / BINS**3).astype(np.float32)


def log_likelihood_ratio(bins: Array, own: Array, other: Array, limit: float) -> Array:
    """Return how much likelier each pixel's colour is in one distribution than in another.

    Args:
        bins: Bins (H, W) of the pixels.
        own: Distribution (BINS**3,).
        other: Distribution (BINS**3,) to compare with.
        limit: Largest absolute value of the result.

    Returns:
        log(own / other) (H, W) float32, clipped.
    """
    return np.clip(np.log(own / other), -limit, limit)[bins].astype(np.float32)
