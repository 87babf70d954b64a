"""The camera's step from one frame to another, as a homography of the background."""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array, bounds
from vremove_cli.motion.warp import seen_in

CORNERS = 600
FEW = 12  # matches below which no step is believed
NEAR = 48  # pixels round the object in which a step is judged
_LOST = 30.0  # levels beyond which a difference counts no more: something else moves there


@dataclass(frozen=True)
class Step:
    """The camera's step from frame a to frame b: `matrix` takes pixels of a to b, and `light` is the level (of 255)
    by which the background is brighter in b."""

    matrix: Array
    light: float


def best_step(a: Array, b: Array, busy_a: Array, busy_b: Array) -> Step:
    """The step found at full or at half size, whichever makes the frames more alike round the object.

    Gray frames (H, W) uint8 and what is not background in them, (H, W) uint8. Small pictures bear blur and fast
    motion, large ones are exact: on a whip pan the half size is better by 1 dB of the plate, on a calm shot the other.
    """
    large = estimate_homography(a, b, busy_a, busy_b)
    size = (max(1, a.shape[1] // 2), max(1, a.shape[0] // 2))
    less = [cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (a, b, busy_a, busy_b)]
    small = _enlarged(estimate_homography(less[0], less[1], *((x > 0).astype(np.uint8) * 255 for x in less[2:])))
    judged = [_judge(a, b, busy_a, busy_b, matrix) for matrix in (large, small)]
    return Step(large, judged[0][1]) if judged[0][0] <= judged[1][0] else Step(small, judged[1][1])


def _enlarged(matrix: Array) -> Array:
    """A step between half-size frames, for the whole ones."""
    scale = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]], np.float64)
    return np.asarray(scale @ matrix @ np.linalg.inv(scale))


def _judge(a: Array, b: Array, busy_a: Array, busy_b: Array, matrix: Array) -> tuple[float, float]:
    """How different the background round the object is after a step, in levels, and how much brighter it became."""
    box = bounds(busy_a).union(bounds(busy_b)).grow(NEAR).clip(a.shape[1], a.shape[0])
    seen = seen_in(b, matrix, box)
    busy = (seen_in(busy_b, matrix, box, nearest=True) > 0) | (busy_a[box.slices] > 0)
    change = (seen.astype(np.int16) - a[box.slices])[~busy]
    if not len(change):
        return float("inf"), 0.0
    light = float(np.median(change))
    return float(np.minimum(np.abs(change - light), _LOST).mean()), light


def estimate_homography(a: Array, b: Array, busy_a: Array, busy_b: Array) -> Array:
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
