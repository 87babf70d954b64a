"""Estimate the camera's motion between two frames as a homography of the background.

Corners are tracked by pyramidal Lucas-Kanade flow and a homography is fitted to them by OpenCV's USAC_MAGSAC. Pixels
are x to the right, y down. `foreground` masks mark everything that is not background: corners on them are left out.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array, bounds
from vremove_cli.motion.warp import warp_back_crop

MAX_CORNERS = 600
MIN_MATCHES = 12  # tracked corners, and inliers, below which no homography is trusted
JUDGED_MARGIN = 48  # pixels round the object in which a homography is judged

_CORNER_QUALITY = 0.01  # share of the strongest corner's response
_CORNER_DISTANCE = 6  # pixels between corners
_TRACK_WINDOW, _TRACK_LEVELS = (21, 21), 4  # pixels of the Lucas-Kanade window, pyramid levels
_INLIER_DISTANCE = 1.5  # pixels of reprojection error
_MAX_DIFFERENCE = 30.0  # 8-bit levels at which a difference is capped: something else moves there
_MIN_DEPTH = 0.1  # homogeneous coordinate of a frame corner; at 0 the horizon crosses the corner
_MIN_AREA, _MAX_AREA = 0.25, 4.0  # area of the mapped frame against the frame's


@dataclass(frozen=True)
class CameraMotion:
    """Camera motion and exposure change from frame a to frame b.

    Attributes:
        homography: (3, 3) float64, takes pixels of a to pixels of b.
        brightness: 8-bit levels by which the background is brighter in b.
    """

    homography: Array
    brightness: float


def estimate_camera_motion(a: Array, b: Array, foreground_a: Array, foreground_b: Array) -> CameraMotion:
    """Estimate a homography at full and at half size and return the one that aligns the frames better.

    A small picture tolerates blur and fast motion, a large one is exact: on a whip pan the half size gains 1 dB of the
    plate, on a calm shot the full size does.

    Args:
        a: Gray frame (H, W) uint8.
        b: Gray frame (H, W) uint8.
        foreground_a: (H, W) uint8, 255 where `a` does not show background, 0 elsewhere.
        foreground_b: The same for `b`.

    Returns:
        The motion with the smaller mean difference round the object; of two equal ones, the full size's.
    """
    half_size = (max(1, a.shape[1] // 2), max(1, a.shape[0] // 2))
    half_a, half_b, *soft_masks = (
        cv2.resize(x, half_size, interpolation=cv2.INTER_AREA) for x in (a, b, foreground_a, foreground_b)
    )
    half_masks = [(mask > 0).astype(np.uint8) * 255 for mask in soft_masks]
    candidates = []
    for homography in (
        estimate_homography(a, b, foreground_a, foreground_b),
        _double_size(estimate_homography(half_a, half_b, *half_masks)),
    ):
        error, brightness = _alignment_error(a, b, foreground_a, foreground_b, homography)
        candidates.append((error, CameraMotion(homography, brightness)))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def estimate_homography(a: Array, b: Array, foreground_a: Array, foreground_b: Array) -> Array:
    """Fit the homography that takes background pixels of frame `a` to frame `b`.

    Args:
        a: Gray frame (H, W) uint8.
        b: Gray frame (H, W) uint8.
        foreground_a: (H, W) uint8, 255 where `a` does not show background, 0 elsewhere.
        foreground_b: The same for `b`.

    Returns:
        (3, 3) float64; the identity with fewer than `MIN_MATCHES` matches or a degenerate result.
    """
    corners = cv2.goodFeaturesToTrack(
        a, MAX_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE, mask=cv2.bitwise_not(foreground_a)
    )
    if corners is None or len(corners) < MIN_MATCHES:
        return np.eye(3)
    corners = corners.reshape(-1, 1, 2)
    tracked, status, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, None, winSize=_TRACK_WINDOW, maxLevel=_TRACK_LEVELS)
    start, end = corners.reshape(-1, 2), tracked.reshape(-1, 2)
    height, width = b.shape
    column = np.clip(np.rint(end[:, 0]), 0, width - 1).astype(int)
    row = np.clip(np.rint(end[:, 1]), 0, height - 1).astype(int)
    valid = (status.ravel() == 1) & (foreground_b[row, column] == 0)
    if valid.sum() < MIN_MATCHES:
        return np.eye(3)
    homography, inliers = cv2.findHomography(start[valid], end[valid], cv2.USAC_MAGSAC, _INLIER_DISTANCE)
    if homography is None or inliers.sum() < MIN_MATCHES or not _is_plausible(homography, width, height):
        return np.eye(3)
    return homography


def _double_size(homography: Array) -> Array:
    """A homography between half-size frames, converted to full-size pixels: S H S^-1."""
    scale = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1]], np.float64)
    return np.asarray(scale @ homography @ np.linalg.inv(scale))


def _alignment_error(
    a: Array, b: Array, foreground_a: Array, foreground_b: Array, homography: Array
) -> tuple[float, float]:
    """Mean capped difference of the background near the object after alignment, and b's brightness, 8-bit levels."""
    box = bounds(foreground_a).union(bounds(foreground_b)).grow(JUDGED_MARGIN).clip(a.shape[1], a.shape[0])
    aligned = warp_back_crop(b, homography, box)
    foreground = (warp_back_crop(foreground_b, homography, box, nearest=True) > 0) | (foreground_a[box.slices] > 0)
    change = (aligned.astype(np.int16) - a[box.slices])[~foreground]
    if not len(change):
        return float("inf"), 0.0
    brightness = float(np.median(change))
    return float(np.minimum(np.abs(change - brightness), _MAX_DIFFERENCE).mean()), brightness


def _is_plausible(homography: Array, width: int, height: int) -> bool:
    """Whether a homography maps the frame without a mirror, a collapse or a horizon inside it."""
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64) @ homography.T
    if (corners[:, 2] <= _MIN_DEPTH).any():
        return False
    outline = (corners[:, :2] / corners[:, 2:]).astype(np.float32)
    area = cv2.contourArea(outline, oriented=True) / (width * height)
    return _MIN_AREA < area < _MAX_AREA
