"""Redetection of a lost object: template matching of its colours in the outline of its last trusted mask."""

import cv2
import numpy as np

from vremove_cli.arrays import overlapping_components
from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.tracking.flow.appearance_model import BAND, MaskUpdate, RegisteredFrame, colour_ratio
from vremove_cli.tracking.flow.colour_histogram import log_likelihood_ratio
from vremove_cli.tracking.flow.mask_update import ITERATIONS, SMOOTHNESS
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, solve_segmentation

_SCALE = 4  # the response is computed at a quarter of the size
_MIN_RESPONSE = 0.6  # mean log-likelihood ratio in the outline, less 0.6 of the mean in its ring
_MIN_RESPONSE_SHARE = 0.45  # of the ratio on the prompted frame: what the object itself scores at most
_MIN_COLOUR_SHARE = 0.5  # of the ratio on the prompted frame, for the segmented mask
_BACKGROUND = -0.4  # mean motion evidence of a mask, below which it is a part of the background
_MIN_AREA, _MAX_AREA = 0.25, 2.2  # shares of the usual area


def redetect(frame: RegisteredFrame) -> MaskUpdate:
    """Look for the object on a frame.

    Args:
        frame: The whole frame (H, W), registered with a model whose object is lost.

    Returns:
        Its mask, all 0 where the object's colours do not fill its outline; it stands still.
    """
    found = _find(frame)
    soft = np.zeros(frame.gray.shape, np.float32) if found is None else found
    return MaskUpdate.still(soft)


def _find(frame: RegisteredFrame) -> Array | None:
    """Return the soft mask (H, W) float32 of the object on a frame, above 0.5 inside; None if it is not found."""
    model = frame.model
    box = bounds(model.trusted_mask)
    if box.empty:
        return None
    ratio = log_likelihood_ratio(frame.bins, model.first_object_histogram, model.background_histogram, 3)
    # What the background model explains is not the object, if the object differed from the background before.
    motion = float(model.motion_trust) * np.minimum(frame.foreground.for_object(), 0)
    ratio = np.maximum(ratio + 2 * motion, -3)
    response, (x, y) = _best_match(ratio, model.trusted_mask, box)
    if response < max(_MIN_RESPONSE, _MIN_RESPONSE_SHARE * float(model.first_colour_ratio)):
        return None
    dx, dy = x - (box.x0 + box.x1) / 2, y - (box.y0 + box.y1) / 2
    shift = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    placed = cv2.warpAffine(model.trusted_mask, shift, (frame.width, frame.height), flags=cv2.INTER_NEAREST)
    band = bounds(placed)
    if band.empty:
        return None
    band = band.grow(BAND).clip(frame.width, frame.height)
    prior = placed[band.slices].astype(np.float32)
    cost = -np.clip(ratio[band.slices], -2.5, 2.5) - 0.6 * (2 * prior - 1)
    soft = placed.astype(np.float32)
    soft[band.slices] = solve_segmentation(cost, edge_weights(frame.lab[band.slices]), SMOOTHNESS, ITERATIONS, prior)
    mask = overlapping_components(soft > 0.5, placed > 0)
    area_share = mask.sum() / max(1.0, model.usual_area)
    if not _MIN_AREA < area_share < _MAX_AREA or motion[mask].mean() < _BACKGROUND:
        return None
    if colour_ratio(frame, mask) < _MIN_COLOUR_SHARE * float(model.first_colour_ratio):
        return None
    return np.where(mask, np.maximum(soft, 0.51), 0).astype(np.float32)


def _best_match(ratio: Array, outline: Array, box: Box) -> tuple[float, tuple[int, int]]:
    """Return the best response of an outline (H, W) uint8 in a map of ratios (H, W), and its centre (x, y)."""
    height, width = ratio.shape
    small = cv2.resize(ratio, (max(1, width // _SCALE), max(1, height // _SCALE)), interpolation=cv2.INTER_AREA)
    response = cv2.filter2D(small, -1, _kernel(outline, box), borderType=cv2.BORDER_CONSTANT)
    _, best, _, (x, y) = cv2.minMaxLoc(response)
    return best, (_SCALE * x + _SCALE // 2, _SCALE * y + _SCALE // 2)


def _kernel(outline: Array, box: Box) -> Array:
    """Return the small outline as a filter: sum 1 inside, sum -0.6 on a ring of two pixels round it."""
    shape = outline[box.slices]
    size = (max(1, shape.shape[1] // _SCALE), max(1, shape.shape[0] // _SCALE))
    small = cv2.resize(shape, size, interpolation=cv2.INTER_AREA)
    inside = cv2.copyMakeBorder(small, 3, 3, 3, 3, cv2.BORDER_CONSTANT)
    inside = (inside > 0).astype(np.float32)
    around = cv2.dilate(inside, np.ones((5, 5), np.uint8)) - inside
    return inside / max(inside.sum(), 1) - 0.6 * around / max(around.sum(), 1)
