"""Objects that will move once another object is gone, found without a network, from two frames.

- If the object moves: what touches it, differs from the background and has the same motion.
- If the object stands still: what is found all along its upper outline, as one thing that differs from its
  surroundings in colour. A thing behind the object that looks like this is a false positive: only a person, or a
  vision-language model, can tell the difference.
"""

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, iou, keep_components, overlapping_components, ring
from vremove_cli.geometry import Array, bounds
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.warp import warp_back
from vremove_cli.tracking.base import ForegroundEvidence, ObjectPrompts
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio, to_lab
from vremove_cli.tracking.flow.initial_mask import initial_mask, separation
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, solve_segmentation

_MIN_MOTION = 1.5  # pixels from which the object moves
_SEARCH = 0.15  # frame widths: the object's motion that is looked for
_RESIDUAL = 0.5  # share of the difference between the frames below which a motion explains it
_MIN_FOREGROUND, _MAX_ILLUMINATION = 0.3, 0.6  # evidence of what may move with the object: see `ForegroundEvidence`
_MIN_AREA = 0.04  # share of the object's area
_MAX_AREA = 0.15  # share of the frame: a larger area is background
_SEEDS = (0.2, 0.5, 0.8)  # shares of the object's width at which its upper outline is probed
_GAP = 0.028  # frame heights between the outline and a seed
_MIN_AGREEMENT = 0.6  # of the trial segmentations from one seed
_MIN_SEPARATION = 0.5  # of the thing's colours from its surroundings'
_MIN_IOU = 0.6  # between the things found from two seeds
_SURROUNDINGS = 20  # pixels: width of the ring whose colours a thing is compared with
_ROUNDS, _ITERATIONS, _SMOOTHNESS = 3, 60, 5.0  # of the segmentation without a size prior


def find_dependents(rgb: Array, later: Array, mask: Array, foreground: ForegroundEvidence) -> tuple[Array, str]:
    """Find what will move once an object is gone.

    Args:
        rgb: Frame (H, W, 3) uint8, upright.
        later: A frame (H, W, 3) uint8 soon after it.
        mask: The object's mask (H, W) bool on `rgb`.
        foreground: Evidence (H, W) of what is not the background of `rgb`.

    Returns:
        The mask (H, W) bool of what will move, and the reason: "moves with it" or "rests on it".
    """
    later = _align(rgb, later, mask)
    motion = _object_motion(rgb, later, mask)
    if motion is None:
        return _find_resting(rgb, mask), "rests on it"
    return _find_moving(rgb, later, mask, motion, foreground), "moves with it"


def _object_motion(rgb: Array, later: Array, mask: Array) -> tuple[int, int] | None:
    """Return the motion (x, y) in pixels of the object in `mask`; None if it stands still or is not seen later.

    `later` is aligned with `rgb`, so that the camera's motion is not counted.
    """
    box = bounds(mask)
    reach = round(_SEARCH * mask.shape[1])
    padded = cv2.copyMakeBorder(later, *(reach,) * 4, cv2.BORDER_REPLICATE)
    area = box.grow(reach).moved(reach, reach)
    template_mask = np.repeat(mask[box.slices].astype(np.uint8)[..., None], 3, axis=2)
    errors = cv2.matchTemplate(padded[area.slices], rgb[box.slices], cv2.TM_SQDIFF, mask=template_mask)
    y, x = np.unravel_index(int(errors.argmin()), errors.shape)
    motion = int(x) - reach, int(y) - reach
    error_at_rest = errors[reach, reach]
    return motion if np.hypot(*motion) > _MIN_MOTION and errors[y, x] < _RESIDUAL * error_at_rest else None


def _align(rgb: Array, later: Array, mask: Array) -> Array:
    """Return the later frame (H, W, 3) as seen from the camera's position in `rgb`."""
    gray, gray_later = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (rgb, later))
    moving = dilate_square(mask, 4).astype(np.uint8) * 255
    homography = estimate_homography(gray, gray_later, moving, np.zeros_like(gray))
    return warp_back(later, homography, rgb.shape[1], rgb.shape[0])


