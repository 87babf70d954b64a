"""What stands out from the background: each frame, made small, against what aligned frames before and after it show.

A pixel that many other moments show alike is background; one that they show otherwise belongs to something that moves.
Where the other moments show the same in another light, it is a shadow or a gleam. Nothing here knows the object.
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

WIDTH = 320  # pixels of the longer side
OFFSETS = (3, 5, 8, 12, 18, 27, 40)  # frames away, before and after
REACH = OFFSETS[-1]
FEWEST = 3  # witnesses below which nothing is known
_LOW = 0.35  # quantile of the differences: a background pixel may be covered at a third of the moments
_NOISE, _ROUGH = 1.5, 0.55  # Lab units always allowed for, and per unit of gradient: a third of a pixel of misalignment
_HUE, _ALIKE = 4.0, 0.7  # Lab units of hue, and correlation of texture, within which a change is one of light
_LEVEL, _SLOPE = 1.5, 1.5  # strength at which evidence turns to the object's side, and how slowly it grows
_AGAINST, _FOR = -1.2, 1.5  # least and most evidence
_SHADED, _SEEN = 0.6, 1.2  # evidence of another light: where it is darker, and where the ground's texture still shows


class BackgroundModel:
    """A run of frames, small, aligned by the camera's steps. `rgb`: (h, w, 3) uint8 of one size, by frame number."""

    def __init__(self, rgb: Mapping[int, Array]) -> None:
        self._rgb = rgb
        self._recent: OrderedDict[int, Array] = OrderedDict()
        self._camera: dict[int, Array] = {}
        before: tuple[int, Array] | None = None
        for t in sorted(rgb):
            gray = cv2.cvtColor(rgb[t], cv2.COLOR_RGB2GRAY)
            free = np.zeros_like(gray)
            if before is None:
                self._camera[t] = np.eye(3)
            else:
                self._camera[t] = estimate_homography(before[1], gray, free, free) @ self._camera[before[0]]
            before = (t, gray)

    def _lab(self, t: int) -> Array:
        """A frame's blurred Lab picture; those of one reach round it are kept."""
        if t not in self._recent:
            self._recent[t] = cv2.blur(to_lab(self._rgb[t]), (3, 3))
            if len(self._recent) > 2 * REACH + 4:
                self._recent.popitem(last=False)
        return self._recent[t]

    def evidence(self, t: int) -> ForegroundEvidence:
        """Frame `t` against its witnesses."""
        here = self._lab(t)
        height, width = here.shape[:2]
        allowed = _ROUGH * _gradient(here)
        differences, colours = [], []
        for s in (t + side * o for o in OFFSETS for side in (-1, 1)):
            if s not in self._rgb:
                continue
            step = self._camera[s] @ np.linalg.inv(self._camera[t])
            seen = warp_back(self._lab(s), step, width, height)
            shown = warp_back(np.full((height, width), 255, np.uint8), step, width, height, nearest=True) > 0
            apart = np.linalg.norm(seen - here, axis=2)
            noise = 1.48 * float(np.median(apart[shown])) + _NOISE if shown.any() else 1.0
            differences.append(np.where(shown, apart / (noise + allowed), np.inf).astype(np.float32))
            colours.append(seen)
        if len(differences) < FEWEST:
            return ForegroundEvidence.zeros(height, width)
        return _judged(here, np.stack(differences), np.stack(colours))


def _judged(here: Array, differences: Array, colours: Array) -> ForegroundEvidence:
    """A frame (h, w, 3) against aligned ones (N, h, w, 3), from their differences (N, h, w) in noise levels."""
    count = np.isfinite(differences).sum(axis=0)
    known = count >= FEWEST
    rank = np.clip((count * _LOW).astype(int), 0, len(differences) - 1)[None]
    which = np.take_along_axis(np.argsort(differences, axis=0), rank, axis=0)
    differ = np.where(known, np.take_along_axis(differences, which, axis=0)[0], 0)
    plate = np.take_along_axis(colours, which[..., None], axis=0)[0]
    usual = max(float(np.percentile(differ[known], 75)), 0.3) if known.any() else 1.0
    strength = (differ / usual).astype(np.float32)
    moves = np.clip((strength - _LEVEL) / _SLOPE, _AGAINST, _FOR)
    same = _same_hue(here, plate) & known
    alike = _alike(here[..., 0], plate[..., 0]) > _ALIKE
    darker = here[..., 0] < plate[..., 0]
    lit = np.where(same, np.where(alike, _SEEN, np.where(darker, _SHADED, 0)), 0).astype(np.float32)
    moves = np.where(known, np.where(same, np.minimum(moves, 0), moves), 0).astype(np.float32)
    return ForegroundEvidence(strength, moves, lit)


def _same_hue(here: Array, plate: Array) -> Array:
    """Where a Lab picture may be another one in other light."""
    ratio = (here[..., 0] + 2) / (plate[..., 0] + 2)
    chroma = np.linalg.norm(here[..., 1:] - plate[..., 1:] * ratio[..., None], axis=2)
    same = chroma < _HUE + 0.25 * np.abs(here[..., 0] - plate[..., 0])
    return np.asarray(same & (ratio > 0.2) & (ratio < 3))


def _alike(a: Array, b: Array) -> Array:
    """Correlation (h, w) of two pictures in small squares; near 0 where there is no texture."""

    def mean(x: Array) -> Array:
        return np.asarray(cv2.blur(x, (9, 9)))

    mean_a, mean_b = mean(a), mean(b)
    spread_a, spread_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    together = mean(a * b) - mean_a * mean_b
    return np.asarray(together / np.sqrt((np.maximum(spread_a, 0) + 0.3) * (np.maximum(spread_b, 0) + 0.3)))


def _gradient(lab: Array) -> Array:
    parts = (cv2.Sobel(lab, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1)))
    return np.asarray(np.sqrt(sum((p**2).sum(axis=2) for p in parts)))
