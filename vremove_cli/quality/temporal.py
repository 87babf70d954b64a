"""What changes from frame to frame in the hole, and just outside it.

The neighbours are warped by the flow of the background, which is measured on the source without the object and
continued into the hole. What is left is smoothed: grain never agrees, and a blurred fill must not win for want of it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box
from vremove_cli.motion.flow import residual_flow
from vremove_cli.motion.warp import grid, project
from vremove_cli.quality.zones import Zones

_SMOOTHING = 3.0  # pixels: deviation of the Gaussian; of grain a tenth is left


def background_positions(a: Array, b: Array, hidden_a: Array, hidden_b: Array, homography: Array, box: Box) -> Array:
    """Return where the background of a frame is in another frame.

    Args:
        a: Gray frame (H, W) uint8 of the source.
        b: Another gray frame (H, W) uint8 of the source.
        hidden_a: (H, W) bool, where `a` does not show the background.
        hidden_b: The same for `b`.
        homography: The camera's motion from a to b, (3, 3).
        box: Pixels of `a` that are wanted.

    Returns:
        (h, w, 2) float32, x and y in pixels of `b`.
    """
    flow = residual_flow(a, b, hidden_a, hidden_b.astype(np.uint8), homography, box)
    points = grid(box.width, box.height) + flow + np.array([box.x0, box.y0], np.float32)
    return project(homography, points.reshape(-1, 2)).reshape(points.shape)


def changes(frame: Array, neighbours: Sequence[Array], positions: Sequence[Array], box: Box) -> list[Array]:
    """Return by how much a frame differs from what its neighbours show in its place.

    Args:
        frame: (H, W, 3) uint8.
        neighbours: Frames (H, W, 3) uint8.
        positions: Where the frame's background is in each, (h, w, 2).
        box: The part of the frame that they cover.

    Returns:
        Smoothed differences (h, w, 3) float32 in 8-bit levels, one for each neighbour.
    """
    here = frame[box.slices].astype(np.float32)
    out = []
    for neighbour, place in zip(neighbours, positions, strict=True):
        there = cv2.remap(neighbour, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out.append(cv2.GaussianBlur(here - there, (0, 0), _SMOOTHING))
    return out


def warp_error(differences: Sequence[Array], zones: Zones) -> tuple[float, float]:
    """Return the mean difference from the warped neighbours, in levels, in the hole and in the ring."""
    error = np.mean([np.abs(d).mean(axis=2) for d in differences], axis=0)
    return float(error[zones.hole].mean()), float(error[zones.ring].mean())


def flicker(differences: Sequence[Array], zones: Zones) -> tuple[float, float]:
    """Return the mean second difference in time, in levels, in the hole and in the ring, from both neighbours."""
    second = np.abs(np.sum(differences, axis=0)).mean(axis=2)
    return float(second[zones.hole].mean()), float(second[zones.ring].mean())
