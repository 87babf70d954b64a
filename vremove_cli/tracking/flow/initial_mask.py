"""First mask of an object, from points or boxes on one frame: colour, edges, distance to the prompt, and foreground.

It works on a small picture. From points, seven sizes of object are tried and the outline that separates two things best
is taken. From a box, four segmentations vote, two of which are GrabCut (Rother et al., "GrabCut", 2004).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, iou, keep_components, ring
from vremove_cli.geometry import Array, bounds
from vremove_cli.tracking.base import KEPT_OUT, ForegroundEvidence, ObjectPrompts
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, on_mask_side, solve_segmentation

BoxCorners = tuple[float, float, float, float]  # x0, y0, x1, y1

SCALES = (0.06, 0.08, 0.10, 0.12, 0.15, 0.19, 0.24)  # frame heights: radii of the object that are tried
_SURROUNDINGS = 24  # pixels round a silhouette that are compared with it
_SILHOUETTE_ROUNDS = 3
_SILHOUETTE_MALUS = 0.05  # of the silhouette's score: a shadow that was taken for motion goes along
_MIRRORED, _FAINTER = 0.6, 0.7  # overlap of a reflection with what it mirrors, and its share of the difference
_RIM = 3  # pixels round a trial in which foreground is a part that it leaves out
_FEW_POINTS = 32  # points of a frame, as many as a person clicks
POINT_RADIUS = 0.012  # frame heights round a point that certainly have its label
NEGATIVE_RADIUS = 0.04  # frame heights round a negative point that are taken out
MIN_AGREEMENT = 0.8  # of the trials, below which the outline is doubtful
MIN_SEPARATION = 0.1  # of the object's colours from its surroundings', below which there is no object
_SMOOTHNESS = 5.0  # cost of a boundary of one pixel, against label costs of about 1 to 9 a pixel
_ROUNDS = 5  # of learning the colours and segmenting again
_ITERATIONS, _LAST_ITERATIONS = 40, 100  # of the solver, in a round and in the last one
_CONVERGED = 0.985  # IoU of two rounds' masks
_SEED_RADIUS = 0.05  # frame heights round a point whose motion is the object's
_MIN_CORE = 2.5  # pixels: least radius of the disc round a point that shows whether the object moves
_CORE_SHARES = 3.0  # times the share of that disc that moves: weight of the motion, up to 1
_LOOSER = 0.08  # of a box that a mask may leave empty beyond what the best one does
_BOX_MARGIN = 40  # pixels round a box that are background
_CORE = 0.6  # squared radius in a box's ellipse below which the object is assumed at first
_CERTAIN = 9.0  # label cost that no other cost outweighs


@dataclass(frozen=True)
class InitialMask:
    """The mask of a prompted frame.

    Attributes:
        mask: Soft mask (H, W) float32 in [0, 1], above 0.5 inside.
        agreement: How well the trials agree, 0 to 1.
        separation: How different the colours of the object and of its surroundings are, 0 to 1.
    """

    mask: Array
    agreement: float
    separation: float


def initial_mask(
    lab: Array, rgb: Array, prompts: ObjectPrompts, foreground: ForegroundEvidence | None = None
) -> InitialMask:
    """Segment the object that prompts point at.

    Args:
        lab: Picture in Lab (H, W, 3) float32.
        rgb: The same picture (H, W, 3) uint8.
        prompts: Points or boxes in pixels of the picture. Boxes outweigh points.
        foreground: Evidence of what is not the background (H, W), if there is any.
    """
    if foreground is None:
        foreground = ForegroundEvidence.zeros(*lab.shape[:2])
    if prompts.boxes:
        return _from_boxes(lab, rgb, prompts, foreground)
    return _from_points(lab, prompts, foreground)


def prompt_seed(prompts: ObjectPrompts, shape: tuple[int, int]) -> Array:
    """Return what certainly belongs to the object, as prompts say: (H, W) bool, of a picture of that shape.

    That is a disc round each point, and the inner part of each box if there are no points.
    """
    if prompts.points:
        return distance_to(prompts.points, shape) < _SEED_RADIUS * shape[0]
    cores = (box_zones(shape, box)[0] & (_ellipse(shape, box) < _CORE) for box in prompts.boxes)
    return np.any([np.zeros(shape, bool), *cores], axis=0)


def keep_out(soft: Array, negative: tuple[tuple[float, float], ...]) -> Array:
    """Return a soft mask (H, W) float32 that is `KEPT_OUT` in a disc round each negative point (x, y)."""
    if not negative:
        return soft
    near = distance_to(negative, soft.shape) < max(_MIN_CORE, POINT_RADIUS * soft.shape[0])
    return np.where(near, np.float32(KEPT_OUT), soft)


def separation(mask: Array, bins: Array) -> float:
    """Measure how different the colours of a mask and of its surroundings are.

    Args:
        mask: Mask (H, W) bool.
        bins: Histogram bins (H, W) of the picture.

    Returns:
        0 (alike) to 1: one minus the Bhattacharyya coefficient of the histograms; 0 when either is empty.
    """
    around = ring(mask, round(0.022 * min(bins.shape)))
    if not mask.any() or not around.any():
        return 0.0
    return float(1 - np.sqrt(histogram(bins, mask * 1.0) * histogram(bins, around * 1.0)).sum())


def _from_points(lab: Array, prompts: ObjectPrompts, foreground: ForegroundEvidence) -> InitialMask:
    """Segment with every radius and take the best outline."""
    height = lab.shape[0]
    bins, weights = bins_of(lab), edge_weights(lab)
    distance = distance_to(prompts.points, bins.shape)
    core = distance < max(_MIN_CORE, POINT_RADIUS * height)
    evidence = foreground.for_object()
    motion = min(1.0, _CORE_SHARES * float(np.mean(evidence[core] > 0))) * evidence
    trusted, trials = foreground.reliability(core) * motion, []
    for scale in SCALES:
        radius = scale * height / len(prompts.points) ** 0.5
        soft = _grow_from_points(bins, weights, prompts, radius, motion)
        unlikely = (np.log(scale / 0.11) / 0.6) ** 2  # log-normal: a radius of 0.11 frame heights, deviation 0.6
        trials.append((_trial_score(soft > 0.5, bins, trusted) - 0.15 * unlikely, soft))
    silhouette = _segment_silhouette(bins, weights, prompts, core, motion, foreground.difference)
    trials.append((_trial_score(silhouette > 0.5, bins, trusted) - _SILHOUETTE_MALUS, silhouette))
    best = max(trials, key=lambda trial: trial[0])[1]
    compared = [*trials[1:5], trials[-1]] if trusted.any() else trials[1:5]
    agreement = _mean_agreement([soft > 0.5 for _, soft in compared])
    return InitialMask(best, agreement, separation(best > 0.5, bins))


def _segment_silhouette(
    bins: Array, weights: tuple[Array, Array], prompts: ObjectPrompts, core: Array, motion: Array, difference: Array
) -> Array:
    """Segment the moving silhouette under the points: motion says what belongs together, colours say where it ends.

    `core` (H, W) bool certainly belongs to the object; `motion` and `difference` (H, W) are the evidence.
    """
    moving = cv2.morphologyEx(((motion > 0.1) | core).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    moving = components_with_points(moving > 0, prompts.points)
    inside = without_reflection(moving, difference)
    motion = np.where(moving & ~inside, -1, motion)
    u, far = inside.astype(np.float32), ~dilate_square(inside, _SURROUNDINGS)
    for _ in range(_SILHOUETTE_ROUNDS):
        own = histogram(bins, inside * (0.2 + np.clip(motion, 0, 1)))
        other = histogram(bins, ~(far | dilate_square(inside, 1)) * 1.0)
        cost = -log_likelihood_ratio(bins, own, other, 3) - motion
        cost[far], cost[core] = _CERTAIN, -_CERTAIN
        u = solve_segmentation(cost, weights, _SMOOTHNESS, _ITERATIONS, u)
        inside = components_with_points(u > 0.5, prompts.points)
    return on_mask_side(u, inside)


def without_reflection(silhouette: Array, difference: Array) -> Array:
    """Return a silhouette (H, W) bool without its reflection in the floor, if it has one.

    A reflection is the upper part of the silhouette, mirrored at a row, and differs less (H, W) from the background.
    """
    box = bounds(silhouette)
    part, contrast = silhouette[box.slices], difference[box.slices]
    best, cut = _MIRRORED, box.height
    for row in range(-(-box.height // 2), box.height - max(3, box.height // 5)):
        lower = part[row:]
        mirrored = part[2 * row - box.height : row][::-1]
        overlap = iou(lower, mirrored)
        if overlap > best and contrast[row:][lower].mean() < _FAINTER * contrast[:row][part[:row]].mean():
            best, cut = overlap, row
    out = silhouette.copy()
    out[box.y0 + cut :] = False
    return out


def _mean_agreement(masks: list[Array]) -> float:
    """Return the mean IoU of all pairs of masks (H, W) bool; empty ones agree with none."""
    pairs = [iou(a, b) if a.any() else 0.0 for i, a in enumerate(masks) for b in masks[i + 1 :]]
    return float(np.mean(pairs))


def _trial_score(mask: Array, bins: Array, motion: Array) -> float:
    """Return how well a trial's outline separates two things, by colour and by motion."""
    if not mask.any() or mask.all():
        return -np.inf
    inside, size = float(np.clip(motion[mask].mean(), -1, 1)), float(mask.mean()) ** 0.5
    left_out = float(np.clip(motion[ring(mask, _RIM)], 0, 1).mean())
    return 0.5 * separation(mask, bins) + 0.4 * inside - 0.5 * left_out + 0.35 * size


