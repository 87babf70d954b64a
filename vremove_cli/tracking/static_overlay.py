"""Tracker for objects that stand still on the screen: logos, watermarks, burnt-in captions.

Behind such an overlay the picture moves. Averaged over many frames, the overlay's edges stay and all others blur, and
its pixels vary less than their surroundings. The mask is segmented once; a frame has it when the frame has its edges.
"""

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, ring
from vremove_cli.geometry import Array
from vremove_cli.tracking.base import ABSENT, ObjectPrompts, TrackerFrame, TrackerState, TrackResult
from vremove_cli.tracking.flow.colour_histogram import to_lab
from vremove_cli.tracking.flow.initial_mask import NEGATIVE_RADIUS, box_zones, distance_to, initial_mask

SAMPLES = 24  # frames that are averaged
MIN_SAMPLES = 6  # frames below which the average shows nothing
_RING = 24  # pixels: width of the surroundings that show how the picture moves
_MIN_VARIATION = 3.0  # 8-bit levels: standard deviation of the surroundings below which nothing is known
_STEADY_SHARE = 0.55  # share of the surroundings' variation below which a pixel belongs to the overlay
# Share of the edges' usual strength that remains in the average, above it in the box and below it in its surroundings:
# a box that meets both is a static overlay without `--static`.
_STATIC_EDGES, _MOVING_EDGES = 0.7, 0.5
_PRESENT_CORRELATION = 0.2  # correlation of a frame's edges with the overlay's from which the overlay is there


class StaticOverlayTracker:
    """Segments an overlay once and finds the frames that show it; see `vremove_cli.tracking.base.Tracker`."""

    name = "static"
    input_size: tuple[int, int] | None = None

    def __init__(self, samples: Array) -> None:
        """Make a tracker for one shot.

        Args:
            samples: Frames (N, h, w, 3) uint8 spread over the shot, at the size of the masks.
        """
        self._samples = samples

    @staticmethod
    def owns(state: TrackerState) -> bool:
        """Return whether a state, live or stored, is one of this tracker's."""
        return "overlay_mask" in state.arrays

    def begin(self, frame: TrackerFrame, prompts: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """Segment the overlay in the average of all samples."""
        gray = _gray(self._samples)
        average = np.rint(self._samples.mean(axis=0)).astype(np.uint8)
        scaled = prompts.scaled(frame.scale)
        mask = np.zeros(gray.shape[1:], bool)
        for box in scaled.boxes:
            mask |= _steady_pixels(gray, box_zones(mask.shape, box)[0])
        if not mask.any():
            mask = initial_mask(to_lab(average), average, scaled).mask > 0.5
        mask &= ~_near_negative_points(scaled, mask.shape)
        soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)
        return self.adopt(frame, None, soft), TrackResult(soft, 1.0)

    def correct(
        self, frame: TrackerFrame, state: TrackerState, prompts: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """Segment another overlay, such as the next caption; negative points alone take parts out of the mask."""
        if prompts.points or prompts.boxes:
            return self.begin(frame, prompts)
        soft = state.arrays["overlay_mask"]
        denied = _near_negative_points(prompts.scaled(frame.scale), soft.shape)
        remaining = np.where(denied, 0, soft).astype(np.float32)
        return self.propagate(frame, TrackerState({**state.arrays, "overlay_mask": remaining}))

    def adopt(
        self,
        frame: TrackerFrame,  # noqa: ARG002  the samples show the overlay better
        state: TrackerState | None,  # noqa: ARG002  another overlay has nothing of the one before
        mask: Array,
    ) -> TrackerState:
        """Take a given mask for the overlay's, from this frame on."""
        edges_x, edges_y = _edges(_gray(self._samples).mean(axis=0))
        near = dilate_square(mask > 0.5, 1)
        return TrackerState(
            {"overlay_mask": mask, "overlay_edges_x": edges_x * near, "overlay_edges_y": edges_y * near}
        )

    def propagate(self, frame: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """Return the same mask if the frame has the overlay's edges, an empty one otherwise."""
        soft = state.arrays["overlay_mask"]
        expected = state.arrays["overlay_edges_x"], state.arrays["overlay_edges_y"]
        near = (expected[0] != 0) | (expected[1] != 0)
        found = [d * near for d in _edges(cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32))]
        product = sum(float((a * b).sum()) for a, b in zip(found, expected, strict=True))
        energy = [sum(float((d * d).sum()) for d in pair) for pair in (found, expected)]
        if product < _PRESENT_CORRELATION * (energy[0] * energy[1]) ** 0.5:
            return state, TrackResult(np.zeros_like(soft), 0.0, ABSENT)
        return state, TrackResult(soft, 1.0)


def is_static_overlay(samples: Array, prompts: ObjectPrompts) -> bool:
    """Return whether the content of every prompted box stays on the screen while its surroundings move.

    Args:
        samples: Frames (N, h, w, 3) uint8 spread over the shot.
        prompts: Prompts in pixels of the samples; without boxes the answer is False.
    """
    if not prompts.boxes or len(samples) < MIN_SAMPLES:
        return False
    gray = _gray(samples)
    return all(_zone_is_static(gray, box_zones(gray.shape[1:], box)[0]) for box in prompts.boxes)


def _zone_is_static(gray: Array, zone: Array) -> bool:
    """Return whether edges in `zone` (h, w) bool remain in the average of gray frames (N, h, w) and others do not."""
    around = ring(zone, _RING)
    if not around.any() or float(np.median(gray.std(axis=0)[around])) < _MIN_VARIATION:
        return False
    average = np.hypot(*_edges(gray.mean(axis=0)))
    usual = np.mean([np.hypot(*_edges(g)) for g in gray], axis=0)

    def remaining_share(where: Array) -> float:
        strong = where & (average >= np.percentile(average[where], 80))
        return float(average[strong].mean() / max(float(usual[strong].mean()), 1e-3))

    return remaining_share(zone) > _STATIC_EDGES and remaining_share(around) < _MOVING_EDGES


def _steady_pixels(gray: Array, zone: Array) -> Array:
    """Return the pixels (h, w) bool of a zone that vary less than its surroundings; all of it if hardly any do."""
    variation, around = cv2.blur(gray.std(axis=0), (3, 3)), ring(zone, _RING)
    usual = float(np.median(variation[around])) if around.any() else 0.0
    if usual < _MIN_VARIATION:
        return np.zeros_like(zone)
    steady = ((variation < _STEADY_SHARE * usual) & zone).astype(np.uint8)
    closed = cv2.morphologyEx(steady, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    found = dilate_square(closed, 1) & zone
    return zone if np.count_nonzero(found) < 0.02 * np.count_nonzero(zone) else np.asarray(found)


def _gray(rgb: Array) -> Array:
    """Return the gray levels (N, h, w) float32 of frames (N, h, w, 3) uint8."""
    return np.stack([cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in rgb]).astype(np.float32)


def _edges(gray: Array) -> tuple[Array, Array]:
    """Return the horizontal and vertical Sobel derivatives of a gray picture (h, w) float32."""
    return cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1)


def _near_negative_points(prompts: ObjectPrompts, shape: tuple[int, ...]) -> Array:
    """Return the pixels (h, w) bool that negative points take out of the mask."""
    if not prompts.negative:
        return np.zeros(shape, bool)
    return np.asarray(distance_to(prompts.negative, shape) < NEGATIVE_RADIUS * shape[0])
