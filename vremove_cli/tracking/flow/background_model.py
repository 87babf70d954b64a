"""Background model of a shot: each frame, made small, against frames before and after it, aligned by homographies.

A pixel that many other frames show alike is background; one that they show otherwise belongs to something that moves.
Where the others show the same texture or hue at another lightness, it is a shadow or a reflection. The model knows
nothing of the tracked object.
"""

from collections import OrderedDict
from collections.abc import Mapping

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.warp import warp_back
from vremove_cli.tracking.base import ForegroundEvidence
from vremove_cli.tracking.flow.colour_histogram import to_lab

WIDTH = 320  # pixels: longer side of the model's frames
OFFSETS = (3, 5, 8, 12, 18, 27, 40)  # frames: distances of the frames compared with, before and after
REACH = OFFSETS[-1]
MIN_COMPARED = 3  # frames that must show a pixel for its background to be known
_QUANTILE = 0.35  # of the differences: a background pixel may be covered in a third of the frames
_NOISE = 1.5  # Lab units that are always allowed for
_MISALIGNMENT = 0.55  # Lab units allowed for a unit of gradient: a third of a pixel
_MAX_HUE_DIFFERENCE = 4.0  # Lab units within which a change is one of illumination
_SAME_TEXTURE = 0.7  # correlation from which the background's texture shows
_THRESHOLD, _SLOPE = 1.5, 1.5  # difference at which the evidence is 0, and difference for a unit of evidence
_MIN_EVIDENCE, _MAX_EVIDENCE = -1.2, 1.5
_DARKER, _TEXTURED = 0.6, 1.2  # illumination evidence of a darker pixel, and of one with the background's texture


class BackgroundModel:
    """Frames of one shot with the homographies between them."""

    def __init__(self, rgb: Mapping[int, Array]) -> None:
        """Estimate the camera's motion.

        Args:
            rgb: Frames (h, w, 3) uint8 of one size by frame number, consecutive.
        """
        self._rgb = rgb
        self._lab_cache: OrderedDict[int, Array] = OrderedDict()
        self._from_first: dict[int, Array] = {}  # homographies (3, 3) from the first frame to each frame
        previous: tuple[int, Array] | None = None
        for t in sorted(rgb):
            gray = cv2.cvtColor(rgb[t], cv2.COLOR_RGB2GRAY)
            nothing_masked = np.zeros_like(gray)
            if previous is None:
                self._from_first[t] = np.eye(3)
            else:
                step = estimate_homography(previous[1], gray, nothing_masked, nothing_masked)
                self._from_first[t] = step @ self._from_first[previous[0]]
            previous = (t, gray)

    def _lab(self, t: int) -> Array:
        """Return the blurred Lab picture (h, w, 3) float32 of a frame, cached for frames within one reach."""
        if t not in self._lab_cache:
            self._lab_cache[t] = cv2.blur(to_lab(self._rgb[t]), (3, 3))
            if len(self._lab_cache) > 2 * REACH + 4:
                self._lab_cache.popitem(last=False)
        return self._lab_cache[t]

    def evidence(self, t: int) -> ForegroundEvidence:
        """Return the foreground evidence (h, w) of frame `t`; all 0 when too few other frames are known."""
        lab = self._lab(t)
        height, width = lab.shape[:2]
        allowed = _MISALIGNMENT * _gradient(lab)
        differences, aligned = [], []
        for s in (t + side * offset for offset in OFFSETS for side in (-1, 1)):
            if s not in self._rgb:
                continue
            homography = self._from_first[s] @ np.linalg.inv(self._from_first[t])
            other = warp_back(self._lab(s), homography, width, height)
            valid = warp_back(np.full((height, width), 255, np.uint8), homography, width, height, nearest=True) > 0
            distance = np.linalg.norm(other - lab, axis=2)
            noise = 1.48 * float(np.median(distance[valid])) + _NOISE if valid.any() else 1.0
            differences.append(np.where(valid, distance / (noise + allowed), np.inf).astype(np.float32))
            aligned.append(other)
        if len(differences) < MIN_COMPARED:
            return ForegroundEvidence.zeros(height, width)
        return _evidence(lab, np.stack(differences), np.stack(aligned))


def _evidence(lab: Array, differences: Array, aligned: Array) -> ForegroundEvidence:
    """Return the evidence of a frame against others.

    Args:
        lab: The frame (h, w, 3) float32.
        differences: Differences (N, h, w) float32 from the others in noise levels; infinite where one shows nothing.
        aligned: The other frames (N, h, w, 3) float32, warped to this one.
    """
    count = np.isfinite(differences).sum(axis=0)
    known = count >= MIN_COMPARED
    rank = np.clip((count * _QUANTILE).astype(int), 0, len(differences) - 1)[None]
    chosen = np.take_along_axis(np.argsort(differences, axis=0), rank, axis=0)
    quantile = np.where(known, np.take_along_axis(differences, chosen, axis=0)[0], 0)
    plate = np.take_along_axis(aligned, chosen[..., None], axis=0)[0]
    usual = max(float(np.percentile(quantile[known], 75)), 0.3) if known.any() else 1.0
    difference = (quantile / usual).astype(np.float32)
    motion = np.clip((difference - _THRESHOLD) / _SLOPE, _MIN_EVIDENCE, _MAX_EVIDENCE)
    same_hue = _same_hue(lab, plate) & known
    same_texture = _local_correlation(lab[..., 0], plate[..., 0]) > _SAME_TEXTURE
    darker = lab[..., 0] < plate[..., 0]
    illumination = np.where(same_hue, np.where(same_texture, _TEXTURED, np.where(darker, _DARKER, 0)), 0)
    motion = np.where(known, np.where(same_hue, np.minimum(motion, 0), motion), 0).astype(np.float32)
    return ForegroundEvidence(difference, motion, illumination.astype(np.float32))


def _same_hue(lab: Array, plate: Array) -> Array:
    """Return where (h, w) bool a Lab picture may be the plate at another lightness."""
    ratio = (lab[..., 0] + 2) / (plate[..., 0] + 2)
    chroma = np.linalg.norm(lab[..., 1:] - plate[..., 1:] * ratio[..., None], axis=2)
    same = chroma < _MAX_HUE_DIFFERENCE + 0.25 * np.abs(lab[..., 0] - plate[..., 0])
    return np.asarray(same & (ratio > 0.2) & (ratio < 3))


def _local_correlation(a: Array, b: Array) -> Array:
    """Return the correlation (h, w) of two pictures in squares of 9 pixels; near 0 where there is no texture."""

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (9, 9)))

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    return np.asarray(covariance / np.sqrt((np.maximum(variance_a, 0) + 0.3) * (np.maximum(variance_b, 0) + 0.3)))


def _gradient(lab: Array) -> Array:
    """Return the magnitude (h, w) of a Lab picture's gradient, Lab units a pixel."""
    parts = (cv2.Sobel(lab, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
    return np.asarray(np.sqrt(sum((p**2).sum(axis=2) for p in parts)))
