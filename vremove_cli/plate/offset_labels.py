"""Lay out a small hole as pieces of its surroundings, each moved over by one of a few offsets.

He and Sun, "Statistics of Patch Offsets for Image Completion", 2012: patches of a picture resemble each other at few
offsets, and a hole is completed well by pixels moved over by these. Each pixel of the hole takes one offset (label), so
that both sides of a seam are alike and the hole's rim is met. All labels are found together by min-sum belief
propagation (Felzenszwalb and Huttenlocher, "Efficient Belief Propagation for Early Vision", 2006) in place of graph
cuts.
"""

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array
from vremove_cli.plate.patch_match import RADIUS, allowed_sources

_FREQUENT, _FITTING = 50, 50  # offsets tried: the most frequent ones (He and Sun take 60), and those that fit the rim
_COUNTED = 2500  # patches whose offsets are counted
_FITTED = 8000  # patches that are fitted to the rim
_NEAR = 1 / 15  # of the picture's longer side; shorter offsets tell nothing: He and Sun, section 3
_SPREAD = 1.4  # pixels, standard deviation of the Gaussian that smooths the counts: He and Sun, section 3
_TURNS = 30  # of belief propagation
_DAMPING = np.float32(0.5)  # of its messages, so that they settle
_RIM_WEIGHT = 2.0  # of the misfit to a known neighbour against the misfit at a seam
_DISTANCE_COST = 5.0  # squared 8-bit levels for a pixel of distance: breaks ties
_FORBIDDEN = np.float32(1e9)  # cost of an offset to an unknown pixel


def lay_out(picture: Array, hole: Array, unknown: Array, described: Array) -> Array:
    """Choose the pixel to copy for each pixel of a hole.

    Args:
        picture: (H, W, C) float32, with a smooth continuation where unknown.
        hole: (H, W) bool, a few hundred pixels.
        unknown: (H, W) bool, what is not to be copied; holds `hole`.
        described: (H, W, K) float32, descriptors of the picture's patches.

    Returns:
        (N,) int, positions in the flattened picture, one for each pixel of the hole in their order.
    """
    height, width = hole.shape
    allowed = allowed_sources(unknown)
    fitting, frequent = _fitting_offsets(picture, hole, unknown, allowed), _frequent_offsets(described, allowed)
    offsets = np.unique(np.concatenate([frequent, fitting]), axis=0)
    rows, columns = np.nonzero(hole)
    x, y = columns[:, None] + offsets[:, 0], rows[:, None] + offsets[:, 1]
    places = _position(y, x, hole.shape)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    own = _RIM_WEIGHT * _rim_misfit(picture, unknown, rows, columns, offsets)
    own += _DISTANCE_COST * np.hypot(offsets[:, 0], offsets[:, 1]).astype(np.float32)
    own += np.where(inside & ~unknown.ravel()[places], 0, _FORBIDDEN)
    labels = _propagate(own, _differences(picture.reshape(height * width, -1)[places]), hole)
    return np.asarray(places[np.arange(len(labels)), labels])


def _position(y: Array, x: Array, shape: tuple[int, int]) -> Array:
    """Position in the flattened picture; a place outside it becomes the nearest one inside."""
    return np.asarray(np.clip(y, 0, shape[0] - 1) * shape[1] + np.clip(x, 0, shape[1] - 1))


