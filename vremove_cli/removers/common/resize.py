"""The size and length that a network works at: choosing the size, resizing to it, padding a clip by mirroring."""

import cv2
import numpy as np

from vremove_cli.geometry import Array


def work_size(
    width: int, height: int, area: int, multiple: int, most: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Return the size that a network works at, of nearly the region's shape.

    Args:
        width: Width of the region in pixels.
        height: Height of the region in pixels.
        area: Pixels of a frame in the network's training.
        multiple: Both sides are multiples of this.
        most: The largest (width, height) that the network knows.

    Returns:
        (width, height).
    """
    scale = (area / (width * height)) ** 0.5
    if most is not None:
        scale = min(scale, most[0] / width, most[1] / height)
    sides = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return next(sides), next(sides)


def pad_mirrored(frames: Array, length: int) -> Array:
    """Return frames (T, ...) played forwards and backwards in turn, until there are `length` of them."""
    out = frames
    while len(out) < length:
        out = np.concatenate([out, out[::-1]])
    return out[:length]


def resize(picture: Array, size: tuple[int, int]) -> Array:
    """Return a picture (H, W[, C]) in [0, 1] at another (width, height), as float32 in [0, 1].

    A smaller pixel is the mean of what it covers; enlarging is bicubic.
    """
    smaller = size[0] <= picture.shape[1] and size[1] <= picture.shape[0]
    out = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(np.clip(out, 0, 1), np.float32)
