"""From what two moments show of a hidden pixel to one picture: colours averaged, gradients joined, no seams."""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.laplace_fill import membrane
from vremove_cli.plate.confidence import confidence, local_mean, stored
from vremove_cli.plate.poisson import solve_poisson

# Trust in a pixel falls with the frames it was followed through and with how much its two sightings differ.
FAR = 12.0  # frames
DIFFERENT = 15.0  # 8-bit levels
LEAST = 0.03
GUESSED = 0.02  # weight of an edge that no frame shows; its gradient is zero
ONE_SIDED = 8.0  # difference assumed where there is only one sighting
DIRTY = 8.0  # 8-bit levels by which a rim may differ from how it was seen elsewhere
STRAY = 10.0  # pixels of travel over which the belief in that difference halves: alignment errors grow with the path
HOLD = 0.015  # pull towards the colours seen, against the unit pull of a trusted gradient
_COARSE = 48


@dataclass
class Sightings:
    """What one direction of time shows of N hidden samples, C components each, float32.

    `colour` is the sample itself; `right` and `below` its neighbours' values where it was seen, `left` and `above`
    likewise for samples on the hole's left and upper rim only. `distance` is in frames, 0 where nothing was seen;
    `travel` in pixels. `guessed` (bool) where it was not seen but made up.
    """

    distance: Array
    travel: Array
    colour: Array
    right: Array
    below: Array
    left: Array
    above: Array
    guessed: Array

    @classmethod
    def none(cls, count: int, channels: int) -> "Sightings":
        distance, travel = np.zeros((2, count), np.float32)
        colour, right, below, left, above = np.zeros((5, count, channels), np.float32)
        return cls(distance, travel, colour, right, below, left, above, np.zeros(count, bool))


@dataclass(frozen=True)
class Fused:
    """The finished samples (C, h, w) float32, and how much each is to be believed (h, w) uint8 (see `confidence`)."""

    values: Array
    sure: Array


def fuse(known: Array, hole: Array, core: Array, ahead: Sightings, back: Sightings, peak: int, *, wary: bool) -> Fused:
    """Fill `hole` (h, w) bool of `known` (C, h, w) from two directions of time; N counts the hole in row order.

    Colours are weighted by 1 / distance squared (1 / distance alone is softer); so are gradients, taken where each
    sample was seen, and the picture is the one whose gradients come closest to them, given the rim (weighted Poisson
    equation). With `wary`, where the hole's soft border (outside `core`, the mask itself) does not look like what other
    frames saw there, a shadow, a reflection or a rest of the object lies on it: that part of the rim is not trusted,
    and the colours are held to what was seen.
    """
    levels = np.float32(255 / peak)
    weight_a, weight_b = _nearness(ahead.distance) ** 2, _nearness(back.distance) ** 2
    total = weight_a + weight_b
    seen = total > 0
    colour = _mean(ahead.colour, back.colour, weight_a, weight_b, total)
    differ = np.abs(ahead.colour - back.colour).mean(axis=1) * levels
    both = (weight_a > 0) & (weight_b > 0)
    differ = local_mean(np.where(both, differ, ONE_SIDED), hole)
    nearest = np.where(both, np.minimum(ahead.distance, back.distance), np.maximum(ahead.distance, back.distance))
    trust = np.maximum(np.exp(-nearest / FAR) * np.exp(-differ / DIFFERENT), LEAST)
    trust = np.where(seen, trust, GUESSED).astype(np.float32)

    def step(a: Array, b: Array, sign: int) -> Array:
        joined = _mean(a - ahead.colour, b - back.colour, weight_a, weight_b, total)
        return sign * joined * seen[:, None]

    spread = _Spread(hole, known.shape[0])
    start = known.copy()
    start[:, hole] = np.where(seen[:, None], colour, 0).T
    if not seen.all():
        start = _patch(start, hole, seen, peak)
    travel = (ahead.travel * weight_a + back.travel * weight_b) / np.maximum(total, 1e-6)
    rim, anchor = np.ones(hole.shape, np.float32), np.zeros(hole.shape, np.float32)
    if wary:
        dirt = _dirt(known[:, hole], colour.T, ~core[hole] & seen, hole, levels, travel)
        rim = np.exp(-((dirt / DIRTY) ** 2))
        anchor = np.where(spread.full(seen), HOLD * _outward(1 - rim, hole & ~core), 0).astype(np.float32)
    weight_x, weight_y = spread.edges(trust, rim[hole])
    grad_x = spread.gradient(step(ahead.right, back.right, 1), step(ahead.left, back.left, -1), axis=1)
    grad_y = spread.gradient(step(ahead.below, back.below, 1), step(ahead.above, back.above, -1), axis=0)
    values = solve_poisson(start, hole, grad_x, grad_y, weight_x, weight_y, anchor)
    sure = np.zeros(hole.shape, np.uint8)
    sure[hole] = stored(_chance(values[:, hole].T, hole, ahead, back, levels), seen & ~ahead.guessed)
    return Fused(values, sure)


