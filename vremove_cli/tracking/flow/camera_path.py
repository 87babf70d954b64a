"""Motion of the camera through a shot, on small frames: the simplest motion that explains the corners.

Corners are tracked by pyramidal Lucas-Kanade flow, forward and backward, and a similarity is fitted by RANSAC (Fischler
and Bolles, 1981); a homography replaces it only where it has clearly more inliers. A camera that stands still has
exactly the identity, so that nothing is resampled. Pixels are x to the right, y down.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.warp import project, warp_back

_CORNERS, _QUALITY, _DISTANCE = 300, 0.005, 6  # corners, share of the strongest response, pixels between corners
_WINDOW, _LEVELS = (15, 15), 4  # pixels of the Lucas-Kanade window, pyramid levels
_RETURN = 0.5  # pixels: largest forward-backward error of a tracked corner
_INLIER = 0.7  # pixels: largest reprojection error
_LEAST = 12  # corners below which no motion is fitted
_SHARE = 0.15  # of the corners that a frame should show: fewer inliers are no motion of the camera
_ALIKE = 4.0  # 8-bit levels: median difference up to which a frame looks like another
_STILL = 0.04  # pixels: median motion of the inliers below which the camera stands still
_ANCHOR_SHIFT, _ANCHOR_ZOOM = 0.25, 1.15  # frame widths, and zoom, of the camera after which a new anchor is taken
_MORE_INLIERS = 1.15  # times as many inliers, for which a homography replaces a similarity


@dataclass(frozen=True)
class CameraPath:
    """The camera's motion through consecutive frames.

    Attributes:
        from_first: Motion (3, 3) float64 from the first frame to each frame, as if the camera stood still between
            groups; the same object for frames between which it stands still.
        anchor: For each frame, the frame that it was aligned with.
        group: For each frame, the number of its group: frames of different groups could not be aligned.
    """

    from_first: dict[int, Array]
    anchor: dict[int, int]
    group: dict[int, int]

    def motion(self, a: int, b: int) -> Array:
        """Return the motion (3, 3) from frame `a` to frame `b` of a group; exactly the identity while it is still."""
        if self.from_first[a] is self.from_first[b]:
            return np.eye(3)
        return np.asarray(self.from_first[b] @ np.linalg.inv(self.from_first[a]))


def find_camera_path(rgb: Mapping[int, Array]) -> CameraPath:
    """Align every frame with an anchor: the first frame, or a later one once the camera has moved on.

    Frames are aligned with their anchor directly and not with the frame before, so that errors do not add up.

    Args:
        rgb: Frames (h, w, 3) uint8 of one size by frame number, consecutive.
    """
    path = CameraPath({}, {}, {})
    origin, group, anchor, relative, before = -1, 0, None, np.eye(3), np.eye(3)
    for t in sorted(rgb):
        gray = cv2.cvtColor(rgb[t], cv2.COLOR_RGB2GRAY)
        guesses = (relative, relative @ np.linalg.inv(before) @ relative)
        found = anchor.motion_to(gray, guesses) if anchor else None
        if anchor is None or found is None:
            origin, group, anchor, relative, before = t, group + 1, _Anchor(gray), np.eye(3), np.eye(3)
            path.from_first[t] = path.from_first.get(t - 1, np.eye(3))
        else:
            relative, before = found, relative
            start = path.from_first[origin]
            path.from_first[t] = start if (relative == np.eye(3)).all() else relative @ start
            if not _is_near(relative, gray):
                step = relative @ np.linalg.inv(before)
                origin, anchor, relative, before = t, _Anchor(gray), np.eye(3), np.linalg.inv(step)
        path.anchor[t], path.group[t] = origin, group
    return path


class _Anchor:
    """A frame that others are aligned with, and its corners."""

    def __init__(self, gray: Array) -> None:
        self._gray = gray
        self._corners = cv2.goodFeaturesToTrack(gray, _CORNERS, _QUALITY, _DISTANCE)

    def motion_to(self, gray: Array, guesses: tuple[Array, ...]) -> Array | None:
        """Return the motion (3, 3) to a frame (h, w) uint8.

        Args:
            gray: The frame.
            guesses: Guesses of it; one is tried after the other, and the frames' phase correlation last.

        Returns:
            The first motion that enough of the corners share; else the first guess, if the frame looks like the anchor
            then or has no corners; else None.
        """
        if self._corners is None or len(self._corners) < _LEAST:
            return guesses[0]
        for guess in (*guesses, None):
            start, end = self._tracked_corners(gray, self._shift_to(gray) if guess is None else guess)
            found = _fit(start, end, gray)
            if found is not None:
                return found
        return guesses[0] if self._looks_like(gray, guesses[0]) else None

    def _looks_like(self, gray: Array, motion: Array) -> bool:
        """Return whether most of a frame (h, w) uint8 looks like the anchor after a motion."""
        aligned = warp_back(gray, motion, *gray.shape[::-1])
        return float(np.median(cv2.absdiff(aligned, self._gray))) < _ALIKE

    def _tracked_corners(self, gray: Array, guess: Array) -> tuple[Array, Array]:
        """Return the corners (N, 2) float32 that a frame should show by a guess, and where they are; NaN if lost."""
        height, width = gray.shape
        guessed = project(guess, self._corners[:, 0])
        shown = ((guessed >= 0) & (guessed < (width, height))).all(axis=1)
        corners = self._corners[shown].copy()
        if len(corners) < _LEAST:
            return corners[:, 0], corners[:, 0]
        guessed = guessed[shown].reshape(-1, 1, 2).copy()
        ahead, found = _track(self._gray, gray, corners, guessed)
        back, found_too = _track(gray, self._gray, ahead, corners.copy())
        good = (found & found_too).ravel() > 0
        good &= np.linalg.norm(corners - back, axis=2).ravel() < _RETURN
        return corners[:, 0], np.where(good[:, None], ahead[:, 0], np.nan)

    def _shift_to(self, gray: Array) -> Array:
        """Return the translation (3, 3) to a frame by phase correlation."""
        (x, y), _ = cv2.phaseCorrelate(self._gray.astype(np.float32), gray.astype(np.float32))
        return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def _track(a: Array, b: Array, corners: Array, guesses: Array) -> tuple[Array, Array]:
    """Return where corners (N, 1, 2) of `a` are in `b`, and whether they were found (N, 1); guesses are overwritten."""
    flags = cv2.OPTFLOW_USE_INITIAL_FLOW
    end, found, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, guesses, winSize=_WINDOW, maxLevel=_LEVELS, flags=flags)
    return end, found


def _fit(start: Array, end: Array, frame: Array) -> Array | None:
    """Return the simplest motion (3, 3) of corners (N, 2), some lost (NaN); None if too few of them share one."""
    tracked = np.isfinite(end).all(axis=1)
    least, a, b = max(_LEAST, _SHARE * len(start)), start[tracked], end[tracked]
    if len(a) < least:
        return None
    similarity, kept = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=_INLIER, maxIters=2000)
    inliers = int(kept.sum()) if similarity is not None else 0
    if inliers >= least and _is_still(a[kept.ravel() > 0], b[kept.ravel() > 0]):
        return np.eye(3)
    homography, kept_too = cv2.findHomography(a, b, cv2.USAC_MAGSAC, _INLIER)
    if homography is not None and kept_too.sum() > max(least, _MORE_INLIERS * inliers) and _is_mild(homography, frame):
        return np.asarray(homography)
    return np.vstack([similarity, [0, 0, 1]]) if inliers >= least else None


def _is_near(motion: Array, frame: Array) -> bool:
    """Return whether a frame (h, w), to which the camera moved from its anchor, still shows about the same."""
    height, width = frame.shape
    x, y, w = motion @ np.array([width / 2, height / 2, 1])
    shift = np.hypot(x / w - width / 2, y / w - height / 2) / width
    zoom = abs(float(np.linalg.det(motion[:2, :2]))) ** 0.5
    return bool(shift < _ANCHOR_SHIFT and 1 / _ANCHOR_ZOOM < zoom < _ANCHOR_ZOOM)


def _is_still(start: Array, end: Array) -> bool:
    """Return whether corners (N, 2) do not move: neither in the median nor, as in a zoom, on the whole."""
    motion = end - start
    return bool(np.abs(np.median(motion, axis=0)).max() < _STILL and np.median(np.abs(motion)) < _STILL)


def _is_mild(homography: Array, frame: Array) -> bool:
    """Return whether a homography keeps the frame's corners in front of the camera and the area within four times."""
    height, width = frame.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64) @ homography.T
    if (corners[:, 2] <= 0.1).any():
        return False
    area = cv2.contourArea((corners[:, :2] / corners[:, 2:]).astype(np.float32), oriented=True) / (width * height)
    return 0.25 < area < 4.0
