"""Background motion between two frames, with the object kept out of it."""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import NOWHERE, Array, Box, bounds
from vremove_cli.motion.laplace_fill import membrane
from vremove_cli.motion.warp import grid, project, sample, seen_in

MARGIN = 48  # pixels of surroundings that the flow sees round a hole
FINE = 64  # parts of a pixel that flow is kept in: 512 pixels either way
_STALE = 2  # pixels round a hole in which flow is not believed
_NEAR = 8  # pixels round a hole from which points are followed: its soft border


@dataclass(frozen=True)
class HoleFlow:
    """Background flow from one frame to another where the object hides it.

    A point x of the first frame is at `camera`(x + r(x)) in the second; `residual` r is (h, w, 2) int16 on `box`, in
    1/64 of a pixel (`FINE`), which OpenCV samples without a conversion. Outside of the box it is zero.
    """

    camera: Array
    box: Box
    residual: Array

    def follow(self, points: Array) -> Array:
        """Points (N, 2) of the first frame, in the second."""
        if not self.box.empty:
            local = points - np.array([self.box.x0, self.box.y0], np.float32)
            points = points + sample(self.residual, local, outside=0.0) * np.float32(1 / FINE)
        return project(self.camera, points)


def hole_flow(a: Array, b: Array, hole_a: Array, hole_b: Array, camera: Array) -> HoleFlow:
    """Flow of the background from gray `a` to gray `b` (H, W) uint8 in and round `hole_a` (H, W) uint8.

    Both pictures are made equal wherever either hides the background (a hole shows the other picture, a common hole
    the same smooth fill), so that the object cannot drag the flow with it. DIS flow then measures what is left beside
    the camera's step, and the hole itself is filled by a membrane from its rim.
    """
    need = bounds(hole_a)
    if need.empty:
        return _still(camera)
    box = need.grow(MARGIN).clip(a.shape[1], a.shape[0])
    seen_b = seen_in(b, camera, box)
    gone_b = seen_in(hole_b, camera, box, nearest=True) > 0
    gone_a = hole_a[box.slices] > 0
    flow = _dis(*_neutral(a[box.slices], seen_b, gone_a, gone_b))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _STALE + 1,) * 2)
    unknown = cv2.dilate((gone_a | gone_b).astype(np.uint8), kernel) > 0
    flow = membrane(flow, unknown) if not unknown.all() else np.zeros_like(flow)
    return _kept(camera, need, box, flow, a.shape)


def filled_flow(a: Array, b: Array, need: Box, camera: Array) -> HoleFlow:
    """Flow from gray `a` to gray `b` (H, W) uint8 in and round the box `need`, where both show the background whole."""
    if need.empty:
        return _still(camera)
    box = need.grow(MARGIN).clip(a.shape[1], a.shape[0])
    flow = dense_flow(a[box.slices], seen_in(b, camera, box))
    return _kept(camera, need, box, flow, a.shape)


def _still(camera: Array) -> HoleFlow:
    """The camera's step alone."""
    return HoleFlow(camera, NOWHERE, np.zeros((0, 0, 2), np.int16))


def _kept(camera: Array, need: Box, box: Box, flow: Array, shape: tuple[int, ...]) -> HoleFlow:
    """The part of a flow that is ever asked for: points are followed from inside the hole only."""
    keep = need.grow(_NEAR).clip(shape[1], shape[0])
    inner = Box(keep.x0 - box.x0, keep.y0 - box.y0, keep.x1 - box.x0, keep.y1 - box.y0)
    fine = np.clip(np.rint(flow[inner.slices] * FINE), -(1 << 15), (1 << 15) - 1).astype(np.int16)
    return HoleFlow(camera, keep, np.ascontiguousarray(fine))


def _neutral(a: Array, b: Array, gone_a: Array, gone_b: Array) -> tuple[Array, Array]:
    """Both pictures with their holes showing the same thing."""
    both = gone_a & gone_b
    first = np.where(gone_a, b, a)
    second = np.where(gone_b, a, b)
    if both.any():
        mean = (first.astype(np.float32) + second)[..., None] / 2
        smooth = np.clip(membrane(mean, both)[..., 0], 0, 255).astype(np.uint8)
        first = np.where(both, smooth, first)
        second = np.where(both, smooth, second)
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


def _dis(a: Array, b: Array) -> Array:
    """DIS optical flow (H, W, 2) float32 from a to b; zero where the pictures are too small for it."""
    if min(a.shape) < 16:
        return np.zeros((*a.shape, 2), np.float32)
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(a, b, None)


def dense_flow(a: Array, b: Array) -> Array:
    """Flow (H, W, 2) float32 from gray `a` to gray `b` (H, W) uint8: a(x) looks like b(x + flow)."""
    return _dis(np.ascontiguousarray(a), np.ascontiguousarray(b))


def fast_flow(a: Array, b: Array) -> Array:
    """The same, coarser and four times as fast."""
    if min(a.shape) < 32:  # OpenCV's fast preset reads beyond such pictures and crashes
        return dense_flow(a, b)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return flow.calc(np.ascontiguousarray(a), np.ascontiguousarray(b), None)


def warp_by_flow(values: Array, flow: Array) -> Array:
    """Values (H, W) float32 of a second frame seen from the first: out(x) = values(x + flow(x))."""
    height, width = flow.shape[:2]
    at = grid(width, height) + flow
    return cv2.remap(values, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
