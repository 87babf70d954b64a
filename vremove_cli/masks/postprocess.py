"""Masks as trackers give them, made ready: steady in time, whole, and at the clip's own size."""

from collections.abc import Mapping
from math import ceil

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, Placed, bounds
from vremove_cli.masks.morphology import tidy
from vremove_cli.motion.flow import fast_flow, warp_by_flow

_RIM = np.ones((5, 5), np.uint8)  # small pixels within which the edge may be soft
_ROOM = 24  # pixels round a mask in which motion is measured


def close_in_time(masks: Mapping[int, Array], grays: Mapping[int, Array], t: int) -> Array:
    """The soft mask (h, w) of frame t with what both neighbours show and it lacks, carried along the motion.

    A dropout of one frame is closed, and nothing lags: both sides count alike. (A median of the three loses fast, thin
    parts.) `grays` are the frames (h, w) uint8.
    """
    mask = masks[t]
    if t - 1 not in masks or t + 1 not in masks or masks[t - 1] is mask is masks[t + 1]:
        return mask
    box = bounds(mask > 0.5).union(bounds(masks[t - 1] > 0.5)).union(bounds(masks[t + 1] > 0.5))
    if box.empty:
        return mask
    part = box.grow(_ROOM).clip(mask.shape[1], mask.shape[0]).slices
    here = np.ascontiguousarray(grays[t][part])
    sides = [warp_by_flow(masks[s][part], fast_flow(here, grays[s][part])) for s in (t - 1, t + 1)]
    out = mask.copy()
    out[part] = np.maximum(mask[part], np.minimum(*sides))
    return out


def upscale_mask(soft: Array, size: tuple[int, int]) -> Placed:
    """A small soft mask (h, w) float32 at the clip's size (W, H): uint8, 128 and more inside, whole and without specks.

    A guided filter on the large picture was tried for its edge: better where the object stands out, worse elsewhere.
    """
    width, height = size
    across, down = width / soft.shape[1], height / soft.shape[0]
    inside = (soft > 0.5).astype(np.uint8)
    near = bounds(inside)
    if near.empty:
        return Placed.nothing()
    near = near.grow(4).clip(soft.shape[1], soft.shape[0])
    box = Box(int(near.x0 * across), int(near.y0 * down), ceil(near.x1 * across), ceil(near.y1 * down))
    box = box.clip(width, height)
    rim = cv2.dilate(inside, _RIM) > cv2.erode(inside, _RIM)
    edged = np.where(rim, soft, inside).astype(np.float32)
    full = cv2.resize(edged, size, interpolation=cv2.INTER_CUBIC)[box.slices]
    values = tidy(np.clip(np.rint((full - 0.5) * 255 + 127.6), 0, 255).astype(np.uint8))
    tight = bounds(values)
    return Placed(tight.moved(box.x0, box.y0), values[tight.slices].copy())
