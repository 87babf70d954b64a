"""Fuse what two directions of time show of a hole: average colours, join gradients, and solve for a seamless picture.

Gradient-domain fusion after Perez et al., "Poisson image editing", 2003, here with weighted gradients from two
observations. N counts the samples of a hole in row order, C the components. Differences are converted to 8-bit levels.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.confidence import encode_confidence, local_mean, predict_confidence
from vremove_cli.plate.poisson import solve_poisson

# The weight of a gradient falls with the frames its sample was traced through and with the difference of its two
# observations: w = max(exp(-frames / TRUST_FRAMES) exp(-levels / TRUST_LEVELS), MIN_TRUST).
TRUST_FRAMES = 12.0  # frames
TRUST_LEVELS = 15.0  # 8-bit levels
MIN_TRUST = 0.03
UNSEEN_TRUST = 0.02  # weight of a gradient that no frame shows; the gradient is zero
ONE_SIDED_DIFFERENCE = 8.0  # 8-bit levels assumed between the observations where there is only one
DIRTY_LEVELS = 8.0  # 8-bit levels by which a rim may differ from how other frames show it
STRAY_TRAVEL = 10.0  # pixels of travel that halve the belief in that difference: alignment errors grow with the path
ANCHOR = 0.015  # weight of the observed colours at a dirty rim, against the weight 1 of a trusted gradient

_RIM_WINDOW = (15, 15)  # pixels over which differences on the rim are averaged
_SPREAD_SIDE = 48  # pixels of the small picture on which rim values are spread
_SPREAD_SIGMAS = 6  # standard deviations of that spread in its longer side
_EPSILON = 1e-6  # keeps divisions finite


@dataclass
class Observations:
    """What one direction of time shows of N hidden samples, float32.

    Attributes:
        distance: (N,), frames to the observation; 0 where no frame shows the sample.
        travel: (N,), pixels between the sample and where it was observed.
        colour: (N, C), the observed sample.
        right: (N, C), its right neighbour's value where it was observed.
        below: (N, C), its lower neighbour's.
        left: (N, C), its left neighbour's; only for samples on the hole's left rim.
        above: (N, C), its upper neighbour's; only for samples on the hole's upper rim.
        synthesised: (N,) bool, whether the sample was synthesised instead of observed.
    """

    distance: Array
    travel: Array
    colour: Array
    right: Array
    below: Array
    left: Array
    above: Array
    synthesised: Array

    @classmethod
    def empty(cls, count: int, channels: int) -> "Observations":
        """Return observations of `count` samples with nothing seen yet."""
        distance, travel = np.zeros((2, count), np.float32)
        colour, right, below, left, above = np.zeros((5, count, channels), np.float32)
        return cls(distance, travel, colour, right, below, left, above, np.zeros(count, bool))

    @property
    def nearness(self) -> Array:
        """1 / distance (N,); 0 where nothing was seen."""
        return np.divide(1, self.distance, out=np.zeros_like(self.distance), where=self.distance > 0)

    @property
    def texture(self) -> Array:
        """Mean absolute forward difference (N,), summed over both directions, in sample values."""
        return np.abs(self.right - self.colour).mean(axis=1) + np.abs(self.below - self.colour).mean(axis=1)

    def distance_to(self, values: Array) -> Array:
        """Mean absolute difference (N,) of the colours to values (N, C); infinite where nothing was seen."""
        return np.where(self.distance > 0, np.abs(self.colour - values).mean(axis=1), np.inf)


@dataclass(frozen=True)
class Fused:
    """A filled hole.

    Attributes:
        values: (C, H, W) float32, the known samples with the hole filled.
        confidence: (H, W) uint8, stored values of `confidence`; 0 outside the hole.
    """

    values: Array
    confidence: Array


def fuse(
    known: Array,
    hole: Array,
    core: Array,
    ahead: Observations,
    back: Observations,
    peak: int,
    *,
    distrust_rim: bool,
) -> Fused:
    """Fill a hole from two directions of time.

    Colours are weighted by 1 / distance^2 (1 / distance is softer). So are gradients, each taken where its sample was
    observed; the picture's gradients come as close to them as the rim allows (weighted Poisson equation).

    Args:
        known: (C, H, W) float32 samples; those inside the hole do not count.
        hole: (H, W) bool with N samples: the mask and its soft border.
        core: (H, W) bool, the mask itself.
        ahead: Observations of the N samples in later frames.
        back: Observations in earlier frames.
        peak: Largest sample value.
        distrust_rim: A shadow, a reflection or a remnant of the object may lie on the hole's rim. Where the border
            outside `core` differs from how other frames show it, the rim then counts less and the colours are held to
            the observed ones.

    Returns:
        The filled samples and their confidence.
    """
    levels = np.float32(255 / peak)
    pair, grid = _Pair(ahead, back), _HoleGrid(hole, known.shape[0])
    seen = pair.seen
    colour = pair.mean(ahead.colour, back.colour)
    start = _initial_picture(known, hole, colour, seen, peak)
    rim, anchor = np.ones(hole.shape, np.float32), np.zeros(hole.shape, np.float32)
    if distrust_rim:
        border = ~core[hole] & seen
        dirt = _rim_dirt(known[:, hole], colour.T, border, hole, levels, pair.mean_travel())
        rim = np.exp(-((dirt / DIRTY_LEVELS) ** 2))
        anchor = np.where(grid.full(seen), ANCHOR * spread_inwards(1 - rim, hole & ~core), 0).astype(np.float32)
    weight_x, weight_y = grid.edge_weights(pair.trust(hole, levels), rim[hole])
    right, left = pair.gradient(ahead.right, back.right, 1), pair.gradient(ahead.left, back.left, -1)
    below, above = pair.gradient(ahead.below, back.below, 1), pair.gradient(ahead.above, back.above, -1)
    grad_x, grad_y = grid.edge_gradients(right, left, axis=1), grid.edge_gradients(below, above, axis=0)
    values = solve_poisson(start, hole, grad_x, grad_y, weight_x, weight_y, anchor)
    confidence = np.zeros(hole.shape, np.uint8)
    chance = pair.predict_confidence(values[:, hole].T, hole, levels)
    confidence[hole] = encode_confidence(chance, seen & ~ahead.synthesised)
    return Fused(values, confidence)


class _Pair:
    """The observations of both directions, averaged with the weights 1 / distance^2.

    Attributes:
        seen: (N,) bool, whether any direction shows the sample.
    """

    def __init__(self, ahead: Observations, back: Observations) -> None:
        self._ahead, self._back = ahead, back
        self._weight_ahead, self._weight_back = ahead.nearness**2, back.nearness**2
        self._total = self._weight_ahead + self._weight_back
        self.seen = self._total > 0

    def mean(self, a: Array, b: Array) -> Array:
        """Weighted mean (N, C) of values of `ahead` and of `back`; 0 where nothing was seen."""
        total = a * self._weight_ahead[:, None] + b * self._weight_back[:, None]
        return total / np.maximum(self._total, _EPSILON)[:, None]

    def mean_travel(self) -> Array:
        total = self._ahead.travel * self._weight_ahead + self._back.travel * self._weight_back
        return total / np.maximum(self._total, _EPSILON)

    def gradient(self, a: Array, b: Array, sign: int) -> Array:
        """Weighted mean (N, C) of the differences of neighbours to the samples; `sign` is -1 for backward ones."""
        return sign * self.mean(a - self._ahead.colour, b - self._back.colour) * self.seen[:, None]

    def trust(self, hole: Array, levels: np.float32) -> Array:
        """Weights (N,) float32 of the samples' gradients; `levels` are 8-bit levels per sample value."""
        ahead, back = self._ahead, self._back
        difference = np.abs(ahead.colour - back.colour).mean(axis=1) * levels
        both = (self._weight_ahead > 0) & (self._weight_back > 0)
        difference = local_mean(np.where(both, difference, ONE_SIDED_DIFFERENCE), hole)
        smaller, larger = np.minimum(ahead.distance, back.distance), np.maximum(ahead.distance, back.distance)
        frames = np.where(both, smaller, larger)
        trust = np.maximum(np.exp(-frames / TRUST_FRAMES) * np.exp(-difference / TRUST_LEVELS), MIN_TRUST)
        return np.where(self.seen, trust, UNSEEN_TRUST).astype(np.float32)

    def predict_confidence(self, values: Array, hole: Array, levels: np.float32) -> Array:
        """Chances (N,) that fused samples (N, C) are right; `levels` are 8-bit levels per sample value."""
        ahead, back = self._ahead, self._back
        pull = np.minimum(ahead.distance_to(values), back.distance_to(values))
        pull = np.where(np.isfinite(pull), pull, 0)
        texture = np.where(ahead.nearness > back.nearness, ahead.texture, back.texture)
        return predict_confidence(pull * levels, texture * levels, hole)