def _thinned(values: Array, most: int) -> Array:
    """At most so many of the values, evenly taken."""
    return values[:: max(1, -(-len(values) // most))]


def _frequent_offsets(described: Array, allowed: Array) -> Array:
    """The offsets (N, 2) at which known patches resemble each other most often."""
    height, width, _ = described.shape
    centres = _thinned(np.flatnonzero(allowed), _COUNTED)
    y, x = np.divmod(centres, width)
    features = described[y, x]
    distance = (features**2).sum(axis=1) - 2 * features @ features.T
    apart = np.maximum(abs(x - x[:, None]), abs(y - y[:, None]))
    distance[apart < max(2, _NEAR * max(height, width))] = np.inf
    best = distance.argmin(axis=1)
    counts = np.zeros((2 * height + 1, 2 * width + 1), np.float32)
    np.add.at(counts, (y[best] - y + height, x[best] - x + width), 1)
    counts = cv2.GaussianBlur(counts + counts[::-1, ::-1], (0, 0), _SPREAD)
    peaks = np.flatnonzero((counts == cv2.dilate(counts, np.ones((3, 3), np.uint8))) & (counts > 0))
    peaks = peaks[np.argsort(-counts.ravel()[peaks], kind="stable")][:_FREQUENT]
    peak_y, peak_x = np.divmod(peaks, 2 * width + 1)
    return np.stack([peak_x - width, peak_y - height], axis=1)


def _fitting_offsets(picture: Array, hole: Array, unknown: Array, allowed: Array) -> Array:
    """The offsets (N, 2) from patches on the hole's rim to those that fit their known pixels best."""
    width, channels = picture.shape[1:]
    rim = hole & dilate_square(~hole, 1)
    rim[:RADIUS] = rim[-RADIUS:] = rim[:, :RADIUS] = rim[:, -RADIUS:] = False
    places, centres = _thinned(np.flatnonzero(rim), _FITTING), _thinned(np.flatnonzero(allowed), _FITTED)
    reach = np.arange(-RADIUS, RADIUS + 1)
    steps = (reach[:, None] * width + reach).ravel()
    flat = picture.reshape(-1, channels)
    length = len(steps) * channels
    patches = flat[centres[:, None] + steps].reshape(len(centres), length)
    known = np.repeat(~unknown.ravel()[places[:, None] + steps], channels, axis=1).astype(np.float32)
    wanted = flat[places[:, None] + steps].reshape(len(places), length) * known
    best = centres[(known @ (patches**2).T - 2 * wanted @ patches.T).argmin(axis=1)]
    return np.stack([best % width - places % width, best // width - places // width], axis=1)


def _rim_misfit(picture: Array, unknown: Array, rows: Array, columns: Array, offsets: Array) -> Array:
    """Squared misfit (N, K) float32 of what each offset moves over to the known neighbours of pixels of the hole."""
    height, width, channels = picture.shape
    flat = picture.reshape(-1, channels)
    total = np.zeros((len(rows), len(offsets)), np.float32)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            r, c = rows + dy, columns + dx
            own = _position(r, c, (height, width))
            near = np.flatnonzero((r >= 0) & (r < height) & (c >= 0) & (c < width) & ~unknown.ravel()[own])
            moved = _position(r[near, None] + offsets[:, 1], c[near, None] + offsets[:, 0], (height, width))
            total[near] += ((flat[moved] - flat[own[near], None]) ** 2).sum(axis=2)
    return total


def _differences(moved: Array) -> Array:
    """Squared difference of every two candidates (N, K, C) of a pixel: (N, K, K) float32."""
    squares = (moved**2).sum(axis=2)
    products = moved @ moved.swapaxes(1, 2)
    return np.asarray(np.maximum(squares[:, :, None] + squares[:, None] - 2 * products, 0))


def _propagate(own: Array, differences: Array, hole: Array) -> Array:
    """Labels (N,) with about the least sum of own costs (N, K) and of seams.

    A seam between neighbours p and q with labels a and b costs `differences[p, a, b] + differences[q, a, b]`.
    """
    slots = np.full(np.add(hole.shape, 1), -1)
    slots[:-1, :-1][hole] = np.arange(len(own))
    edges = []
    for neighbour in (slots[:-1, 1:][hole], slots[1:, :-1][hole]):
        first = np.flatnonzero(neighbour >= 0)
        edges.append((first, neighbour[first]))
    seams = [differences[p] + differences[q] for p, q in edges]
    messages = [[np.zeros((len(p), own.shape[1]), np.float32) for _ in range(2)] for p, _ in edges]
    belief = own.copy()
    for _ in range(_TURNS):
        for ends, seam, pair in zip(edges, seams, messages, strict=True):
            for k, (sender, receiver) in enumerate((ends, ends[::-1])):
                message = ((belief[sender] - pair[1 - k])[:, :, None] + seam).min(axis=1)
                message -= message.min(axis=1, keepdims=True)
                message += _DAMPING * (pair[k] - message)
                belief[receiver] += message - pair[k]
                pair[k] = message
    return np.asarray(belief.argmin(axis=1))
