"""Background model of a shot: one plate, the median of all aligned frames, and what each frame shows otherwise.

Each small frame is aligned with a plate (`camera_path`), and the plate is the median over frames spread through the
shot, matched in brightness. A moving camera gets a plate of its own for each part of its path. A frame differs from the
plate where the largest difference of a channel exceeds the frame's noise and what a misalignment explains. Where the
background shows at another lightness, with its hue and its texture, it is a shadow. Where the frames that made the
median disagree, something covers the place for long, and the plate tells nothing. The model knows nothing of the
tracked object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from vremove_cli.frame_ranges import spread_evenly
from vremove_cli.geometry import Array
from vremove_cli.motion.warp import warp_back
from vremove_cli.tracking.base import ForegroundEvidence
from vremove_cli.tracking.flow.camera_path import find_camera_path
from vremove_cli.tracking.flow.colour_histogram import to_lab

WIDTH = 320  # pixels: longer side of the model's frames
REACH = 40  # frames of the shot that are looked at before and after a segment
MIN_COMPARED = 3  # frames that must show a pixel for its background to be known
_SPARSE = 3  # pixels between those that noise and brightness are measured on
_WITNESSES = 20  # frames whose median is a plate
_BLUR = 1.2  # pixels: deviation of the Gaussian under which frames are compared
_LEAST, _NOISES, _MISALIGNMENT = 2.5, 3.5, 0.25  # threshold: 8-bit levels, times the noise, pixels of gradient
_UNSTABLE = 0.2  # share of the witnesses that differ from their median, above which the mode is taken
_MODE_SHARE = 0.35  # of the witnesses: nearest ones whose distances are a witness's spread
_UNKNOWN_SHARE, _KNOWN_SHARE = 0.2, 0.5  # of the witnesses that are like the plate: it is unknown, and certain
_MAX_HUE_DIFFERENCE = 4.0  # Lab units within which a change is one of illumination
_SAME_TEXTURE, _LOST_TEXTURE = 0.7, 0.3  # correlations from which, and up to which, the background's texture shows
_THRESHOLD, _SLOPE = 1.5, 1.5  # difference at which the evidence is 0, and difference for a unit of evidence
_MIN_EVIDENCE, _MAX_EVIDENCE = -1.2, 1.5
_DARKER, _TEXTURED = 0.6, 1.2  # illumination evidence of a darker pixel, and of one with the background's texture


@dataclass(frozen=True)
class _Plate:
    """Background of a part of the shot, as frame `anchor` sees it.

    Attributes:
        rgb: Colours (h, w, 3) uint8.
        known: How far it can be trusted (h, w) uint8, 0 to 255.
    """

    rgb: Array
    known: Array


class BackgroundModel:
    """Frames of one shot, the camera's path, and the plates.

    Attributes:
        rgb: The frames (h, w, 3) uint8 by number.
        path: The camera's motion through them.
        size: (width, height) of the frames.
    """

    def __init__(self, rgb: Mapping[int, Array]) -> None:
        """Estimate the camera's motion.

        Args:
            rgb: Frames (h, w, 3) uint8 of one size by frame number, consecutive.
        """
        self.rgb, self.path = rgb, find_camera_path(rgb)
        self.size = next(iter(rgb.values())).shape[1::-1]
        self._plate = lru_cache(4)(self._make_plate)
        self.evidence = lru_cache(64)(self._evidence)

    def _make_plate(self, anchor: int) -> _Plate:
        """Return the plate of frame `anchor`."""
        own = self.rgb[anchor]
        height, width = own.shape[:2]
        users = [t for t, a in self.path.anchor.items() if a == anchor]
        low, high = min(users) - REACH, max(users) + REACH
        group = self.path.group
        inside = [t for t in self.rgb if low <= t <= high and group[t] == group[anchor]]
        frames, valid = [], []
        for k in spread_evenly(0, len(inside), _WITNESSES):
            motion = self.path.motion(anchor, inside[k])
            shown = warp_back(np.full((height, width), 255, np.uint8), motion, width, height, nearest=True) > 0
            if shown.mean() < 0.3:
                continue
            other = warp_back(self.rgb[inside[k]], motion, width, height)
            frames.append(_matched(other, own, shown))
            valid.append(shown)
        return _median_plate(np.stack(frames), np.stack(valid))

    def _evidence(self, t: int) -> ForegroundEvidence:
        """Return the foreground evidence (h, w) of frame `t`; all 0 when too few other frames are known."""
        rgb = self.rgb[t]
        height, width = rgb.shape[:2]
        if len(self.rgb) <= MIN_COMPARED:
            return ForegroundEvidence.zeros(height, width)
        plate, motion = self._plate(self.path.anchor[t]), self.path.motion(t, self.path.anchor[t])
        shown = warp_back(plate.rgb, motion, width, height)
        known = warp_back(plate.known, motion, width, height, nearest=True)
        return _evidence(rgb, _matched(shown, rgb, known > 0), known)


def _matched(rgb: Array, target: Array, valid: Array) -> Array:
    """Return a picture (h, w, 3) uint8 with the target's brightness: one factor, the median over valid pixels."""
    sparse = valid[::_SPARSE, ::_SPARSE]
    ours, theirs = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[::_SPARSE, ::_SPARSE][sparse] for x in (rgb, target))
    bright = (ours > 20) & (ours < 235) & (theirs > 20) & (theirs < 235)
    if np.count_nonzero(bright) < 100:
        return rgb
    gain = float(np.median(theirs[bright].astype(np.float32) / ours[bright]))
    return rgb if abs(gain - 1) < 0.004 else cv2.convertScaleAbs(rgb, alpha=gain)