class _HoleGrid:
    """Puts values of a hole's N samples onto the pixels and edges of its grid.

    An edge belongs to its left (upper) pixel if that is in the hole, else to its right (lower) one.
    """

    def __init__(self, hole: Array, channels: int) -> None:
        self._hole, self._channels = hole, channels

    def full(self, values: Array) -> Array:
        """Values (N,) as a picture (H, W) float32, 0 outside the hole."""
        out = np.zeros(self._hole.shape, np.float32)
        out[self._hole] = values
        return out

    def edge_weights(self, trust: Array, rim: Array) -> tuple[Array, Array]:
        """Weights (H, W) of the edges to the right and downward; those that leave the hole also count `rim` (N,)."""
        inner, outer, hole = self.full(trust), self.full(trust * rim), self._hole
        x, y = inner.copy(), inner.copy()
        x[:, :-1] = np.where(hole[:, :-1], np.where(hole[:, 1:], inner[:, :-1], outer[:, :-1]), outer[:, 1:])
        y[:-1] = np.where(hole[:-1], np.where(hole[1:], inner[:-1], outer[:-1]), outer[1:])
        return x, y

    def edge_gradients(self, forward: Array, backward: Array, axis: int) -> Array:
        """Gradients (C, H, W) of the edges along an axis of (H, W).

        Args:
            forward: (N, C), each sample's forward difference.
            backward: (N, C), each sample's backward difference; used on the rim only.
            axis: 0 for edges downward, 1 for edges to the right.

        Returns:
            (C, H, W) float32.
        """
        out = np.zeros((self._channels, *self._hole.shape), np.float32)
        behind = np.zeros_like(out)
        out[:, self._hole] = forward.T
        behind[:, self._hole] = backward.T
        if axis == 1:
            out[:, :, :-1] = np.where(self._hole[:, :-1], out[:, :, :-1], behind[:, :, 1:])
        else:
            out[:, :-1] = np.where(self._hole[:-1], out[:, :-1], behind[:, 1:])
        return out


