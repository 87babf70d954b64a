"""Fitting a network's pixels to the clip around the hole: colour drift is removed, grain is added.

A network's picture has drifted in colour and has lost the clip's grain. In a ring around the hole both pictures are
known: the low frequencies of their difference are continued into the hole and added; the standard deviation of the high
frequencies that the network's picture lacks is the strength of the added noise.
"""

import cv2
import numpy as np

from vremove_cli.arrays import ring
from vremove_cli.geometry import Array, Box, bounds

RING = 0.06  # width of the compared ring, as a share of the picture's shorter side
_FINE = 1.0  # pixels (standard deviation of a Gaussian) below which a detail counts as grain
_COARSE = 8  # pixels that a ring is wide at least where the drift is continued
_REACHED = 0.02  # share of known pixels in a Gaussian mean from which it counts
_LEAST = 1e-3  # standard deviation below which no grain is added, of a range of 1


def ring_width(size: tuple[int, int]) -> int:
    """Return the width in pixels of the ring in which pictures of a (height, width) are compared."""
    return max(4, round(RING * min(size)))


def changed_box(hole: Array) -> Box:
    """Return the part of a picture that `harmonise` reads and changes, for a hole (H, W) bool with any pixel."""
    return bounds(hole).grow(2 * ring_width(hole.shape)).clip(*hole.shape[::-1])


def harmonise(generated: Array, source: Array, hole: Array, reach: int, rng: np.random.Generator) -> Array:
    """Fit a network's picture to the clip around the hole.

    Args:
        generated: The network's picture (H, W, 3) float32 in [0, 1].
        source: The clip's picture (H, W, 3) float32 in [0, 1].
        hole: (H, W) bool.
        reach: Width of the compared ring in pixels. A part of a picture that holds the whole one's `changed_box` comes
            out as in the whole one.
        rng: Source of the grain.

    Returns:
        The generated picture (H, W, 3) float32 in [0, 1]; in and around the hole without its drift and with the clip's
        grain.
    """
    out = match_colours(generated, source, hole, reach)
    around = ring(hole, reach)
    if not around.any():
        return out
    inside = bounds(around | hole).grow(reach).clip(*hole.shape[::-1]).slices
    grain = _grain(source[inside], out[inside], around[inside])
    if grain > _LEAST:
        out[inside] += rng.normal(0, grain, (*around[inside].shape, 1))
    return np.clip(out, 0, 1, out=out)


def match_colours(generated: Array, source: Array, hole: Array, reach: int) -> Array:
    """Return a network's picture without its drift in colour, in and around the hole; parameters as `harmonise`."""
    out = np.array(generated, np.float32)
    around = ring(hole, reach)
    if around.any():
        inside = bounds(around | hole).grow(reach).clip(*hole.shape[::-1]).slices
        known = around[inside]
        out[inside] += _extrapolate(np.where(known[..., None], source[inside] - out[inside], 0), known, reach)
    return np.clip(out, 0, 1, out=out)


def _extrapolate(values: Array, known: Array, reach: int) -> Array:
    """Continue values (H, W, 3) from the pixels where they are known to all pixels.

    Normalised convolution: a Gaussian mean of the known pixels, at doubled standard deviations until it reaches every
    pixel. What it gives is smooth, so it works on means of squares of pixels.
    """
    height, width = known.shape
    step = max(1, reach // _COARSE)
    size = (-(-width // step), -(-height // step))
    weight = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(np.ascontiguousarray(values, np.float32), size, interpolation=cv2.INTER_AREA)  # 0 where unknown
    out, left = np.zeros_like(small), np.ones(weight.shape, bool)
    sigma = reach / step / 2
    while left.any() and sigma < 4 * max(weight.shape):
        total = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(small, (0, 0), sigma) / np.maximum(total, 1e-6)[..., None]
        reached = left & (total > _REACHED)
        out[reached] = mean[reached]
        left &= ~reached
        sigma *= 2
    smooth = cv2.GaussianBlur(out, (0, 0), reach / step / 4)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _grain(source: Array, generated: Array, around: Array) -> float:
    """Return the standard deviation of the noise that the source has on the ring and the generated picture lacks."""

    def noise(picture: Array) -> float:
        red, green, blue = cv2.split(picture)
        gray = (red + green + blue) / 3
        detail = (gray - cv2.GaussianBlur(gray, (0, 0), _FINE))[around]
        return 1.48 * float(np.median(np.abs(detail)))  # 1.48 MAD estimates the standard deviation of Gaussian noise

    return max(0.0, noise(source) ** 2 - noise(generated) ** 2) ** 0.5