def _grow_from_points(
    bins: Array, weights: tuple[Array, Array], prompts: ObjectPrompts, radius: float, motion: Array
) -> Array:
    """Segment with one radius: learn the colours inside and outside, and segment again until the mask converges."""
    distance = distance_to(prompts.points, bins.shape)
    prior = _point_prior(distance, prompts, radius)
    inside = prior < -0.3
    u = inside.astype(np.float32)
    near_weight = np.exp(-((distance / (2 * radius)) ** 2)) + 0.05
    far_weight = np.exp(-np.maximum(distance - radius, 0) / (1.5 * radius)) + 0.05
    for k in range(_ROUNDS):
        own = histogram(bins, near_weight * inside)
        other = histogram(bins, far_weight * ~dilate_square(inside, 1))
        cost = -log_likelihood_ratio(bins, own, other, 3) + prior * (0.8 if k else 1) - motion
        iterations = _ITERATIONS if k < _ROUNDS - 1 else _LAST_ITERATIONS
        u = solve_segmentation(cost, weights, _SMOOTHNESS, iterations, u)
        new = components_with_points(u > 0.5, prompts.points)
        if not new.any():
            continue
        converged = iou(new, inside) > _CONVERGED
        inside = new
        if converged:
            break
    return on_mask_side(u, inside)


