"""The first mask: from points or a box to an outline, on one frame, by colour, contour and nearness.

Works on a small picture. From a point, seven sizes of object are tried and the one whose outline falls best on colour
edges is taken; from a box, three segmentations vote.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.masks.base import Clicks
from vremove_cli.masks.colours import bins_of, histogram, likeness
from vremove_cli.masks.energy import edge_weights, segment

SCALES = (0.06, 0.08, 0.10, 0.12, 0.15, 0.19, 0.24)  # radius of the object tried, in frame heights
_SMOOTH = 5.0
_ROUNDS = 5
SURE = 0.7  # agreement of the trials below which the outline is doubtful


@dataclass(frozen=True)
class First:
    """A soft mask (H, W) in [0, 1] and how well the trials agreed, 0..1."""

    mask: Array
    agreement: float


def first_mask(lab: Array, rgb: Array, clicks: Clicks) -> First:
    """Segment the object that `clicks` (in this picture's pixels) point at; `lab` (H, W, 3) float32, `rgb` uint8."""
    if clicks.boxes:
        return _from_boxes(lab, rgb, clicks)
    return _from_points(lab, clicks)


def _from_points(lab: Array, clicks: Clicks) -> First:
    height = lab.shape[0]
    bins, weights = bins_of(lab), edge_weights(lab)
    gradient = np.minimum(_gradient(lab), 6.0)
    best, best_score = None, -np.inf
    trials = {}
    for s in SCALES:
        mask = _grow_from_points(bins, weights, clicks, s * height / len(clicks.points) ** 0.5, height)
        trials[s] = mask > 0.5
        score = 0.3 * _contour_strength(trials[s], gradient) - 0.15 * (np.log(s / 0.11) / 0.6) ** 2
        if score > best_score:
            best, best_score = mask, score
    assert best is not None
    middle = [trials[s] for s in SCALES[1:5]]
    pairs = [_iou(a, b) for i, a in enumerate(middle) for b in middle[i + 1 :]]
    return First(best, float(np.mean(pairs)))


def _grow_from_points(bins: Array, weights: tuple[Array, Array], clicks: Clicks, radius: float, height: int) -> Array:
    """One trial: colours of the inside against the outside, refined until the outline stands still."""
    near = distance_to(clicks.points, bins.shape)
    prior = np.clip(1.5 * (near / radius - 1), -1.5, 3)
    prior[near > 2.5 * radius] = 6
    disc = 0.012 * height
    if clicks.negative:
        far = distance_to(clicks.negative, bins.shape)
        prior += np.where(far < 2 * radius, np.clip((near - far) / (0.4 * radius) + 0.5, 0, 3), 0)
        prior[far < disc] = 9
    prior[near < disc] = -9
    inside = prior < -0.3
    u = inside.astype(np.float32)
    for k in range(_ROUNDS):
        close = np.exp(-((near / (2 * radius)) ** 2)) + 0.05
        beyond = np.exp(-np.maximum(near - radius, 0) / (1.5 * radius)) + 0.05
        outside = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
        own, other = histogram(bins, close * inside), histogram(bins, beyond * outside)
        cost = -likeness(bins, own, other, 3) + prior * (0.8 if k else 1)
        u = segment(cost, weights, _SMOOTH, 40 if k < _ROUNDS - 1 else 100, u)
        new = _touching(u > 0.5, clicks.points)
        steady = _iou(new, inside) > 0.985
        inside = new if new.any() else inside
        if steady:
            break
    return np.where(inside, np.maximum(u, 0.51), np.minimum(u, 0.49)).astype(np.float32)


def _from_boxes(lab: Array, rgb: Array, clicks: Clicks) -> First:
    """Votes of colour energy and of GrabCut from the rectangle and from the ellipse inside it."""
    votes = []
    for box in clicks.boxes:
        ballots = [_box_energy(lab, box), _grabcut(rgb, box, ellipse=False), _grabcut(rgb, box, ellipse=True)]
        cast = [b for b in ballots if b.any()]  # GrabCut may find nothing to tell apart, and then has no say
        if cast:
            votes.append((np.mean(cast, axis=0), _iou(cast[0], cast[-1]) if len(cast) > 1 else 0.5))
    mask = np.max([np.zeros(lab.shape[:2]), *(v for v, _ in votes)], axis=0).astype(np.float32)
    near_point = distance_to(clicks.points, mask.shape) if clicks.points else None
    disc = 0.012 * lab.shape[0]
    if near_point is not None:
        mask[near_point < disc] = 1
    if clicks.negative:
        away = distance_to(clicks.negative, mask.shape)
        mask[away < 0.04 * lab.shape[0]] = 0
    if not (mask > 0.5).any():  # nothing stood out: the box itself is the object
        for box in clicks.boxes:
            x0, y0, x1, y1 = (round(v) for v in box)
            mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = 1
        return First(mask, 0.0)
    return First(mask, min((a for _, a in votes), default=0.0))


def _box_energy(lab: Array, box: tuple[float, float, float, float]) -> Array:
    bins, weights = bins_of(lab), edge_weights(lab)
    inside_box, ring = _box_zones(lab.shape[:2], box)
    inside = inside_box & (_ellipse(lab.shape[:2], box) < 0.6)
    u = inside.astype(np.float32)
    for _ in range(_ROUNDS):
        own, other = histogram(bins, inside * 1.0), histogram(bins, (ring | (inside_box & ~inside)) * 1.0)
        cost = np.where(inside_box, -likeness(bins, own, other, 3), 9)
        u = segment(cost, weights, _SMOOTH, 40, u)
        new = u > 0.5
        if not new.any() or _iou(new, inside) > 0.985:
            break
        inside = new
    return inside


def _grabcut(rgb: Array, box: tuple[float, float, float, float], *, ellipse: bool) -> Array:
    inside_box, ring = _box_zones(rgb.shape[:2], box)
    labels = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    labels[inside_box] = cv2.GC_PR_FGD
    if ellipse:
        labels[inside_box & (_ellipse(rgb.shape[:2], box) >= 0.6)] = cv2.GC_PR_BGD
    rows, columns = np.nonzero(inside_box | ring)
    window = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    part, picture = labels[window].copy(), np.ascontiguousarray(rgb[window])
    out = np.zeros(rgb.shape[:2], bool)
    if not (part == cv2.GC_BGD).any() or not (part == cv2.GC_PR_FGD).any():
        return inside_box
    cv2.setRNGSeed(1)
    cv2.grabCut(picture, part, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    out[window] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    return out


def _box_zones(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> tuple[Array, Array]:
    """Pixels inside the box, and those up to 40 pixels outside it."""
    x0, y0, x1, y1 = (round(v) for v in box)
    x0, y0 = min(x0, shape[1] - 1), min(y0, shape[0] - 1)
    inside, ring = np.zeros(shape, bool), np.zeros(shape, bool)
    inside[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)] = True
    ring[max(y0 - 40, 0) : y1 + 40, max(x0 - 40, 0) : x1 + 40] = True
    return inside, ring & ~inside


def _ellipse(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> Array:
    """Squared radius on the ellipse that fills a box: 1 on its outline."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((x - (x0 + x1) / 2) / max((x1 - x0) / 2, 1)) ** 2 + ((y - (y0 + y1) / 2) / max((y1 - y0) / 2, 1)) ** 2


def distance_to(points: tuple[tuple[float, float], ...], shape: tuple[int, ...]) -> Array:
    """Distance (H, W) float32 of every pixel to the nearest point."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.min([np.hypot(x - px, y - py) for px, py in points], axis=0).astype(np.float32)


def _touching(mask: Array, points: tuple[tuple[float, float], ...]) -> Array:
    """The parts of a mask that hold a point."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    keep = np.zeros(count, bool)
    for x, y in points:
        row = min(max(round(y), 0), mask.shape[0] - 1)
        column = min(max(round(x), 0), mask.shape[1] - 1)
        keep[labels[row, column]] = True
    keep[0] = False
    return keep[labels]


def _gradient(lab: Array) -> Array:
    dx, dy = (cv2.Sobel(lab, cv2.CV_32F, *d, ksize=3, scale=1 / 4) for d in ((1, 0), (0, 1)))
    return np.sqrt((dx**2 + dy**2).sum(axis=2))


def _contour_strength(mask: Array, gradient: Array) -> float:
    """Mean colour gradient on the outline against the picture's."""
    inner = mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    if not inner.any():
        return 0.0
    return float(gradient[inner].mean() / (gradient.mean() + 0.3))


def _iou(a: Array, b: Array) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0
