"""Comparison with another clip: with the source outside the hole, with a known truth inside it."""

import cv2
import numpy as np

from vremove_cli.geometry import Array

# Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
_WINDOW, _DEVIATION = (11, 11), 1.5  # pixels: side and deviation of the Gaussian window
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LEAST_ERROR = 0.01  # squared levels: 68 dB, what is written for no error at all


def squared_error(a: Array, b: Array) -> Array:
    """Return the mean squared difference of the channels (H, W) float32 of pictures (H, W, 3) uint8."""
    difference = cv2.absdiff(a, b).astype(np.float32)
    return np.asarray(cv2.transform(difference * difference, np.full((1, 3), 1 / 3, np.float32)))


def psnr(error: float) -> float:
    """Return a mean squared error of 8-bit levels as a peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / max(error, _LEAST_ERROR)))


def structural_similarity(a: Array, b: Array) -> Array:
    """Return the structural similarity (SSIM) of two gray pictures at each pixel.

    Args:
        a: (H, W) float32, 0 to 255.
        b: (H, W) float32, 0 to 255.

    Returns:
        (H, W) float32, -1 to 1; 1 where the pictures are equal.
    """

    def mean(x: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(x, _WINDOW, _DEVIATION))

    mean_a, mean_b = mean(a), mean(b)
    spread = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    common = mean(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _C1) * (2 * common + _C2)
    likeness /= (mean_a**2 + mean_b**2 + _C1) * (spread + _C2)
    return np.asarray(np.minimum(likeness, 1))  # rounding may give a little more