def _median_plate(frames: Array, valid: Array) -> _Plate:
    """Return the plate of aligned frames (N, h, w, 3) uint8, valid (N, h, w) bool: their median, or their mode.

    Where many frames differ from the median, the mode is taken: the frame with the most frames like it. Background
    looks the same whenever it is seen; what passes in front of it does not.
    """
    many, count = len(frames), valid.sum(axis=0, dtype=np.uint8)
    # Invalid pixels become alternately the smallest and the largest value, which leaves the median in place.
    if not valid.all():
        padding = (np.cumsum(~valid, axis=0, dtype=np.uint8) % 2 * 255)[..., None]
        frames = np.where(valid[..., None], frames, padding)
    plate = np.partition(frames, many // 2, axis=0)[many // 2]
    limits = _limits(frames, valid, plate)
    alike = _alike(frames, valid, plate, limits)
    rows, columns = np.nonzero(alike < (1 - _UNSTABLE) * count)
    if len(rows):
        changed = plate.copy()
        changed[rows, columns] = _mode(frames[:, rows, columns], valid[:, rows, columns])
        alike_changed = _alike(frames, valid, changed, limits)
        better = alike_changed > alike
        plate[better], alike = changed[better], np.maximum(alike, alike_changed)
    share = np.clip((alike / np.maximum(count, 1) - _UNKNOWN_SHARE) / (_KNOWN_SHARE - _UNKNOWN_SHARE), 0, 1)
    return _Plate(plate, np.where(count >= MIN_COMPARED, 255 * share, 0).astype(np.uint8))


def _limits(frames: Array, valid: Array, plate: Array) -> list[Array]:
    """Return for each of the frames (N, h, w, 3) the difference (h, w) uint8 from the plate that is noise."""
    allowed, gray = _LEAST + _MISALIGNMENT * gradient(plate), cv2.cvtColor(plate, cv2.COLOR_RGB2GRAY)
    out = []
    for frame, where in zip(frames, valid, strict=True):
        distance = cv2.absdiff(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), gray)
        out.append(cv2.convertScaleAbs(allowed + _NOISES * _noise(distance, where)))
    return out


def _noise(distance: Array, where: Array) -> float:
    """Return the deviation of the noise in a difference (h, w) of two frames, from a sample of the pixels `where`."""
    sample = distance[::_SPARSE, ::_SPARSE][where[::_SPARSE, ::_SPARSE]]
    return 1.48 * float(np.median(sample)) if sample.size else 0.0


