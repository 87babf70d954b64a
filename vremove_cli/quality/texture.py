"""Sharpness, grain and seams: each in the hole or along its border, and in its surroundings.

Pictures are gray levels (h, w) float32, 0 to 255, on the box of their zones.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.quality.zones import Zones

# Immerkaer, "Fast Noise Variance Estimation", 1996: a kernel without response to edges, whose response to noise of
# standard deviation 1 has one of 6. The median of its magnitude (0.6745 of that) hardly depends on texture.
_NOISE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / (6 * 0.6745)

# Lines along the border, numbered outwards; a line is a third of the reach wide, 2 pixels at least. An erasure ends
# between the border, which is that of line 0, and the reach, where line 2 ends; a soft one blends one line on.
_SEAM = range(-1, 4)
_PARALLEL = (*range(-6, -3), *range(5, 8))
_ASIDE = 99  # number of no line
_LEAST_LINE = 20  # pixels of a line below which its mean is chance
_AXES = ((1, 0), (0, 1))  # orders of the derivatives along x and along y


def sharpness(gray: Array, zones: Zones) -> tuple[float, float]:
    """Return the mean magnitude of the Laplacian, in levels, in the hole and in the ring."""
    detail = np.abs(cv2.Laplacian(gray, cv2.CV_32F))
    return float(detail[zones.hole].mean()), float(detail[zones.ring].mean())


def grain(gray: Array, zones: Zones) -> tuple[float, float]:
    """Return the standard deviation of the noise, in levels, in the hole and in the ring."""
    noise = np.abs(cv2.filter2D(gray, cv2.CV_32F, _NOISE))
    return float(np.median(noise[zones.hole])), float(np.median(noise[zones.ring]))


def seam(gray: Array, zones: Zones, aside: Array) -> tuple[tuple[Array, float], float] | None:
    """Return how steep a picture is across the border of the hole.

    Args:
        gray: The picture.
        zones: Its zones.
        aside: (h, w) bool, what does not count: edges that the picture has there are not the erasure's.

    Returns:
        The mean slopes across the border, in levels per pixel: of the lines (5,) along it on which an erasure may end,
        and of lines parallel to them, inside and outside; and the number of pixels of the former. None where too little
        of one of them is in the frame.
    """
    smooth = cv2.GaussianBlur(gray, (0, 0), 1.0)
    across = [cv2.Sobel(zones.distance, cv2.CV_32F, *axis) for axis in _AXES]
    along = [cv2.Sobel(smooth, cv2.CV_32F, *axis) / 8 for axis in _AXES]
    steep = np.abs(across[0] * along[0] + across[1] * along[1]) / np.maximum(np.hypot(*across), 1)
    line = np.where(aside, _ASIDE, np.floor(zones.distance / (zones.reach / 3)).astype(int))
    border, parallel = [steep[line == k] for k in _SEAM], steep[np.isin(line, _PARALLEL)]
    if min(map(len, (*border, parallel))) < _LEAST_LINE:
        return None
    lines = np.array([values.mean() for values in border])
    return (lines, float(parallel.mean())), float(sum(map(len, border)))