def _find_moving(
    rgb: Array, later: Array, mask: Array, motion: tuple[int, int], foreground: ForegroundEvidence
) -> Array:
    """Return what (H, W) bool touches the object, is not background, and has the object's motion."""
    before, after = (cv2.GaussianBlur(x, (0, 0), 1.5).astype(np.float32) for x in (rgb, later))
    shift = np.array([[1, 0, motion[0]], [0, 1, motion[1]], [0, 0, 1]], np.float64)
    residual_at_rest = np.abs(after - before).mean(axis=2)
    residual = np.abs(warp_back(after, shift, *mask.shape[::-1]) - before).mean(axis=2)
    moving = (residual < _RESIDUAL * residual_at_rest) & ~mask
    moving &= (foreground.motion > _MIN_FOREGROUND) & (foreground.illumination < _MAX_ILLUMINATION)
    closed = cv2.morphologyEx(moving.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) * ~mask
    large = keep_components(opened, lambda _, areas: areas >= _MIN_AREA * np.count_nonzero(mask))
    return overlapping_components(large, dilate_square(mask, 3))


def _find_resting(rgb: Array, mask: Array) -> Array:
    """Return what (H, W) bool rests on the object in a picture (H, W, 3) uint8; empty if the seeds disagree."""
    lab, nothing = to_lab(rgb), np.zeros_like(mask)
    bins, inner_point = bins_of(lab), _innermost_point(mask)
    found: list[Array] = []
    for seed in _seeds_above(mask):
        trial = initial_mask(lab, rgb, ObjectPrompts((seed,), (inner_point,)))
        thing = (trial.mask > 0.5) & ~mask
        distinct = trial.agreement > _MIN_AGREEMENT and separation(thing, bins) > _MIN_SEPARATION
        if not distinct or not _MIN_AREA * np.count_nonzero(mask) < np.count_nonzero(thing) < _MAX_AREA * mask.size:
            return nothing
        found.append(thing)
    if len(found) < len(_SEEDS) or any(iou(found[0], other) < _MIN_IOU for other in found[1:]):
        return nothing
    return _complete(np.mean(found, axis=0) > 0.5, lab, bins, mask)


def _complete(part: Array, lab: Array, bins: Array, mask: Array) -> Array:
    """Return the whole thing (H, W) bool that `part` belongs to: segmented by colour, without a prior on its size."""
    weights = edge_weights(lab)
    for _ in range(_ROUNDS):
        own, other = histogram(bins, part * 1.0), histogram(bins, (ring(part, _SURROUNDINGS) & ~mask) * 1.0)
        cost = -log_likelihood_ratio(bins, own, other, 3)
        cost[mask] = 9
        grown = solve_segmentation(cost, weights, _SMOOTHNESS, _ITERATIONS, part.astype(np.float32)) > 0.5
        grown = overlapping_components(grown, part)
        if np.count_nonzero(grown) > _MAX_AREA * part.size or not grown.any():
            break
        part = grown
    return part


def extend_down(mask: Array, lowest: int) -> Array:
    """Extend a mask by the pixels that its contents will pass when they fall.

    Args:
        mask: Mask (H, W) bool of what will fall.
        lowest: Row at which it comes to rest.

    Returns:
        The mask (H, W) bool with all pixels below it, down to the row `lowest`.
    """
    out = np.maximum.accumulate(mask, axis=0)
    out[lowest + 1 :] = mask[lowest + 1 :]
    return out


def _seeds_above(mask: Array) -> list[tuple[float, float]]:
    """Return points (x, y) just above a mask's upper outline; those outside the picture are left out."""
    columns = np.flatnonzero(mask.any(axis=0))
    out = []
    for share in _SEEDS:
        x = int(columns[round(share * (len(columns) - 1))])
        y = int(mask[:, x].argmax()) - max(2, round(_GAP * mask.shape[0]))
        if y >= 0:
            out.append((float(x), float(y)))
    return out


def _innermost_point(mask: Array) -> tuple[float, float]:
    """Return the point (x, y) of a mask that is farthest from its outline."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x), float(y)