def _initial_picture(known: Array, hole: Array, colour: Array, seen: Array, peak: int) -> Array:
    """Known samples (C, H, W) with the hole's mean colours (N, C); unseen samples continue smoothly from the others."""
    start = known.copy()
    start[:, hole] = np.where(seen[:, None], colour, 0).T
    if seen.all():
        return start
    unknown = np.zeros(hole.shape, bool)
    unknown[hole] = ~seen
    if unknown.all():  # nothing to continue: middle gray
        return np.full_like(start, (peak + 1) // 2)
    smooth = laplace_fill(np.ascontiguousarray(start.transpose(1, 2, 0)), unknown)
    return np.where(unknown, smooth.transpose(2, 0, 1), start)


def _rim_dirt(known: Array, observed: Array, border: Array, hole: Array, levels: np.float32, travel: Array) -> Array:
    """Measure how far a hole's border differs from how other frames show it.

    Signed differences are averaged over 15x15 border pixels first: misplaced texture cancels, a shadow does not.

    Args:
        known: (C, N), the frame's own samples.
        observed: (C, N), the same samples in other frames.
        border: (N,) bool, which samples lie on the border.
        hole: (H, W) bool with N samples.
        levels: 8-bit levels per sample value.
        travel: (N,), pixels between a sample and its observations.

    Returns:
        (H, W) float32 in 8-bit levels, the largest of the components; 0 away from the border.
    """
    weight = _window_mean(border, hole)
    near = np.maximum(weight, _EPSILON)
    mean_travel = _window_mean(travel * border, hole) / near
    worst = np.zeros(hole.shape, np.float32)
    for own, other in zip(known, observed, strict=True):
        difference = (own - other) * border
        mean = np.abs(_window_mean(difference, hole))
        agreement = mean / np.maximum(_window_mean(np.abs(difference), hole), _EPSILON)
        worst = np.maximum(worst, mean / near * agreement / (1 + mean_travel / STRAY_TRAVEL))
    return worst * levels * (weight > 1e-4)


def _window_mean(values: Array, hole: Array) -> Array:
    """Mean (H, W) float32 over a window of a hole's values (N,), zero outside the hole."""
    full = np.zeros(hole.shape, np.float32)
    full[hole] = values
    return cv2.blur(full, _RIM_WINDOW)


def spread_inwards(values: Array, border: Array) -> Array:
    """Return values (H, W) known on a border (H, W) bool, spread over the picture: a wide normalised Gaussian blur."""
    weight = border.astype(np.float32)
    height, width = border.shape
    size = (min(width, _SPREAD_SIDE), min(height, _SPREAD_SIDE))  # the result is smooth: a small picture suffices
    weighted, weight = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (values * weight, weight))
    sigma = max(1.0, max(size) / _SPREAD_SIGMAS)
    spread = cv2.GaussianBlur(weighted, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), _EPSILON)
    return cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)
