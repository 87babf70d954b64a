"""What colours an object and its surroundings have: smoothed histograms in Lab."""

import cv2
import numpy as np

from vremove_cli.geometry import Array

BINS = 20
_UNIFORM = 0.02  # share of a flat histogram mixed in, so that no colour is impossible


def to_lab(rgb: Array) -> Array:
    """L 0..100, a and b about -100..100, (H, W, 3) float32, from RGB (H, W, 3) uint8."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def bins_of(lab: Array) -> Array:
    """The histogram bin (H, W) of every pixel."""
    scale = np.array([BINS / 100, BINS / 128, BINS / 128], np.float32)
    index = ((lab + np.array([0, 64, 64], np.float32)) * scale).astype(np.int32)
    index = np.clip(index, 0, BINS - 1)
    return (index[..., 0] * BINS + index[..., 1]) * BINS + index[..., 2]


def histogram(bins: Array, weight: Array) -> Array:
    """Probabilities (BINS**3,) float32 of the bins of a picture, weighted by `weight` (H, W)."""
    counts = np.bincount(bins.ravel(), weight.ravel(), BINS**3).reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.concatenate([counts.take([0], axis), counts, counts.take([-1], axis)], axis)
        inner = [padded.take(range(k, k + BINS), axis) for k in range(3)]
        counts = (inner[0] + 2 * inner[1] + inner[2]) / 4
    flat = counts.ravel()
    total = flat.sum()
    if total <= 0:
        return np.full(BINS**3, 1 / BINS**3, np.float32)
    return ((1 - _UNIFORM) * flat / total + _UNIFORM / BINS**3).astype(np.float32)


def log_likelihood_ratio(bins: Array, own: Array, other: Array, limit: float) -> Array:
    """log(own / other) of every pixel, (H, W) float32, clipped to +-limit."""
    return np.clip(np.log(own / other), -limit, limit)[bins].astype(np.float32)
