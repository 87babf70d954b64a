"""Masks made fit for use: grown, filled, cleaned."""

from collections.abc import Mapping

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box

# Growth against the object's size (square root of its area): a drawn mask is exact, a tracked one misses fringes.
GROW_DRAWN, GROW_TRACKED = 0.02, 0.04
GROW_LEAST, GROW_MOST = 2, 16
_SMEAR = 0.25  # of the way between frames


def grow(mask: Array, px: int) -> Array:
    """A binary mask (H, W) uint8 grown by a disc of `px` pixels; shrunk when negative."""
    if px == 0:
        return mask
    size = 2 * abs(px) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.dilate(mask, disc) if px > 0 else cv2.erode(mask, disc)


def auto_grow(area: float, *, tracked: bool) -> int:
    """Pixels to grow an object of this area by, so that its soft border and motion blur are inside."""
    share = GROW_TRACKED if tracked else GROW_DRAWN
    return int(np.clip(round(share * area**0.5), GROW_LEAST + 2 * tracked, GROW_MOST))


def blur_grow(boxes: Mapping[int, Box]) -> dict[int, int]:
    """Pixels by which motion smears an object beyond its mask, by frame, from the masks' boxes.

    A shutter that is open for half of the time between frames smears over half of the way, and the mask's edge lies in
    the middle of the smear: a quarter of the way is left. The way is the median of five frames, so that nothing pops.
    """
    centre = {t: np.array([b.x0 + b.x1, b.y0 + b.y1]) / 2 for t, b in boxes.items()}
    way = {t: float(np.linalg.norm(c - centre[t - 1])) for t, c in centre.items() if t - 1 in centre}
    out = {}
    for t in boxes:
        near = [way[s] for s in range(t - 2, t + 4) if s in way]
        out[t] = min(GROW_MOST, round(_SMEAR * float(np.median(near)))) if near else 0
    return out


def overlapping(mask: Array, other: Array) -> Array:
    """The parts of a mask (H, W) bool that overlap another one."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    keep = np.bincount(labels[other], minlength=count) > 0
    keep[0] = False
    return np.asarray(keep[labels])


def tidy(mask: Array) -> Array:
    """A soft mask (H, W) uint8, 128 and more inside, with enclosed holes filled and specks (under 1 % of the largest
    part) dropped."""
    inside = (mask > 127).astype(np.uint8)
    if not inside.any():
        return np.zeros_like(mask)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.zeros(count, np.uint8)
    keep[1:] = (areas >= 0.01 * areas.max()) * 255
    out = keep[labels]
    contours, _ = cv2.findContours(out, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(out)
    cv2.drawContours(filled, contours, -1, 255, cv2.FILLED)
    filled = _fill_small(out, filled, max(16, 0.02 * float(areas.max())))
    rim = cv2.dilate(filled, np.ones((5, 5), np.uint8)) > 0
    softened = np.where(rim, np.minimum(mask, 127), 0)
    return np.where(filled > 0, np.where(inside > 0, mask, 255), softened).astype(np.uint8)


def _fill_small(mask: Array, filled: Array, limit: float) -> Array:
    """Close enclosed gaps up to `limit` pixels; a larger gap (the crook of an arm) shows background and stays open."""
    gaps = ((filled > 0) & (mask == 0)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(gaps, connectivity=4)
    fill = stats[:, cv2.CC_STAT_AREA] <= limit
    fill[0] = False
    return np.where(fill[labels], 255, mask).astype(np.uint8)
