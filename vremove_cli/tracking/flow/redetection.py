"""Looking for an object that was lost: its colours, in the outline it had last."""

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.masks.morphology import overlapping
from vremove_cli.tracking.flow.appearance_model import BAND, ComparedFrame, colour_ratio
from vremove_cli.tracking.flow.colour_histogram import log_likelihood_ratio
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, solve_segmentation

_PEAK = 0.6  # mean log ratio under the outline, against its ring, from which it may be the object
_SMALLEST, _LARGEST = 0.25, 2.2  # of its usual size


def redetect(look: ComparedFrame, smooth: float, rounds: int) -> Array | None:
    """The soft mask (H, W) where the object's colours stand out in its last outline; None when they do nowhere."""
    height, width = look.gray.shape
    last = look.old["last"]
    box = bounds(last)
    if box.empty:
        return None
    size = (max(1, width // 4), max(1, height // 4))
    ratio = log_likelihood_ratio(look.bins, look.old["own0"], look.old["anywhere"], 3)
    response = cv2.filter2D(
        cv2.resize(ratio, size, interpolation=cv2.INTER_AREA), -1, _kernel(last, box), borderType=cv2.BORDER_CONSTANT
    )
    _, peak, _, (x, y) = cv2.minMaxLoc(response)
    # What the object itself scored at best: all of its area at the prompted frame's likeness.
    if peak < max(_PEAK, 0.45 * float(look.old["ratio0"])):
        return None
    move = np.array([[1, 0, 4 * x + 2 - (box.x0 + box.x1) / 2], [0, 1, 4 * y + 2 - (box.y0 + box.y1) / 2]], np.float32)
    placed = cv2.warpAffine(last, move, (width, height), flags=cv2.INTER_NEAREST)
    area = bounds(placed)
    if area.empty:
        return None
    area = area.grow(BAND).clip(width, height)
    there = placed[area.slices].astype(np.float32)
    cost = -np.clip(ratio[area.slices], -2.5, 2.5) - 0.6 * (2 * there - 1)
    found = placed.astype(np.float32)
    found[area.slices] = solve_segmentation(cost, edge_weights(look.lab[area.slices]), smooth, rounds, there)
    mask = overlapping(found > 0.5, placed > 0)
    share = mask.sum() / max(1.0, float(np.median(look.old["areas"])))
    if not _SMALLEST < share < _LARGEST or colour_ratio(look, mask) < 0.5 * float(look.old["ratio0"]):
        return None
    return np.where(mask, np.maximum(found, 0.51), 0).astype(np.float32)


def _kernel(last: Array, box: Box) -> Array:
    """The outline at quarter size: +1 in all inside, -0.6 in all on a ring of two pixels round it."""
    shape = last[box.slices]
    size = (max(1, shape.shape[1] // 4), max(1, shape.shape[0] // 4))
    inside = cv2.copyMakeBorder(cv2.resize(shape, size, interpolation=cv2.INTER_AREA), 3, 3, 3, 3, cv2.BORDER_CONSTANT)
    inside = (inside > 0).astype(np.float32)
    ring = cv2.dilate(inside, np.ones((5, 5), np.uint8)) - inside
    return inside / max(inside.sum(), 1) - 0.6 * ring / max(ring.sum(), 1)
