"""Pixelwise statistics over the channels of a picture, and over a stack of pictures.

NumPy reduces and sorts along short axes value by value. Here every step works on whole pictures: channels are combined
one by one, and a stack is sorted by Batcher's odd-even merge sort (Knuth, The Art of Computer Programming 3, 5.2.2,
algorithm M), whose comparisons do not depend on the values.
"""

from collections.abc import Iterable, Iterator
from functools import cache, reduce

import cv2
import numpy as np

from vremove_cli.geometry import Array

_NOTHING = np.iinfo(np.int16).max


def largest_channel(picture: Array) -> Array:
    """Return the largest channel (H, W) of each pixel of a picture (H, W, C), of its dtype."""
    return np.asarray(reduce(np.maximum, np.moveaxis(picture, -1, 0)))


def smallest_channel(picture: Array) -> Array:
    """Return the smallest channel (H, W) of each pixel of a picture (H, W, C), of its dtype."""
    return np.asarray(reduce(np.minimum, np.moveaxis(picture, -1, 0)))


def mean_channel(picture: Array) -> Array:
    """Return the mean (H, W) float32 of the channels of a picture (H, W, 3), uint8 or float32."""
    return np.asarray(cv2.transform(picture.astype(np.float32, copy=False), np.full((1, 3), 1 / 3, np.float32)))


def gradient_magnitude(gray: Array) -> Array:
    """Return the magnitude (H, W) of the gradient of a gray picture (H, W) float32, in its units per pixel."""
    return np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)) / 8


def sorted_stack(pictures: Iterable[Array]) -> Array:
    """Return K pictures of the same shape and dtype as one array (K, ...) with the values of each pixel in order."""
    ordered = list(pictures)
    for low, high in _comparisons(len(ordered)):
        a, b = ordered[low], ordered[high]
        ordered[low], ordered[high] = np.minimum(a, b), np.maximum(a, b)
    return np.stack(ordered)


def shown_first(pictures: Iterable[Array], shown: Iterable[Array]) -> Array:
    """Sort a stack of pictures of which only some pixels count.

    Args:
        pictures: K pictures (h, w, C) int16. The largest value of int16 stands for what does not count.
        shown: K masks (h, w) bool, the pixels that count.

    Returns:
        (K, h, w, C) int16: of each pixel the values that count, in order, before the others.
    """
    kept = (picture.copy() for picture in pictures)
    hidden = ((~mask).view(np.uint8) for mask in shown)
    return sorted_stack(cv2.copyTo(np.full_like(k, _NOTHING), h, k) for k, h in zip(kept, hidden, strict=True))


def at_rank(ordered: Array, rank: Array) -> Array:
    """Return the values at a rank of each pixel.

    Args:
        ordered: (K, ...) from `sorted_stack`.
        rank: Integers of the shape of a picture, or of a picture without its channels; limited to 0 to K - 1.

    Returns:
        (...) of the dtype of `ordered`.
    """
    index = np.clip(rank, 0, len(ordered) - 1)
    index = index.reshape(1, *index.shape, *[1] * (ordered.ndim - 1 - index.ndim))
    return np.asarray(np.take_along_axis(ordered, index, axis=0)[0])


@cache
def _comparisons(count: int) -> tuple[tuple[int, int], ...]:
    """The pairs of places, in order, that a sort of `count` values compares and exchanges."""
    return tuple(_merge_steps(count))


def _merge_steps(count: int) -> Iterator[tuple[int, int]]:
    merged = 1  # length of the runs that are in order
    while merged < count:
        distance = merged
        while distance:
            for first in range(distance % merged, count - distance, 2 * distance):
                for low in range(first, min(first + distance, count - distance)):
                    if low // (2 * merged) == (low + distance) // (2 * merged):
                        yield low, low + distance
            distance //= 2
        merged *= 2