def _alike(frames: Array, valid: Array, plate: Array, limits: list[Array]) -> Array:
    """Return how many of the frames (N, h, w, 3) differ from a plate by less than their limits: (h, w) uint8."""
    out = np.zeros(plate.shape[:2], np.uint8)
    for frame, where, limit in zip(frames, valid, limits, strict=True):
        out += (largest_channel(cv2.absdiff(frame, plate)) < limit) & where
    return out


def _mode(samples: Array, valid: Array) -> Array:
    """Return of samples (N, P, 3) uint8, valid (N, P), that one (P, 3) whose nearest others lie closest around it."""
    many = len(samples)
    distance = np.full((many, many, samples.shape[1]), 255, np.uint8)
    for a in range(many):
        apart = largest_channel(cv2.absdiff(samples[a:], np.broadcast_to(samples[a], samples[a:].shape).copy()))
        distance[a, a:] = distance[a:, a] = np.where(valid[a:] & valid[a], apart, 255)
    nearest = max(1, round(_MODE_SHARE * many))
    spread = np.partition(distance, nearest, axis=1)[:, : nearest + 1].mean(axis=1, dtype=np.float32)
    return np.take_along_axis(samples, spread.argmin(axis=0)[None, :, None], axis=0)[0]


def largest_channel(rgb: Array) -> Array:
    """Return the largest channel (H, W) of a picture (H, W, 3)."""
    return np.asarray(cv2.max(cv2.max(rgb[..., 0], rgb[..., 1]), rgb[..., 2]))


def _evidence(rgb: Array, plate: Array, trust: Array) -> ForegroundEvidence:
    """Return the evidence of a frame (h, w, 3) uint8 against its plate (h, w, 3), trusted (h, w) uint8 up to 255."""
    known = trust > 0
    ours, theirs = (cv2.GaussianBlur(x, (0, 0), _BLUR) for x in (rgb, plate))
    distance = largest_channel(cv2.absdiff(ours, theirs))
    ratio = distance / (_LEAST + _NOISES * _noise(distance, known) + _MISALIGNMENT * gradient(theirs))
    difference = np.where(known, _THRESHOLD * ratio, 0).astype(np.float32)
    motion = np.clip((difference - _THRESHOLD) / _SLOPE, _MIN_EVIDENCE, _MAX_EVIDENCE)
    illumination = np.where(known & (difference > _THRESHOLD), _illumination(to_lab(ours), to_lab(theirs)), 0)
    motion = np.where(illumination > 0, np.minimum(motion, 0), motion) * (trust / np.float32(255))
    return ForegroundEvidence(difference, motion.astype(np.float32), illumination.astype(np.float32))


def _illumination(lab: Array, plate: Array) -> Array:
    """Return the evidence (h, w) that a Lab picture is the plate in another light: with its hue, and any texture."""
    correlation, textured = _local_correlation(lab[..., 0], plate[..., 0])
    darker = lab[..., 0] < plate[..., 0]
    same_texture = (correlation > _SAME_TEXTURE) & (textured | darker)
    lost = textured & (correlation < _LOST_TEXTURE)
    light = np.where(same_texture, _TEXTURED, np.where(darker & ~lost, _DARKER, 0))
    return np.where(_same_hue(lab, plate), light, 0)


def _same_hue(lab: Array, plate: Array) -> Array:
    """Return where (h, w) bool a Lab picture may be the plate at another lightness."""
    ratio = (lab[..., 0] + 2) / (plate[..., 0] + 2)
    chroma = np.linalg.norm(lab[..., 1:] - plate[..., 1:] * ratio[..., None], axis=2)
    same = chroma < _MAX_HUE_DIFFERENCE + 0.25 * np.abs(lab[..., 0] - plate[..., 0])
    return np.asarray(same & (ratio > 0.2) & (ratio < 3))


def _local_correlation(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the correlation (h, w) of two pictures in squares of 9 pixels, and where `b` has texture (h, w) bool."""

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (9, 9)))

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    norm = np.sqrt((np.maximum(variance_a, 0) + 0.3) * (np.maximum(variance_b, 0) + 0.3))
    return covariance / norm, variance_b > 3.0


def gradient(rgb: Array) -> Array:
    """Return the magnitude (h, w) float32 of a picture's gradient, 8-bit levels a pixel."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.magnitude(*(cv2.Sobel(gray, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))))