def _point_prior(distance: Array, prompts: ObjectPrompts, radius: float) -> Array:
    """Return the label cost (H, W) of an object of one radius, from the distance (H, W) to its points."""
    prior = np.clip(1.5 * (distance / radius - 1), -1.5, 3)
    prior[distance > 2.5 * radius] = 6
    disc = POINT_RADIUS * distance.shape[0]
    if prompts.negative:
        to_negative = distance_to(prompts.negative, distance.shape)
        closer = np.clip((distance - to_negative) / (0.4 * radius) + 0.5, 0, 3)
        prior += np.where(to_negative < 2 * radius, closer, 0)
        prior[to_negative < disc] = _CERTAIN
    prior[distance < disc] = -_CERTAIN
    return prior


def _from_boxes(lab: Array, rgb: Array, prompts: ObjectPrompts, foreground: ForegroundEvidence) -> InitialMask:
    """Segment each box by a vote, unite the results, and apply the points."""
    votes = [vote for box in prompts.boxes if (vote := _vote_on_box(lab, rgb, box, foreground)) is not None]
    agreement = min((agreement for _, agreement in votes), default=0.0)
    mask = np.max([np.zeros(lab.shape[:2]), *(share for share, _ in votes)], axis=0).astype(np.float32)
    if prompts.points:
        mask[distance_to(prompts.points, mask.shape) < POINT_RADIUS * lab.shape[0]] = 1
    if prompts.negative:
        mask[distance_to(prompts.negative, mask.shape) < NEGATIVE_RADIUS * lab.shape[0]] = 0
    if not (mask > 0.5).any():  # nothing differs from the background: the boxes themselves are the object
        for box in prompts.boxes:
            x0, y0, x1, y1 = (round(v) for v in box)
            mask[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = 1
        agreement = 0.0
    return InitialMask(mask, agreement, separation(mask > 0.5, bins_of(lab)))


def _vote_on_box(lab: Array, rgb: Array, box: BoxCorners, foreground: ForegroundEvidence) -> tuple[Array, float] | None:
    """Return the share of votes (H, W) for the object in a box and how well they agree; None if all are empty.

    A box touches its object on four sides: masks that leave more of it empty than the best one does have no vote (the
    bounding box prior of Lempitsky et al., "Image segmentation with a bounding box prior", 2009).
    """
    core = box_zones(lab.shape[:2], box)[0] & (_ellipse(lab.shape[:2], box) < _CORE)
    motion = foreground.for_object()
    differs = motion > 0
    masks = [
        _segment_box(lab, box, 0 * motion, core),
        _segment_box(lab, box, motion, differs if foreground.reliability(core) else core),
        _segment_box(lab, box, 2 * motion, differs if foreground.reliability(core) else core),
        _grabcut(rgb, box, ellipse=False),
        _grabcut(rgb, box, ellipse=True),
    ]
    fit = [_box_fit(mask, box) for mask in masks]
    votes = [mask for mask, value in zip(masks, fit, strict=True) if mask.any() and value >= max(fit) - _LOOSER]
    if not votes:
        return None
    return np.mean(votes, axis=0), _mean_agreement(votes) if len(votes) > 1 else 0.5


def _box_fit(mask: Array, box: BoxCorners) -> float:
    """Return how well a mask (H, W) bool fills a box from side to side: 1 if its own box is the same; 0 if empty."""
    x0, y0, x1, y1 = (round(v) for v in box)
    own = bounds(mask)
    if own.empty:
        return 0.0
    horizontal = (abs(own.x0 - x0) + abs(own.x1 - x1)) / max(1, x1 - x0)
    vertical = (abs(own.y0 - y0) + abs(own.y1 - y1)) / max(1, y1 - y0)
    return 1 - max(horizontal, vertical)


def _segment_box(lab: Array, box: BoxCorners, motion: Array, first: Array) -> Array:
    """Return the mask (H, W) bool of one box by colour, edges and motion evidence (H, W), from a first guess (H, W)."""
    bins, weights = bins_of(lab), edge_weights(lab)
    in_box, margin = box_zones(lab.shape[:2], box)
    inside = in_box & first
    u = inside.astype(np.float32)
    for _ in range(_ROUNDS):
        own, other = histogram(bins, inside * 1.0), histogram(bins, (margin | (in_box & ~inside)) * 1.0)
        cost = np.where(in_box, -log_likelihood_ratio(bins, own, other, 3) - motion, _CERTAIN)
        u = solve_segmentation(cost, weights, _SMOOTHNESS, _ITERATIONS, u)
        new = u > 0.5
        if not new.any() or iou(new, inside) > _CONVERGED:
            break
        inside = new
    return inside


def _grabcut(rgb: Array, box: BoxCorners, *, ellipse: bool) -> Array:
    """Return GrabCut's mask (H, W) bool of a box; its first guess is the box, or the ellipse in it."""
    in_box, margin = box_zones(rgb.shape[:2], box)
    labels = np.full(rgb.shape[:2], cv2.GC_BGD, np.uint8)
    labels[in_box] = cv2.GC_PR_FGD
    if ellipse:
        labels[in_box & (_ellipse(rgb.shape[:2], box) >= _CORE)] = cv2.GC_PR_BGD
    rows, columns = np.nonzero(in_box | margin)
    window = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    part, picture = labels[window].copy(), np.ascontiguousarray(rgb[window])
    out = np.zeros(rgb.shape[:2], bool)
    if not (part == cv2.GC_BGD).any() or not (part == cv2.GC_PR_FGD).any():
        return in_box
    cv2.setRNGSeed(1)  # its mixtures are initialised at random
    cv2.grabCut(picture, part, None, np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    out[window] = (part == cv2.GC_FGD) | (part == cv2.GC_PR_FGD)
    return out


def box_zones(shape: tuple[int, ...], box: BoxCorners) -> tuple[Array, Array]:
    """Return the pixels (H, W) bool inside a box, and those up to 40 pixels outside it."""
    x0, y0, x1, y1 = (round(v) for v in box)
    x0, y0 = min(x0, shape[1] - 1), min(y0, shape[0] - 1)
    inside, margin = np.zeros(shape, bool), np.zeros(shape, bool)
    inside[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)] = True
    margin[max(y0 - _BOX_MARGIN, 0) : y1 + _BOX_MARGIN, max(x0 - _BOX_MARGIN, 0) : x1 + _BOX_MARGIN] = True
    return inside, margin & ~inside


def _ellipse(shape: tuple[int, ...], box: BoxCorners) -> Array:
    """Return the squared radius (H, W) in the ellipse that fills a box: 1 on its outline."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((x - (x0 + x1) / 2) / max((x1 - x0) / 2, 1)) ** 2 + ((y - (y0 + y1) / 2) / max((y1 - y0) / 2, 1)) ** 2


def distance_to(points: tuple[tuple[float, float], ...], shape: tuple[int, ...]) -> Array:
    """Return the distance (H, W) float32 in pixels of every pixel to the nearest point (x, y).

    Of more than `_FEW_POINTS` points, each counts at its pixel's centre: the time no longer grows with their number.
    """
    if len(points) > _FEW_POINTS:
        free = np.ones(shape[:2], np.uint8)
        columns, rows = np.rint(np.array(points)).astype(int).T
        free[rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1)] = 0
        return cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.min([np.hypot(x - px, y - py) for px, py in points], axis=0).astype(np.float32)


def components_with_points(mask: Array, points: tuple[tuple[float, float], ...]) -> Array:
    """Return the components (H, W) bool of a mask (H, W) bool that contain a point (x, y)."""

    def contain_point(labels: Array, areas: Array) -> Array:
        selected = np.zeros(len(areas), bool)
        for x, y in points:
            row = min(max(round(y), 0), mask.shape[0] - 1)
            column = min(max(round(x), 0), mask.shape[1] - 1)
            selected[labels[row, column]] = True
        return selected

    return keep_components(mask, contain_point)
