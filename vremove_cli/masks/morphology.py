"""Morphology of masks: growing, filling holes, dropping specks."""

from collections.abc import Mapping

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, keep_components, label_components
from vremove_cli.geometry import Array, Box

# Growth as a share of the object's size (square root of its area): a drawn mask is exact, a tracked one misses fringes.
GROW_DRAWN, GROW_TRACKED = 0.02, 0.04
MIN_GROW, MAX_GROW = 2, 16  # pixels
_SMEAR_SHARE = 0.25  # of the motion between frames: see `blur_grow`
_SPECK_SHARE = 0.01  # of the largest component's area
_HOLE_SHARE, _MIN_HOLE = 0.02, 16  # holes up to this share of the largest component, or so many pixels, are filled


def grow(mask: Array, px: int) -> Array:
    """Grow a mask (H, W) uint8 by a disc of `px` pixels, or shrink it when negative."""
    if px == 0:
        return mask
    size = 2 * abs(px) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(mask, disc) if px > 0 else cv2.erode(mask, disc)


def auto_grow(area: float, *, tracked: bool) -> int:
    """Return by how many pixels to grow a mask so that the object's soft border and motion blur are inside.

    Args:
        area: Area of the object in pixels.
        tracked: Whether the mask was tracked; a drawn one needs less.
    """
    share = GROW_TRACKED if tracked else GROW_DRAWN
    return int(np.clip(round(share * area**0.5), MIN_GROW + 2 * tracked, MAX_GROW))


def blur_grow(boxes: Mapping[int, Box]) -> dict[int, int]:
    """Return by how many pixels motion blur reaches beyond an object's mask.

    A shutter that is open for half of the time between frames blurs over half of the motion, and the mask's edge lies
    in the middle of the blur: a quarter of the motion remains. The motion is the median of five frames, so that the
    growth does not flicker.

    Args:
        boxes: Bounding boxes of the masks by frame.

    Returns:
        Pixels by frame, 0 to `MAX_GROW`.
    """
    centre = {t: np.array([b.x0 + b.x1, b.y0 + b.y1]) / 2 for t, b in boxes.items()}
    motion = {t: float(np.linalg.norm(c - centre[t - 1])) for t, c in centre.items() if t - 1 in centre}
    out = {}
    for t in boxes:
        window = [motion[s] for s in range(t - 2, t + 4) if s in motion]
        out[t] = min(MAX_GROW, round(_SMEAR_SHARE * float(np.median(window)))) if window else 0
    return out


def tidy(mask: Array, kept_out: Array | None = None) -> Array:
    """Fill small holes of a soft mask and drop specks, components under 1 % of the largest.

    Args:
        mask: Soft mask (H, W) uint8, 128 and more inside.
        kept_out: Pixels (H, W) bool that no hole may be filled over.

    Returns:
        Soft mask (H, W) uint8.
    """
    inside = (mask > 127).astype(np.uint8)
    if not inside.any():
        return np.zeros_like(mask)
    labels, areas = label_components(inside)
    largest = areas[1:].max()
    selected = areas >= _SPECK_SHARE * largest
    selected[0] = False
    kept = selected[labels].astype(np.uint8) * 255
    contours, _ = cv2.findContours(kept, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outlines = np.zeros_like(kept)
    cv2.drawContours(outlines, contours, -1, 255, cv2.FILLED)
    filled = _fill_holes(kept, outlines, max(_MIN_HOLE, _HOLE_SHARE * float(largest)), kept_out)
    rim = np.where(dilate_square(filled > 0, 2), np.minimum(mask, 127), 0)
    return np.where(filled > 0, np.where(inside > 0, mask, 255), rim).astype(np.uint8)


def _fill_holes(mask: Array, outlines: Array, limit: float, kept_out: Array | None) -> Array:
    """Fill holes of up to `limit` pixels; a larger one (the crook of an arm) shows background and stays.

    So does one with a pixel of `kept_out`. `mask` and `outlines` (filled contours) are (H, W) uint8, 0 or 255.
    """

    def fillable(labels: Array, areas: Array) -> Array:
        small = areas <= limit
        if kept_out is not None:
            small[labels[kept_out]] = False
        return small

    holes = keep_components((outlines > 0) & (mask == 0), fillable, connectivity=4)
    return np.where(holes, 255, mask).astype(np.uint8)
