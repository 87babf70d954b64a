"""Masks made fit for use: grown, filled, cleaned."""

import cv2
import numpy as np

from vremove_cli.geometry import Array

# Growth against the object's size (square root of its area): a drawn mask is exact, a tracked one misses fringes.
GROW_DRAWN, GROW_TRACKED = 0.02, 0.04
GROW_LEAST, GROW_MOST = 2, 16


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


def tidy(mask: Array) -> Array:
    """A binary mask (H, W) uint8 with enclosed holes filled and specks (under 1 % of the largest part) dropped."""
    if not mask.any():
        return mask
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.zeros(count, np.uint8)
    keep[1:] = (areas >= 0.01 * areas.max()) * 255
    out = keep[labels]
    contours, _ = cv2.findContours(out, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(out)
    cv2.drawContours(filled, contours, -1, 255, cv2.FILLED)
    small = max(16, 0.02 * float(areas.max()))
    return _fill_small(out, filled, small)


def _fill_small(mask: Array, filled: Array, limit: float) -> Array:
    """Close enclosed gaps up to `limit` pixels; a larger gap (the crook of an arm) shows background and stays open."""
    gaps = ((filled > 0) & (mask == 0)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(gaps, connectivity=4)
    fill = stats[:, cv2.CC_STAT_AREA] <= limit
    fill[0] = False
    return np.where(fill[labels], 255, mask).astype(np.uint8)
