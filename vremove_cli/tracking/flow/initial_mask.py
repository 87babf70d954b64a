"""The first mask: from points or a box to an outline, on one frame, by colour, contour, nearness, and what stands out.

Works on a small picture. From a point, seven sizes of object are tried and the one that differs most from what is
round it, in colour and in motion, is taken; from a box, several segmentations vote.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import ForegroundEvidence, ObjectPrompts
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, solve_segmentation

SCALES = (0.06, 0.08, 0.10, 0.12, 0.15, 0.19, 0.24)  # radius of the object tried, in frame heights
_SMOOTH = 5.0
_ROUNDS = 5
_ROUND, _ZONE = 0.05, 0.35  # frame heights round a point that tell whether it moves, and that its object may fill
SURE = 0.8  # agreement of the trials below which the outline is doubtful
NEGATIVE_RADIUS = 0.04  # frame heights round a negative point that are taken out
NOTHING = 0.1  # difference in colour to its surroundings below which there is no object


@dataclass(frozen=True)
class InitialMask:
    """A soft mask (H, W) in [0, 1]; 0..1, how well the trials agreed, and how its colours differ from its ring's."""

    mask: Array
    agreement: float
    separation: float


def initial_mask(
    lab: Array, rgb: Array, clicks: ObjectPrompts, standout: ForegroundEvidence | None = None
) -> InitialMask:
    """Segment the object that `clicks` (in this picture's pixels) point at.

    `lab` (H, W, 3) float32 and `rgb` uint8 are the same picture; `standout`, of its size, says what moves.
    """
    if standout is None:
        standout = ForegroundEvidence.zeros(*lab.shape[:2])
    if clicks.boxes:
        return _from_boxes(lab, rgb, clicks, standout)
    return _from_points(lab, clicks, standout)


def _from_points(lab: Array, clicks: ObjectPrompts, standout: ForegroundEvidence) -> InitialMask:
    height = lab.shape[0]
    bins, weights = bins_of(lab), edge_weights(lab)
    near = distance_to(clicks.points, bins.shape)
    trust = standout.reliability(near < _ROUND * height)
    moves = trust * standout.motion
    trials = {}
    for s in SCALES:
        trials[s] = _grow_from_points(bins, weights, clicks, s * height / len(clicks.points) ** 0.5, height, moves)
    scores = {s: _worth(m > 0.5, bins, moves, trust, near < _ZONE * height, s) for s, m in trials.items()}
    best = max(scores, key=lambda s: scores[s])
    middle = [trials[s] > 0.5 for s in SCALES[1:5]]
    pairs = [_iou(a, b) for i, a in enumerate(middle) for b in middle[i + 1 :]]
    return InitialMask(trials[best], float(np.mean(pairs)), separation(trials[best] > 0.5, bins))


def _worth(mask: Array, bins: Array, moves: Array, trust: float, zone: Array, scale: float) -> float:
    """How well a trial's outline parts two things: by colour, by motion, by being of a likely size."""
    if not mask.any() or mask.all():
        return -np.inf
    stands = np.clip(moves, 0, 1)
    share = float(stands[mask].sum() / max(1.0, trust * mask.sum() + stands[~mask & zone].sum())) if trust else 0.0
    likely = (np.log(scale / 0.11) / 0.6) ** 2
    inside, size = float(moves[mask].mean()), float(mask.mean()) ** 0.5
    return 0.5 * separation(mask, bins) + share + 0.4 * inside + 0.35 * size - 0.15 * likely


def separation(mask: Array, bins: Array) -> float:
    """How different the colours of a mask (H, W) and of what is next to it are: 0 alike to 1 (1 - Bhattacharyya)."""
    thick = 2 * round(0.022 * min(bins.shape)) + 1
    ring = (cv2.dilate(mask.astype(np.uint8), np.ones((thick, thick), np.uint8)) > 0) & ~mask
    if not mask.any() or not ring.any():
        return 0.0
    return float(1 - np.sqrt(histogram(bins, mask * 1.0) * histogram(bins, ring * 1.0)).sum())


def _grow_from_points(
    bins: Array, weights: tuple[Array, Array], clicks: ObjectPrompts, radius: float, height: int, moves: Array
) -> Array:
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
        cost = -log_likelihood_ratio(bins, own, other, 3) + prior * (0.8 if k else 1) - moves
        u = solve_segmentation(cost, weights, _SMOOTH, 40 if k < _ROUNDS - 1 else 100, u)
        new = components_with_points(u > 0.5, clicks.points)
        steady = _iou(new, inside) > 0.985
        inside = new if new.any() else inside
        if steady:
            break
    return np.where(inside, np.maximum(u, 0.51), np.minimum(u, 0.49)).astype(np.float32)


def _from_boxes(lab: Array, rgb: Array, clicks: ObjectPrompts, standout: ForegroundEvidence) -> InitialMask:
    """Votes of colour energy, with and without what stands out, and of GrabCut from the rectangle and its ellipse."""
    votes = []
    for box in clicks.boxes:
        core = box_zones(lab.shape[:2], box)[0] & (_ellipse(lab.shape[:2], box) < 0.6)
        moves = standout.reliability(core) * standout.motion
        ballots = [_box_energy(lab, box, 0 * moves), _box_energy(lab, box, moves), _grabcut(rgb, box, ellipse=False),
                   _grabcut(rgb, box, ellipse=True)]  # fmt: skip
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
        mask[away < NEGATIVE_RADIUS * lab.shape[0]] = 0
    if not (mask > 0.5).any():  # nothing stood out: the box itself is the object
        for box in clicks.boxes:
            x0, y0, x1, y1 = (round(v) for v in box)
            mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = 1
        votes = [(mask, 0.0)]
    return InitialMask(mask, min((a for _, a in votes), default=0.0), separation(mask > 0.5, bins_of(lab)))


def _box_energy(lab: Array, box: tuple[float, float, float, float], moves: Array) -> Array:
    bins, weights = bins_of(lab), edge_weights(lab)
    inside_box, ring = box_zones(lab.shape[:2], box)
    inside = inside_box & (_ellipse(lab.shape[:2], box) < 0.6)
    u = inside.astype(np.float32)
    for _ in range(_ROUNDS):
        own, other = histogram(bins, inside * 1.0), histogram(bins, (ring | (inside_box & ~inside)) * 1.0)
        cost = np.where(inside_box, -log_likelihood_ratio(bins, own, other, 3) - moves, 9)
        u = solve_segmentation(cost, weights, _SMOOTH, 40, u)
        new = u > 0.5
        if not new.any() or _iou(new, inside) > 0.985:
            break
        inside = new
    return inside


def _grabcut(rgb: Array, box: tuple[float, float, float, float], *, ellipse: bool) -> Array:
    inside_box, ring = box_zones(rgb.shape[:2], box)
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


def box_zones(shape: tuple[int, ...], box: tuple[float, float, float, float]) -> tuple[Array, Array]:
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


def components_with_points(mask: Array, points: tuple[tuple[float, float], ...]) -> Array:
    """The parts of a mask that hold a point."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    keep = np.zeros(count, bool)
    for x, y in points:
        row = min(max(round(y), 0), mask.shape[0] - 1)
        column = min(max(round(x), 0), mask.shape[1] - 1)
        keep[labels[row, column]] = True
    keep[0] = False
    return keep[labels]


def _iou(a: Array, b: Array) -> float:
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0
