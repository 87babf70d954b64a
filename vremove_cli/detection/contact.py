"""What will move once an object is gone, without a network: what moves with it, and what rests on it.

Two pieces of evidence, each from one frame. Of an object that moves: what touches it, stands out from the background
and has its motion. Of one that stands still: what is met all along its upper outline, as one thing that looks unlike
its surroundings. What stands behind an object and looks so is taken for resting on it; only a person, or a model that
knows the world, can tell them apart.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array, bounds
from vremove_cli.masks.morphology import overlapping
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.warp import warp_back
from vremove_cli.tracking.base import ForegroundEvidence, ObjectPrompts
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio, to_lab
from vremove_cli.tracking.flow.initial_mask import initial_mask, separation
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, solve_segmentation

_MOVES, _REACH = 1.5, 0.15  # pixels from which an object moves, and frame widths in which it is looked for
_BETTER = 0.5  # share of the difference that is left when a step is allowed for, if it was made
_STANDS, _LIT = (
    0.3,
    0.6,
)  # evidence of not being the background, and of being it in another light: see `ForegroundEvidence`
_LEAST = 0.04  # of the object's area
_MOST = 0.15  # of the frame: more is no thing that rests on another
_SEEDS = (0.2, 0.5, 0.8)  # shares of an upper outline at which what rests on it is looked for
_GAP = 0.028  # frame heights above the outline
_ROUNDS, _SMOOTH = 3, 5.0
_AGREE, _APART, _SAME = 0.6, 0.5, 0.6  # of trials on one outline, of colours, and between seeds


def find_dependents(rgb: Array, later: Array, mask: Array, standout: ForegroundEvidence) -> tuple[Array, str]:
    """What will move once the object in `mask` (H, W) bool is gone, (H, W) bool, and what was seen that says so.

    `rgb` and `later` (H, W, 3) uint8 are its frame and one soon after, upright; `standout` is its frame's.
    """
    later = _aligned(rgb, later, mask)
    step = _step(rgb, later, mask)
    if step is None:
        return _resting(rgb, mask), "rests on it"
    return _carried(rgb, later, mask, step, standout), "moves with it"


def _step(rgb: Array, later: Array, mask: Array) -> tuple[int, int] | None:
    """By how many pixels (x, y) the object in `mask` (H, W) bool is elsewhere in the later frame, as the camera saw it
    from the first one; None when it stands still, or is not to be seen there."""
    box = bounds(mask)
    reach = round(_REACH * mask.shape[1])
    around = cv2.copyMakeBorder(later, *(reach,) * 4, cv2.BORDER_REPLICATE)
    wide = box.grow(reach).moved(reach, reach)
    part = np.repeat(mask[box.slices].astype(np.uint8)[..., None], 3, axis=2)
    errors = cv2.matchTemplate(around[wide.slices], rgb[box.slices], cv2.TM_SQDIFF, mask=part)
    y, x = np.unravel_index(int(errors.argmin()), errors.shape)
    step = int(x) - reach, int(y) - reach
    still = errors[reach, reach]
    return step if np.hypot(*step) > _MOVES and errors[y, x] < _BETTER * still else None


def _aligned(rgb: Array, later: Array, mask: Array) -> Array:
    """The later frame as the camera would have seen it from where it was on the first one."""
    gray, gray_later = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (rgb, later))
    busy = cv2.dilate(mask.astype(np.uint8) * 255, np.ones((9, 9), np.uint8))
    camera = estimate_homography(gray, gray_later, busy, np.zeros_like(gray))
    return warp_back(later, camera, rgb.shape[1], rgb.shape[0])


def _carried(rgb: Array, later: Array, mask: Array, step: tuple[int, int], standout: ForegroundEvidence) -> Array:
    """What touches an object (H, W) bool, stands out, and is by the object's step elsewhere too, (H, W) bool."""
    here, there = (cv2.GaussianBlur(x, (0, 0), 1.5).astype(np.float32) for x in (rgb, later))
    still = np.abs(there - here).mean(axis=2)
    moved = np.abs(warp_back(there, _shift(step), *mask.shape[::-1]) - here).mean(axis=2)
    other = (moved < _BETTER * still) & (standout.motion > _STANDS) & (standout.illumination < _LIT) & ~mask
    closed = cv2.morphologyEx(other.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) * ~mask
    near = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    _, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    touching = set(np.unique(labels[near & (opened > 0)])) - {0}
    large = [k for k in touching if stats[k, cv2.CC_STAT_AREA] >= _LEAST * np.count_nonzero(mask)]
    return np.isin(labels, large)


def _shift(step: tuple[int, int]) -> Array:
    return np.array([[1, 0, step[0]], [0, 1, step[1]], [0, 0, 1]], np.float64)


def _resting(rgb: Array, mask: Array) -> Array:
    """What rests on an object (H, W) bool in a picture (H, W, 3) uint8, (H, W) bool."""
    lab, nothing = to_lab(rgb), np.zeros_like(mask)
    bins, deep = bins_of(lab), _deepest(mask)
    found: list[Array] = []
    for seed in _above(mask):
        trial = initial_mask(lab, rgb, ObjectPrompts((seed,), (deep,)))
        thing = (trial.mask > 0.5) & ~mask
        unlike = trial.agreement > _AGREE and separation(thing, bins) > _APART
        if not unlike or not _LEAST * np.count_nonzero(mask) < np.count_nonzero(thing) < _MOST * mask.size:
            return nothing
        found.append(thing)
    if len(found) < len(_SEEDS) or any(_iou(found[0], other) < _SAME for other in found[1:]):
        return nothing
    return _whole(np.mean(found, axis=0) > 0.5, lab, bins, mask)


def _whole(part: Array, lab: Array, bins: Array, mask: Array) -> Array:
    """A thing from a part of it, without the prior of size by which that was found: what joins it and looks alike."""
    weights = edge_weights(lab)
    for _ in range(_ROUNDS):
        ring = cv2.dilate(part.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
        cost = -log_likelihood_ratio(
            bins, histogram(bins, part * 1.0), histogram(bins, (ring & ~part & ~mask) * 1.0), 3
        )
        cost[mask] = 9
        grown = solve_segmentation(cost, weights, _SMOOTH, 60, part.astype(np.float32)) > 0.5
        grown = overlapping(grown, part)
        if np.count_nonzero(grown) > _MOST * part.size or not grown.any():
            break
        part = grown
    return part


def extend_down(mask: Array, lowest: int) -> Array:
    """A mask (H, W) bool with all that lies under it, down to the row `lowest`: what falls comes through there."""
    out = np.maximum.accumulate(mask, axis=0)
    out[lowest + 1 :] = mask[lowest + 1 :]
    return out


def _above(mask: Array) -> list[tuple[float, float]]:
    """Points just above a mask's upper outline, at shares of its width; fewer where that is outside of the picture."""
    columns = np.flatnonzero(mask.any(axis=0))
    out = []
    for share in _SEEDS:
        x = int(columns[round(share * (len(columns) - 1))])
        y = int(mask[:, x].argmax()) - max(2, round(_GAP * mask.shape[0]))
        if y >= 0:
            out.append((float(x), float(y)))
    return out


def _deepest(mask: Array) -> tuple[float, float]:
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x), float(y)


def _iou(a: Array, b: Array) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))
