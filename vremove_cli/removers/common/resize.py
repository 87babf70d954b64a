"""The room between a clip and a network: frames at the size a network wants, and what it made at the clip's own size.

A network's picture is softer than the clip, has drifted in colour, and has lost its grain. Round the hole both are
known: there the difference is measured, and what is low in frequency of it is continued into the hole; what is high in
the clip and missing in the network's picture is grain, and is put back as noise of that strength.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array

RING = 0.06  # width of the ring round a hole that is compared, in shares of the shorter side
_FINE = 1.0  # pixels (standard deviation) below which a detail counts as grain
_LEAST = 1e-3


def work_size(
    width: int, height: int, area: int, multiple: int, most: tuple[int, int] | None = None
) -> tuple[int, int]:
    """The (width, height) that a network works at: of the clip's shape, about this area, sides of its multiple and none
    above the `most` it knows."""
    scale = (area / (width * height)) ** 0.5
    if most is not None:
        scale = min(scale, most[0] / width, most[1] / height)
    sides = (max(multiple, round(side * scale / multiple) * multiple) for side in (width, height))
    return next(sides), next(sides)


def pad_mirrored(frames: Array, length: int) -> Array:
    """Frames (T, ...) to and fro until there are `length` of them."""
    out = frames
    while len(out) < length:
        out = np.concatenate([out, out[::-1]])
    return out[:length]


def resize(picture: Array, size: tuple[int, int]) -> Array:
    """A picture (H, W[, C]) float32 at another (width, height)."""
    smaller = size[0] <= picture.shape[1] and size[1] <= picture.shape[0]
    out = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.asarray(np.clip(out, 0, 1), np.float32)


def harmonise(made: Array, source: Array, hole: Array, rng: np.random.Generator) -> Array:
    """What a network made (h, w, 3), at the size of its source (H, W, 3) and fit to go into `hole` (H, W) bool; all
    float32 in [0, 1]."""
    height, width = hole.shape
    large = made
    if made.shape[:2] != (height, width):
        large = cv2.resize(made, (width, height), interpolation=cv2.INTER_CUBIC)
    reach = max(4, round(RING * min(height, width)))
    near = cv2.dilate(hole.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
    ring = near & ~hole
    if not ring.any():
        return np.clip(large, 0, 1)
    drift = _continued(np.where(ring[..., None], source - large, 0), ring, reach)
    out = large + drift
    grain = _grain(source, out, ring)
    if grain > _LEAST:
        out = out + rng.normal(0, grain, (height, width, 1))
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _continued(values: Array, known: Array, reach: int) -> Array:
    """Values (H, W, 3) that are known on a ring, smooth, everywhere: a blur that counts only what is known, at growing
    sizes until it reaches everything."""
    out, left = np.zeros_like(values), np.ones(known.shape, bool)
    sigma = reach / 2
    weight = known.astype(np.float32)
    while left.any() and sigma < 4 * max(known.shape):
        total = cv2.GaussianBlur(weight, (0, 0), sigma)
        mean = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma) / np.maximum(total, 1e-6)[..., None]
        here = left & (total > 0.02)
        out[here] = mean[here]
        left &= ~here
        sigma *= 2
    return np.asarray(cv2.GaussianBlur(out, (0, 0), reach / 4), np.float32)


def _grain(source: Array, made: Array, ring: Array) -> float:
    """The standard deviation of the noise that a picture has on a ring and another lacks there."""

    def rough(picture: Array) -> float:
        gray = picture.mean(axis=2)
        detail = (gray - cv2.GaussianBlur(gray, (0, 0), _FINE))[ring]
        return 1.48 * float(np.median(np.abs(detail)))

    return max(0.0, rough(source) ** 2 - rough(made) ** 2) ** 0.5