def _chance(values: Array, hole: Array, ahead: Sightings, back: Sightings, levels: np.float32) -> Array:
    """How likely the fused samples (N, C) are right."""
    first = _nearness(ahead.distance) > _nearness(back.distance)

    def texture(end: Sightings) -> Array:
        return np.abs(end.right - end.colour).mean(axis=1) + np.abs(end.below - end.colour).mean(axis=1)

    def pull(end: Sightings) -> Array:
        return np.where(end.distance > 0, np.abs(end.colour - values).mean(axis=1), np.inf)

    nearer = np.minimum(pull(ahead), pull(back))
    nearer = np.where(np.isfinite(nearer), nearer, 0)
    return confidence(nearer * levels, np.where(first, texture(ahead), texture(back)) * levels, hole)


def _nearness(distance: Array) -> Array:
    return np.divide(1, distance, out=np.zeros_like(distance), where=distance > 0)


def _mean(a: Array, b: Array, weight_a: Array, weight_b: Array, total: Array) -> Array:
    top = a * weight_a[:, None] + b * weight_b[:, None]
    return top / np.maximum(total, 1e-6)[:, None]


def _dirt(known: Array, seen: Array, border: Array, hole: Array, levels: np.float32, travel: Array) -> Array:
    """How far the border as it is differs from how it was seen, (h, w) in 8-bit levels.

    Signed differences are averaged over 15x15 border pixels first: misplaced texture cancels, a shadow does not.
    """
    weight = np.zeros(hole.shape, np.float32)
    weight[hole] = border
    near = np.maximum(cv2.blur(weight, (15, 15)), 1e-6)
    gap = np.zeros(hole.shape, np.float32)
    gap[hole] = travel * border
    apart = cv2.blur(gap, (15, 15)) / near
    worst = np.zeros(hole.shape, np.float32)
    for was, other in zip(known, seen, strict=True):
        difference = np.zeros(hole.shape, np.float32)
        difference[hole] = (was - other) * border
        mean = np.abs(cv2.blur(difference, (15, 15)))
        agreed = mean / np.maximum(cv2.blur(np.abs(difference), (15, 15)), 1e-6)
        worst = np.maximum(worst, mean / near * agreed / (1 + apart / STRAY))
    return worst * levels * (cv2.blur(weight, (15, 15)) > 1e-4)


def _outward(values: Array, border: Array) -> Array:
    """Values known on a border (h, w), spread over the picture by nearness: a wide normalised blur."""
    weight = border.astype(np.float32)
    height, width = border.shape
    size = (min(width, _COARSE), min(height, _COARSE))  # it is smooth: a small picture of it will do
    top, bottom = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (values * weight, weight))
    sigma = max(1.0, max(size) / 6)
    spread = cv2.GaussianBlur(top, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(bottom, (0, 0), sigma), 1e-6)
    return cv2.resize(spread, (width, height), interpolation=cv2.INTER_LINEAR)


def _patch(start: Array, hole: Array, seen: Array, peak: int) -> Array:
    """A first guess for what was never seen: the smooth continuation of what surrounds it."""
    unknown = np.zeros(hole.shape, bool)
    unknown[hole] = ~seen
    if unknown.all():  # nothing to continue: gray, not what zeros mean
        return np.full_like(start, (peak + 1) // 2)
    smooth = membrane(np.ascontiguousarray(start.transpose(1, 2, 0)), unknown)
    return np.where(unknown, smooth.transpose(2, 0, 1), start)


class _Spread:
    """Puts per-sample values of a hole onto the edges of its grid.

    An edge belongs to its left (upper) pixel if that is in the hole, else to its right (lower) one.
    """

    def __init__(self, hole: Array, channels: int) -> None:
        self._hole, self._channels = hole, channels

    def full(self, values: Array) -> Array:
        out = np.zeros(self._hole.shape, np.float32)
        out[self._hole] = values
        return out

    def edges(self, trust: Array, rim: Array) -> tuple[Array, Array]:
        """Weights of the edges; those that leave the hole also count their pixel's `rim` trust."""
        inner, outer, hole = self.full(trust), self.full(trust * rim), self._hole
        x, y = inner.copy(), inner.copy()
        x[:, :-1] = np.where(hole[:, :-1], np.where(hole[:, 1:], inner[:, :-1], outer[:, :-1]), outer[:, 1:])
        y[:-1] = np.where(hole[:-1], np.where(hole[1:], inner[:-1], outer[:-1]), outer[1:])
        return x, y

    def gradient(self, forward: Array, rim: Array, axis: int) -> Array:
        """Edge gradients (C, h, w) from each sample's forward difference, or its backward one on the rim."""
        ahead = np.zeros((self._channels, *self._hole.shape), np.float32)
        behind = np.zeros_like(ahead)
        ahead[:, self._hole] = forward.T
        behind[:, self._hole] = rim.T
        if axis == 1:
            ahead[:, :, :-1] = np.where(self._hole[:, :-1], ahead[:, :, :-1], behind[:, :, 1:])
        else:
            ahead[:, :-1] = np.where(self._hole[:-1], ahead[:, :-1], behind[:, 1:])
        return ahead
