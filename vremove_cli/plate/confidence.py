"""How much a filled pixel is to be believed: the chance that it is within 12 levels of what was really there.

Two things tell most of it: how far the fused pixel ended up from the nearer of its sightings (the rim pulled it away:
the sighting does not belong there), and how much texture there is (the same small misalignment matters more). The two
weights are a logistic regression on 320,000 pixels of eight clips with known truth; `docs/plate.md` has the curve.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array

NEVER = 1  # stored value of a pixel that no frame shows; 0 is outside the hole, 2..255 is a chance of 0 to 1
BELIEVED = 0.7  # chance above which a pixel counts as recovered
_BASE, _TEXTURE, _PULL = 6.11, -0.83, -2.02


def confidence(pull: Array, texture: Array, hole: Array) -> Array:
    """Chances (N,) float32 for the pixels of `hole` (h, w) bool, N of them in row order.

    `pull` (N,) is the distance of the fused colour to the nearer sighting and `texture` (N,) the sighting's gradient,
    both in 8-bit levels; both are averaged over 7x7 pixels first.
    """
    score = _BASE + _TEXTURE * np.log(2 + local_mean(texture, hole))
    score += _PULL * np.log(1 + np.minimum(local_mean(pull, hole), 60))
    return np.asarray(1 / (1 + np.exp(-score)), np.float32)


def stored(chance: Array, seen: Array) -> Array:
    """Chances as they are kept, uint8."""
    return np.where(seen, 2 + np.rint(253 * chance), NEVER).astype(np.uint8)


def halved(values: Array) -> Array:
    """Stored values with half the chance: an effect that could not be told apart may lie on everything near."""
    return np.where(values > NEVER, 2 + (values.astype(np.int16) - 2) // 2, values).astype(np.uint8)


def recovered(values: Array) -> Array:
    """Where stored values mean: recovered."""
    return np.asarray(values >= 2 + round(253 * BELIEVED))


def unseen(values: Array) -> Array:
    """Where stored values mean doubtful or never seen: what a generative remover is asked for."""
    return np.asarray((values > 0) & ~recovered(values))


def local_mean(values: Array, hole: Array) -> Array:
    """Values (N,) of a hole's pixels (h, w) bool averaged over 7x7 pixels, of the hole's own only."""
    full = np.zeros(hole.shape, np.float32)
    full[hole] = values
    inside = cv2.blur(hole.astype(np.float32), (7, 7))
    return np.asarray((cv2.blur(full, (7, 7)) / np.maximum(inside, 1e-6))[hole])
