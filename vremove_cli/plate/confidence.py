"""Predict for each filled pixel the chance that it is within 12 of 255 levels of the true background.

Two values predict most of it: how far the fused pixel lies from the nearer of its observations (the rim pulled it away,
so the observation does not belong there), and how much texture there is (a small misalignment then matters more). The
weights are a logistic regression on 320,000 pixels of eight clips with known truth; `docs/plate.md` has the curve.

A stored confidence is uint8: 0 outside the hole, `NEVER_SEEN`, or 2..255 for a chance of 0 to 1.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array

NEVER_SEEN = 1  # stored value of a pixel that no frame shows
RECOVERED_FROM = 0.7  # chance from which a pixel counts as recovered

_BIAS, _TEXTURE_WEIGHT, _PULL_WEIGHT = 6.11, -0.83, -2.02  # logistic regression, see above
_MAX_PULL = 60  # 8-bit levels at which the pull is capped
_WINDOW = (7, 7)  # pixels over which values are averaged


def predict_confidence(pull: Array, texture: Array, hole: Array) -> Array:
    """Predict the chance that each pixel of a hole is right.

    p = 1 / (1 + exp(-s)), s = b + b_t log(2 + texture) + b_p log(1 + pull), both values averaged over 7x7 pixels.

    Args:
        pull: (N,) float32, distance of the fused colour to the nearer observation in 8-bit levels.
        texture: (N,) float32, the observation's gradient in 8-bit levels.
        hole: (H, W) bool with N pixels, in row order.

    Returns:
        Chances (N,) float32 in [0, 1].
    """
    score = _BIAS + _TEXTURE_WEIGHT * np.log(2 + local_mean(texture, hole))
    score += _PULL_WEIGHT * np.log(1 + np.minimum(local_mean(pull, hole), _MAX_PULL))
    return np.asarray(1 / (1 + np.exp(-score)), np.float32)


def encode_confidence(chance: Array, seen: Array) -> Array:
    """Store chances in [0, 1] as uint8; `NEVER_SEEN` where `seen` is False."""
    return np.where(seen, 2 + np.rint(253 * chance), NEVER_SEEN).astype(np.uint8)


def recovered_mask(confidence: Array) -> Array:
    """Return where stored values say that a pixel is recovered, bool."""
    return np.asarray(confidence >= 2 + round(253 * RECOVERED_FROM))


def unrecovered_mask(confidence: Array) -> Array:
    """Return where a hole's stored values say doubtful or never seen, bool: the pixels for a generative remover."""
    return np.asarray((confidence > 0) & ~recovered_mask(confidence))


def local_mean(values: Array, hole: Array) -> Array:
    """Average values (N,) of a hole's pixels (H, W) bool over 7x7 pixels, counting pixels of the hole only."""
    full = np.zeros(hole.shape, np.float32)
    full[hole] = values
    inside = cv2.blur(hole.astype(np.float32), _WINDOW)
    return np.asarray((cv2.blur(full, _WINDOW) / np.maximum(inside, 1e-6))[hole])
