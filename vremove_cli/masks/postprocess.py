"""Post-processing of tracked masks: closed in time, and scaled to the clip's size without holes or specks."""

from collections.abc import Mapping
from math import ceil

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, Placed, bounds
from vremove_cli.masks.morphology import tidy
from vremove_cli.motion.flow import fast_flow, warp_by_flow

_EDGE = np.ones((5, 5), np.uint8)  # pixels of the small mask within which its edge may be soft
_MARGIN = 24  # pixels round a mask in which motion is estimated


def close_in_time(masks: Mapping[int, Array], grays: Mapping[int, Array], t: int) -> Array:
    """Add to a frame's mask what both neighbouring frames show and it lacks, warped along the motion.

    A dropout of one frame is closed, without lag because both sides count alike. (The median of the three masks loses
    fast, thin parts.)

    Args:
        masks: Soft masks (h, w) float32 by frame.
        grays: The frames (h, w) uint8.
        t: The frame.

    Returns:
        Soft mask (h, w) float32; unchanged where a neighbour is missing, or where the mask is below 0: a negative point
        keeps the object out there.
    """
    mask = masks[t]
    if t - 1 not in masks or t + 1 not in masks or masks[t - 1] is mask is masks[t + 1]:
        return mask
    box = bounds(mask > 0.5).union(bounds(masks[t - 1] > 0.5)).union(bounds(masks[t + 1] > 0.5))
    if box.empty:
        return mask
    part = box.grow(_MARGIN).clip(mask.shape[1], mask.shape[0]).slices
    gray = np.ascontiguousarray(grays[t][part])
    sides = [warp_by_flow(masks[s][part], fast_flow(gray, grays[s][part])) for s in (t - 1, t + 1)]
    out = mask.copy()
    out[part] = np.where(mask[part] < 0, mask[part], np.maximum(mask[part], np.minimum(*sides)))
    return out


def upscale_mask(soft: Array, size: tuple[int, int]) -> Placed:
    """Scale a tracked mask to the clip's size, fill its holes and drop its specks.

    A guided filter on the large picture was tried for the edge: better where the object differs from its surroundings,
    worse elsewhere.

    Args:
        soft: Soft mask (h, w) float32, above 0.5 inside; holes with a value below 0 are not filled.
        size: (W, H) of the clip in pixels.

    Returns:
        Soft mask uint8, 128 and more inside, cropped to its bounding box.
    """
    width, height = size
    scale_x, scale_y = width / soft.shape[1], height / soft.shape[0]
    inside = (soft > 0.5).astype(np.uint8)
    near = bounds(inside)
    if near.empty:
        return Placed.nothing()
    near = near.grow(4).clip(soft.shape[1], soft.shape[0])
    box = Box(int(near.x0 * scale_x), int(near.y0 * scale_y), ceil(near.x1 * scale_x), ceil(near.y1 * scale_y))
    box = box.clip(width, height)
    edge = cv2.dilate(inside, _EDGE) > cv2.erode(inside, _EDGE)
    soft_edged = np.where(edge, soft, inside).astype(np.float32)
    full = cv2.resize(soft_edged, size, interpolation=cv2.INTER_CUBIC)[box.slices]
    kept_out = cv2.resize((soft < 0).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[box.slices] > 0
    values = tidy(np.clip(np.rint((full - 0.5) * 255 + 127.6), 0, 255).astype(np.uint8), kept_out)
    tight = bounds(values)
    return Placed(tight.moved(box.x0, box.y0), values[tight.slices].copy())
