"""Measure background motion between two frames, with the object kept out of the measurement.

Optical flow is DIS (Kroeger et al., "Fast Optical Flow using Dense Inverse Search", 2016), as OpenCV implements it.
Flow is (H, W, 2) in pixels, x then y: a(x) looks like b(x + flow(x)).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.arrays import dilate_disc
from vremove_cli.geometry import NOWHERE, Array, Box, bounds
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.motion.warp import grid, project, sample, warp_back_crop

MARGIN = 48  # pixels of surroundings that the flow is measured on round a hole
SUBPIXELS = 64  # steps per pixel in which flow is stored: int16 then holds 512 pixels either way

_INVALID_MARGIN = 2  # pixels round a hole in which measured flow is discarded
_STORED_MARGIN = 8  # pixels round a hole from which points are traced: its soft border
_MIN_SIDE = 16  # pixels below which DIS is not run
_MIN_SIDE_FAST = 32  # pixels below which OpenCV's fast preset reads out of bounds and crashes


@dataclass(frozen=True)
class HoleFlow:
    """Background flow from one frame to another where the object hides it.

    A point x of the first frame maps to H(x + r(x)) in the second. OpenCV samples int16 without a conversion.

    Attributes:
        homography: H, the camera's motion (3, 3) float64.
        box: Pixels of the first frame that `residual` covers; outside it r is zero.
        residual: r, (h, w, 2) int16 in 1 / `SUBPIXELS` of a pixel.
    """

    homography: Array
    box: Box
    residual: Array

    def map_points(self, points: Array) -> Array:
        """Map points (N, 2) float32 (x, y) of the first frame to the second, (N, 2) float32."""
        if not self.box.empty:
            local = points - np.array([self.box.x0, self.box.y0], np.float32)
            points = points + sample(self.residual, local, outside=0.0) * np.float32(1 / SUBPIXELS)
        return project(self.homography, points)


def hole_flow(a: Array, b: Array, hole_a: Array, hole_b: Array, homography: Array) -> HoleFlow:
    """Measure the flow of the background in and round the hole of `a`.

    Both pictures are made equal wherever either hides the background, so that the object cannot drag the flow along:
    a hole shows the other picture, a common hole the same smooth fill. DIS measures the residual to the homography,
    and `laplace_fill` continues it into the hole.

    Args:
        a: Gray frame (H, W) uint8.
        b: Gray frame (H, W) uint8.
        hole_a: (H, W) uint8, above 0 where `a` hides the background.
        hole_b: The same for `b`.
        homography: The camera's motion from a to b, (3, 3).

    Returns:
        The flow from a to b on the bounding box of `hole_a`; the homography alone if `hole_a` is empty.
    """
    hole_box = bounds(hole_a)
    if hole_box.empty:
        return _homography_only(homography)
    box = hole_box.grow(MARGIN).clip(a.shape[1], a.shape[0])
    return _store(homography, hole_box, box, residual_flow(a, b, hole_a, hole_b, homography, box), a.shape)


def residual_flow(a: Array, b: Array, hole_a: Array, hole_b: Array, homography: Array, box: Box) -> Array:
    """Measure by how much the background's flow differs from the camera's motion, as `hole_flow` does.

    Args:
        a: Gray frame (H, W) uint8.
        b: Gray frame (H, W) uint8.
        hole_a: (H, W) bool or uint8, non-zero where `a` hides the background.
        hole_b: (H, W) uint8, the same for `b`.
        homography: The camera's motion from a to b, (3, 3).
        box: Pixels of `a` where the flow is wanted.

    Returns:
        r, (h, w, 2) float32: a point x of `a` is at H(x + r(x)) in `b`. It is zero where all of the box is hidden.
    """
    aligned_b = warp_back_crop(b, homography, box)
    hidden_b = warp_back_crop(hole_b, homography, box, nearest=True) > 0
    hidden_a = hole_a[box.slices] > 0
    flow = dense_flow(*_neutralise(a[box.slices], aligned_b, hidden_a, hidden_b))
    unknown = dilate_disc(hidden_a | hidden_b, _INVALID_MARGIN)
    return laplace_fill(flow, unknown) if not unknown.all() else np.zeros_like(flow)


def filled_flow(a: Array, b: Array, hole_box: Box, homography: Array) -> HoleFlow:
    """Measure the flow in and round a box between two frames whose holes have been filled.

    Args:
        a: Gray frame (H, W) uint8.
        b: Gray frame (H, W) uint8.
        hole_box: Pixels of `a` where flow is wanted.
        homography: The camera's motion from a to b, (3, 3).

    Returns:
        The flow from a to b on `hole_box`; the homography alone if the box is empty.
    """
    if hole_box.empty:
        return _homography_only(homography)
    box = hole_box.grow(MARGIN).clip(a.shape[1], a.shape[0])
    flow = dense_flow(a[box.slices], warp_back_crop(b, homography, box))
    return _store(homography, hole_box, box, flow, a.shape)


def dense_flow(a: Array, b: Array) -> Array:
    """Return the flow (H, W, 2) float32 from gray `a` to gray `b` (H, W) uint8; zero below 16 pixels a side."""
    if min(a.shape) < _MIN_SIDE:
        return np.zeros((*a.shape, 2), np.float32)
    return _dis(a, b, cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def fast_flow(a: Array, b: Array) -> Array:
    """Return the flow of `dense_flow` from a coarser preset, four times as fast."""
    if min(a.shape) < _MIN_SIDE_FAST:
        return dense_flow(a, b)
    return _dis(a, b, cv2.DISOPTICAL_FLOW_PRESET_FAST)


def warp_by_flow(values: Array, flow: Array) -> Array:
    """Warp a second frame onto the first by the flow from the first to the second.

    Args:
        values: (H, W) or (H, W, C) float32 of the second frame.
        flow: (H, W, 2) float32.

    Returns:
        out(x) = values(x + flow(x)), bilinear, of the shape and dtype of `values`; edge pixels are repeated.
    """
    height, width = flow.shape[:2]
    positions = grid(width, height) + flow
    return cv2.remap(values, positions[..., 0], positions[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _dis(a: Array, b: Array, preset: int) -> Array:
    return cv2.DISOpticalFlow.create(preset).calc(np.ascontiguousarray(a), np.ascontiguousarray(b), None)


def _homography_only(homography: Array) -> HoleFlow:
    return HoleFlow(homography, NOWHERE, np.zeros((0, 0, 2), np.int16))


def _store(homography: Array, hole_box: Box, box: Box, flow: Array, shape: tuple[int, ...]) -> HoleFlow:
    """Keep the part of a flow that traces use: they start inside the hole only."""
    kept = hole_box.grow(_STORED_MARGIN).clip(shape[1], shape[0])
    inner = kept.moved(-box.x0, -box.y0)
    residual = np.clip(np.rint(flow[inner.slices] * SUBPIXELS), -(1 << 15), (1 << 15) - 1).astype(np.int16)
    return HoleFlow(homography, kept, np.ascontiguousarray(residual))


def _neutralise(a: Array, b: Array, hidden_a: Array, hidden_b: Array) -> tuple[Array, Array]:
    """Both pictures (h, w) uint8 with equal content in their holes (h, w) bool."""
    hidden_in_both = hidden_a & hidden_b
    first = np.where(hidden_a, b, a)
    second = np.where(hidden_b, a, b)
    if hidden_in_both.any():
        mean = (first.astype(np.float32) + second) / 2
        smooth = np.clip(laplace_fill(mean, hidden_in_both), 0, 255).astype(np.uint8)
        first = np.where(hidden_in_both, smooth, first)
        second = np.where(hidden_in_both, smooth, second)
    return first, second
