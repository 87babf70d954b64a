"""The camera's step from one frame to another, as a homography of the background."""

import cv2
import numpy as np

from vremove_cli.geometry import Array

CORNERS = 600
FEW = 12  # matches below which no step is believed


def camera_step(a: Array, b: Array, busy_a: Array, busy_b: Array) -> Array:
    """Homography (3, 3) float64 that takes pixels of gray frame `a` (H, W) uint8 to frame `b`.

    `busy_a`, `busy_b` (H, W) uint8 mark what is not background and is left out. Corners are tracked by pyramidal
    Lucas-Kanade and fitted by MAGSAC (1.5 px); with fewer than `FEW` of them the camera is taken to stand still.
    """
    corners = cv2.goodFeaturesToTrack(a, CORNERS, 0.01, 6, mask=cv2.bitwise_not(busy_a))
    if corners is None or len(corners) < FEW:
        return np.eye(3)
    corners = corners.reshape(-1, 1, 2)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, None, winSize=(21, 21), maxLevel=4)
    start, end = corners.reshape(-1, 2), moved.reshape(-1, 2)
    height, width = b.shape
    column = np.clip(np.rint(end[:, 0]), 0, width - 1).astype(int)
    row = np.clip(np.rint(end[:, 1]), 0, height - 1).astype(int)
    good = (found.ravel() == 1) & (busy_b[row, column] == 0)
    if good.sum() < FEW:
        return np.eye(3)
    matrix, inliers = cv2.findHomography(start[good], end[good], cv2.USAC_MAGSAC, 1.5)
    if matrix is None or inliers.sum() < FEW or not _sane(matrix, width, height):
        return np.eye(3)
    return matrix


def _sane(matrix: Array, width: int, height: int) -> bool:
    """Whether a step keeps the frame a frame: no mirror, no collapse, no horizon inside it."""
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64) @ matrix.T
    if (corners[:, 2] <= 0.1).any():
        return False
    shape = (corners[:, :2] / corners[:, 2:]).astype(np.float32)
    area = cv2.contourArea(shape, oriented=True) / (width * height)
    return 0.25 < area < 4.0
