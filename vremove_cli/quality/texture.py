"""Sharpness, grain and seams: each in the hole or along its border, and in its surroundings.

Pictures are gray levels (h, w) float32, 0 to 255, on the box of their zones.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.pixelwise import gradient_magnitude
from vremove_cli.quality.zones import Zones

# Immerkaer, "Fast Noise Variance Estimation", 1996: a kernel without response to edges, whose response to noise of
# standard deviation 1 has one of 6. The median of its magnitude (0.6745 of that) hardly depends on texture.
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / (6 * 0.6745)

# Lines along the border, numbered outwards; a line is a third of the reach wide, 2 pixels at least. An erasure ends
# between the border, which is that of line 0, and the reach, where line 2 ends; a soft one blends one line on.
_SEAM = range(-1, 4)
_PARALLEL = (*range(-6, -3), *range(5, 8))


def sharpness(gray: Array, zones: Zones) -> tuple[float, float]:
    """Return the mean magnitude of the Laplacian, in levels, in the hole and in the ring."""
    detail = np.abs(cv2.Laplacian(gray, cv2.CV_32F))
    return float(detail[zones.hole].mean()), float(detail[zones.ring].mean())


def grain(gray: Array, zones: Zones) -> tuple[float, float]:
    """Return the standard deviation of the noise, in levels, in the hole and in the ring."""
    noise = np.abs(cv2.filter2D(gray, cv2.CV_32F, _NOISE))
    return float(np.median(noise[zones.hole])), float(np.median(noise[zones.ring]))


def seam(gray: Array, zones: Zones) -> tuple[Array, float] | None:
    """Return how steep a picture is along the border of the hole.

    Returns:
        The mean gradient, in levels per pixel, of the lines (5,) along the border on which an erasure may end, and of
        lines parallel to them, inside and outside; None where the frame's edge leaves one of the first without pixels.
    """
    steep = gradient_magnitude(cv2.GaussianBlur(gray, (0, 0), 1.0))
    line = np.floor(zones.distance / (zones.reach / 3)).astype(int)
    border = [steep[line == k] for k in _SEAM]
    parallel = steep[np.isin(line, _PARALLEL)]
    if not all(map(len, border)) or not len(parallel):
        return None
    return np.array([values.mean() for values in border]), float(parallel.mean())
