"""Lay out the inside of a small hole as pieces of its surroundings, moved over by a few offsets, all pieces at once.

He and Sun, "Statistics of Patch Offsets for Image Completion", 2012: patches of a picture resemble each other at few
offsets, and a hole is completed well by pixels moved over by these. Each pixel of the hole takes one offset (label) so
that what meets at a seam is alike on both sides, and what is moved over fits the hole's rim. The labels are found by
min-sum belief propagation (Felzenszwalb and Huttenlocher, "Efficient Belief Propagation for Early Vision", 2006).
"""

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array
from vremove_cli.plate.patch_match import RADIUS, Descriptors

_FROM_STATISTICS, _FROM_RIM = 50, 50  # offsets tried
_SAMPLES = 2500  # patches whose offsets are counted
_NEAR = 1 / 15  # of the picture's longer side; shorter offsets say nothing: He and Sun, section 3
_SPREAD = 1.4  # pixels, of the Gaussian that smooths the counts: He and Sun, section 3
_TURNS = 30  # of belief propagation
_DAMPING = np.float32(0.5)
_RIM_WEIGHT = 2.0
_PULL = 0.006
_FORBIDDEN = np.float32(1e6)


def lay_out(picture: Array, hole: Array, allowed: Array, descriptors: Descriptors) -> Array:
    """Choose an offset for each pixel of a hole.

    Args:
        picture: (H, W, C) float32, with a smooth continuation in the hole.
        hole: (H, W) bool, a few hundred pixels.
        allowed: (H * W,) bool, see `allowed_sources`.
        descriptors: How patches of the picture are described.

    Returns:
        (H, W, 2) int, offsets (x, y) from each pixel of the hole to a known one, zero elsewhere.
    """
    described = descriptors.of(picture)
    offsets = np.unique(
        np.concatenate([_frequent_offsets(described, allowed, hole.shape), _rim_offsets(picture, hole, allowed)]), axis=0
    )
    rows, columns = np.nonzero(hole)
    height, width = hole.shape
    x, y = columns[:, None] + offsets[:, 0], rows[:, None] + offsets[:, 1]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    moved = picture[y, x]
    own = np.where(inside & ~hole[y, x], 0, _FORBIDDEN) + _rim_misfit(picture, hole, rows, columns, offsets)
    own += _PULL * np.hypot(offsets[:, 0], offsets[:, 1])
    labels = _propagate(own.astype(np.float32), _differences(moved), hole)
    out = np.zeros((height, width, 2), int)
    out[rows, columns] = offsets[labels]
    return out


def _frequent_offsets(described: Array, allowed: Array, shape: tuple[int, int]) -> Array:
    """The offsets (N, 2) at which the known patches resemble each other most often."""
    height, width = shape
    centres = np.flatnonzero(allowed)
    centres = centres[:: -(-len(centres) // _SAMPLES)]
    y, x = np.divmod(centres, width)
    features = described[centres]
    squares = np.einsum("nk,nk->n", features, features)
    distance = squares[None] - 2 * features @ features.T
    dx, dy = x[None] - x[:, None], y[None] - y[:, None]
    distance[np.maximum(abs(dx), abs(dy)) < max(2, _NEAR * max(shape))] = np.inf
    best = distance.argmin(axis=1)
    counts = np.zeros((2 * height, 2 * width), np.float32)
    np.add.at(counts, (y[best] - y + height, x[best] - x + width), 1)
    counts = counts + counts[::-1, ::-1]
    counts = cv2.GaussianBlur(counts, (0, 0), _SPREAD)
    peaks = np.flatnonzero((counts == cv2.dilate(counts, np.ones((3, 3), np.uint8))) & (counts > 0))
    peaks = peaks[np.argsort(-counts.ravel()[peaks], kind="stable")][:_FROM_STATISTICS]
    return np.stack([peaks % (2 * width) - width, peaks // (2 * width) - height], axis=1)


def _rim_offsets(picture: Array, hole: Array, allowed: Array) -> Array:
    """The offsets (N, 2) from patches on the rim to those that fit their known pixels best."""
    height, width, channels = picture.shape
    reach = np.arange(-RADIUS, RADIUS + 1)
    rim = hole & dilate_square(~hole, 1)
    rim[:RADIUS] = rim[-RADIUS:] = rim[:, :RADIUS] = rim[:, -RADIUS:] = False
    places = np.flatnonzero(rim)
    places = places[:: -(-len(places) // _FROM_RIM)] if len(places) else places
    steps = (reach[:, None] * width + reach).ravel()
    flat = picture.reshape(-1, channels)
    centres = np.flatnonzero(allowed)
    patches = flat[centres[:, None] + steps].reshape(len(centres), -1)
    weight = np.repeat((~hole).ravel()[places[:, None] + steps], channels, axis=1).astype(np.float32)
    wanted = flat[places[:, None] + steps].reshape(len(places), -1) * weight
    best = centres[(weight @ (patches**2).T - 2 * wanted @ patches.T).argmin(axis=1)]
    return np.stack([best % width - places % width, best // width - places // width], axis=1)


def _rim_misfit(picture: Array, hole: Array, rows: Array, columns: Array, offsets: Array) -> Array:
    """How badly each offset fits the known neighbours of each pixel of the hole, (N, K)."""
    height, width = hole.shape
    total = np.zeros((len(rows), len(offsets)))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            r, c = rows + dy, columns + dx
            known = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            r, c = np.clip(r, 0, height - 1), np.clip(c, 0, width - 1)
            known &= ~hole[r, c]
            y, x = np.clip(r[:, None] + offsets[:, 1], 0, height - 1), np.clip(c[:, None] + offsets[:, 0], 0, width - 1)
            total += known[:, None] * ((picture[y, x] - picture[r, c][:, None]) ** 2).sum(axis=2) / 900
    return _RIM_WEIGHT * total


def _differences(moved: Array) -> Array:
    """Difference of every two candidates (N, K, C) of a pixel: (N, K, K) float32."""
    squares = np.einsum("nkc,nkc->nk", moved, moved)
    products = moved @ moved.swapaxes(1, 2)
    return (np.maximum(squares[:, :, None] + squares[:, None] - 2 * products, 0) / 900).astype(np.float32)


def _propagate(own: Array, differences: Array, hole: Array) -> Array:
    """Labels (N,) of the pixels with about the least sum of own costs (N, K) and seams (N, K, K)."""
    slots = np.full(np.add(hole.shape, 2), -1)
    slots[1:-1, 1:-1][hole] = np.arange(len(own))
    edges = []
    for dy, dx in ((0, 1), (1, 0)):
        neighbour = slots[1 + dy : slots.shape[0] - 1 + dy, 1 + dx : slots.shape[1] - 1 + dx][hole]
        first = np.flatnonzero(neighbour >= 0)
        edges.append((first, neighbour[first]))
    seams = [differences[p] + differences[q] for p, q in edges]
    messages = [[np.zeros((len(p), own.shape[1]), np.float32) for _ in range(2)] for p, _ in edges]
    belief = own.copy()
    for _ in range(_TURNS):
        for (p, q), seam, pair in zip(edges, seams, messages, strict=True):
            for k, (sender, receiver) in enumerate(((p, q), (q, p))):
                sent = (belief[sender] - pair[1 - k])[:, :, None] + seam
                message = sent.min(axis=1)
                message -= message.min(axis=1, keepdims=True)
                message += _DAMPING * (pair[k] - message)
                belief[receiver] += message - pair[k]
                pair[k] = message
    return np.asarray(belief.argmin(axis=1))
