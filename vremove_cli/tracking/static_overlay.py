"""A tracker for what stands still on the screen: logos, watermarks, burnt-in captions.

The picture behind such a thing moves and the thing does not: over time its pixels vary less than those round it, and
its edges stay when all frames are averaged. Its mask is found once and shown on every frame on which those edges are.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import ABSENT, ObjectPrompts, TrackerFrame, TrackerState, TrackResult
from vremove_cli.tracking.flow.colour_histogram import to_lab
from vremove_cli.tracking.flow.initial_mask import BESIDE, box_zones, distance_to, initial_mask

SAMPLES, FEWEST = 24, 6  # frames that are averaged, and fewer tell nothing
_RING = 24  # pixels round the thing that show how the picture moves
_MOVES = 3.0  # 8-bit levels that the surroundings must vary by for stillness to mean anything
_STEADY = 0.55  # share of the surroundings' variation below which a pixel belongs to the thing
_STAYS, _GOES = 0.7, 0.5  # how much of the edges survives the average, in the thing and round it, to be found by itself
_PRESENT = 0.2  # correlation of a frame's edges with the thing's from which it is there


class StaticOverlayTracker:
    """See `masks.base.Tracker`; `pictures` (N, h, w, 3) uint8 are frames spread over the shot, as sights show them."""

    name = "static"
    sees: tuple[int, int] | None = None

    def __init__(self, pictures: Array) -> None:
        self._pictures = pictures

    def begin(self, sight: TrackerFrame, clicks: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """Find the thing in the average of all pictures."""
        gray = _grays(self._pictures)
        average = np.rint(self._pictures.mean(axis=0)).astype(np.uint8)
        scaled = clicks.scaled(sight.scale)
        mask = np.zeros(gray.shape[1:], bool)
        for box in scaled.boxes:
            mask |= _steady(gray, box_zones(mask.shape, box)[0])
        if not mask.any():
            mask = initial_mask(to_lab(average), average, scaled).mask > 0.5
        mask &= ~_denied(scaled, mask.shape)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
        dx, dy = _edges(gray.mean(axis=0))
        near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8))
        state = TrackerState({"still": soft, "dx": dx * near, "dy": dy * near})
        return state, TrackResult(soft, 1.0)

    def correct(
        self, sight: TrackerFrame, state: TrackerState, clicks: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """Another thing from here on, such as the next caption; with negative points alone, the same without them."""
        if clicks.points or clicks.boxes:
            return self.begin(sight, clicks)
        soft = state.arrays["still"]
        left = np.where(_denied(clicks.scaled(sight.scale), soft.shape), 0, soft).astype(np.float32)
        return self.step(sight, TrackerState({**state.arrays, "still": left}))

    def step(self, sight: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """The same mask, if the thing is on this frame."""
        soft, wanted = state.arrays["still"], (state.arrays["dx"], state.arrays["dy"])
        near = (wanted[0] != 0) | (wanted[1] != 0)
        have = [d * near for d in _edges(cv2.cvtColor(sight.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32))]
        together = sum(float((a * b).sum()) for a, b in zip(have, wanted, strict=True))
        size = [sum(float((d * d).sum()) for d in pair) for pair in (have, wanted)]
        if together < _PRESENT * (size[0] * size[1]) ** 0.5:
            return state, TrackResult(np.zeros_like(soft), 0.0, ABSENT)
        return state, TrackResult(soft, 1.0)


def is_static_overlay(pictures: Array, clicks: ObjectPrompts) -> bool:
    """Whether all that the boxes of `clicks` (in pixels of the pictures) hold stays on the screen while the rest moves.

    `pictures` (N, h, w, 3) uint8 are spread over the shot.
    """
    if not clicks.boxes or len(pictures) < FEWEST:
        return False
    gray = _grays(pictures)
    return all(_stays(gray, box_zones(gray.shape[1:], box)[0]) for box in clicks.boxes)


def _stays(gray: Array, zone: Array) -> bool:
    ring = _ring(zone)
    if not ring.any() or float(np.median(gray.std(axis=0)[ring])) < _MOVES:
        return False
    average = np.hypot(*_edges(gray.mean(axis=0)))
    usual = np.mean([np.hypot(*_edges(g)) for g in gray], axis=0)

    def survives(where: Array) -> float:
        strong = where & (average >= np.percentile(average[where], 80))
        return float(average[strong].mean() / max(float(usual[strong].mean()), 1e-3))

    return survives(zone) > _STAYS and survives(ring) < _GOES


def _steady(gray: Array, zone: Array) -> Array:
    """The pixels (h, w) bool of a zone that vary less than its surroundings; all of it when there are hardly any."""
    spread, ring = cv2.blur(gray.std(axis=0), (3, 3)), _ring(zone)
    around = float(np.median(spread[ring])) if ring.any() else 0.0
    if around < _MOVES:
        return np.zeros_like(zone)
    steady = ((spread < _STEADY * around) & zone).astype(np.uint8)
    closed = cv2.morphologyEx(steady, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    found = (cv2.dilate(closed, np.ones((3, 3), np.uint8)) > 0) & zone
    return zone if np.count_nonzero(found) < 0.02 * np.count_nonzero(zone) else np.asarray(found)


def _grays(pictures: Array) -> Array:
    return np.stack([cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures]).astype(np.float32)


def _edges(gray: Array) -> tuple[Array, Array]:
    return cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)


def _denied(clicks: ObjectPrompts, shape: tuple[int, ...]) -> Array:
    """The pixels (h, w) bool that negative points take out."""
    if not clicks.negative:
        return np.zeros(shape, bool)
    return np.asarray(distance_to(clicks.negative, shape) < BESIDE * shape[0])


def _ring(zone: Array) -> Array:
    side = 2 * _RING + 1
    return np.asarray((cv2.dilate(zone.astype(np.uint8), np.ones((side, side), np.uint8)) > 0) & ~zone)
