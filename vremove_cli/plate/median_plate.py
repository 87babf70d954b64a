"""Compare small frames with a median plate: the median of what other frames, aligned to them, show of the background.

Alignment is the chained homography of the camera, refined by fast DIS flow. Each comparison says how much a pixel
differs from the plate, whether it is the plate darkened, and how much of its texture the plate does not explain.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.frame_ranges import spread_evenly
from vremove_cli.geometry import Array
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.flow import fast_flow
from vremove_cli.motion.warp import grid, project, warp_back

MAX_SOURCES = 14  # frames that a plate is the median of
MIN_SOURCES = 3  # frames below which a pixel of the plate is unknown
MIN_OFFSET, MAX_OFFSET = 3, 40  # frames between a frame and its sources

_CERTAIN_DIFFERENCE = 10.0  # 8-bit levels of difference that count as 1
_MISALIGNED = 2.0  # a source is dropped if its error exceeds this many times the best one's plus as many levels
_KNOWN_EROSION = 7  # pixels (side of a square) by which the plate's known area shrinks
_FULLY_SHOWN = 250  # interpolated mask value (of 255) above which a source shows only background
_TEXTURE_WINDOW = (7, 7)  # pixels of the local linear fit
_RATIO_OFFSET = 4  # 8-bit levels added to both sides of a ratio, so that noise in dark pixels does not decide it
# Darkened: the channels' factors differ by less than `_TINT`, none brightens, none falls to black.
_TINT, _BRIGHTENED, _BLACK = 0.2, 1.03, 0.15


@dataclass(frozen=True)
class Placement:
    """Where an object is in a frame.

    Attributes:
        x: Centre in pixels.
        y: Centre in pixels.
        size: Square root of the object's area, in pixels.
    """

    x: float
    y: float
    size: float

    @classmethod
    def of_mask(cls, mask: Array) -> "Placement | None":
        """Measure a mask (H, W); None if it is empty."""
        rows, columns = np.nonzero(mask)
        if not len(rows):
            return None
        return cls(float(columns.mean()), float(rows.mean()), float(np.sqrt(len(rows))))


@dataclass(frozen=True)
class FrameEvidence:
    """One frame against its median plate.

    Attributes:
        difference: (H, W) float32 in [0, 1], -1 where the plate is unknown.
        darkened: (H, W) bool, whether the pixel is the plate's colour darkened.
        texture_loss: (H, W) float16, texture that the plate does not explain, against the mean difference.
    """

    difference: Array
    darkened: Array
    texture_loss: Array


@dataclass(frozen=True)
class _Source:
    """A frame as seen from another one.

    Attributes:
        rgb: (H, W, 3) uint8.
        shown: (H, W) bool, where it shows the background.
        error: Mean difference to the other frame there, 8-bit levels.
    """

    rgb: Array
    shown: Array
    error: float


class Scene:
    """Small frames with the object's masks and the camera's motion.

    Attributes:
        rgb: (T, H, W, 3) uint8.
        gray: (T, H, W) uint8.
        masks: Object masks (T, H, W) bool.
        placements: Where the object is in each frame; None where the mask is empty.
    """

    def __init__(self, rgb: Array, masks: Array) -> None:
        self.rgb, self.masks = rgb, masks
        self.gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb])
        self.placements = [Placement.of_mask(mask) for mask in masks]
        self._from_first = _chain_homographies(self.gray, masks)

    def homography(self, t: int, s: int) -> Array:
        """Return the homography (3, 3) that takes pixels of frame t to frame s."""
        return np.asarray(self._from_first[s] @ np.linalg.inv(self._from_first[t]))

    def placement(self, t: int) -> Placement:
        """Return where the object is in a frame whose mask is not empty."""
        placement = self.placements[t]
        assert placement is not None
        return placement

    def travel(self) -> float:
        """Return how far the object moves across the background between two frames, at most, in its own sizes."""
        frames = [t for t, placement in enumerate(self.placements) if placement is not None]
        sampled = frames[:: max(1, len(frames) // 12)]
        farthest = 0.0
        for t in sampled:
            for s in sampled:
                if abs(s - t) <= MAX_OFFSET:
                    start, end = self.placement(t), self.placement(s)
                    origin = project(self.homography(t, s), np.array([[start.x, start.y]], np.float32))[0]
                    moved = origin - np.array((end.x, end.y))
                    farthest = max(farthest, float(np.linalg.norm(moved)) / start.size)
        return farthest


def source_frames(t: int, count: int) -> list[int]:
    """Choose the frames that frame t of `count` is compared with.

    Offsets grow geometrically from `MIN_OFFSET` to `MAX_OFFSET`; near an end of the clip, the other side has more.

    Returns:
        At most `MAX_SOURCES` different frames.
    """
    offsets = [MIN_OFFSET * (MAX_OFFSET / MIN_OFFSET) ** (k / (MAX_SOURCES - 1)) for k in range(MAX_SOURCES)]
    both_sides = (s for offset in offsets for s in (t - round(offset), t + round(offset)))
    candidates = list(dict.fromkeys(s for s in both_sides if 0 <= s < count))
    return [candidates[k] for k in spread_evenly(0, len(candidates), MAX_SOURCES)]


def compare_with_plate(scene: Scene, t: int, hidden: Array, tolerance: tuple[float, float]) -> FrameEvidence:
    """Compare a frame with the median of its sources.

    Args:
        scene: The small frames.
        t: The frame.
        hidden: (T, H, W) bool, pixels that the plate must not use.
        tolerance: Multiple of the sources' spread, and 8-bit levels, that do not count as a difference.

    Returns:
        The comparison; everything is unknown if the clip has no source for the frame.
    """
    sources = [_align_source(scene, t, s, hidden) for s in source_frames(t, len(scene.rgb))]
    if not sources:
        zeros = np.zeros(hidden.shape[1:], np.float32)
        return FrameEvidence(zeros - 1, zeros > 0, zeros.astype(np.float16))
    plate, spread, count = _masked_median(_well_aligned(sources))
    kernel = np.ones((_KNOWN_EROSION, _KNOWN_EROSION), np.uint8)
    known = cv2.erode((count >= MIN_SOURCES).astype(np.uint8), kernel) > 0
    frame = cv2.blur(scene.rgb[t].astype(np.float32), (3, 3))
    plate = cv2.blur(plate, (3, 3))
    difference = np.abs(frame - plate).max(axis=2) - tolerance[0] * cv2.blur(spread, (3, 3)) - tolerance[1]
    difference = np.where(known, np.clip(difference / _CERTAIN_DIFFERENCE, 0, 1), -1).astype(np.float32)
    texture_loss = _texture_loss(scene.rgb[t], plate).astype(np.float16)
    return FrameEvidence(difference, _is_darkened(frame, plate), texture_loss)


def _chain_homographies(gray: Array, masks: Array) -> list[Array]:
    """Homographies (3, 3) from the first frame to each frame."""
    foreground = masks.astype(np.uint8) * 255
    chain = [np.eye(3)]
    for t in range(len(gray) - 1):
        chain.append(estimate_homography(gray[t], gray[t + 1], foreground[t], foreground[t + 1]) @ chain[-1])
    return chain


def _align_source(scene: Scene, t: int, s: int, hidden: Array) -> _Source:
    """Bring frame s onto frame t by homography and flow."""
    height, width = scene.gray[t].shape
    homography = scene.homography(t, s)
    warped = warp_back(scene.gray[s], homography, width, height)
    background = np.where(hidden[s], 0, 255).astype(np.uint8)
    shown = warp_back(background, homography, width, height, nearest=True) > 0
    # The flow sees equal pictures wherever either frame hides the background.
    frame = np.where(shown & ~scene.masks[t], scene.gray[t], warped)
    positions = grid(width, height) + fast_flow(frame, warped)
    positions = project(homography, positions.reshape(-1, 2)).reshape(height, width, 2)
    x, y = positions[..., 0], positions[..., 1]
    rgb = cv2.remap(scene.rgb[s], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.remap(background, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    shown = share > _FULLY_SHOWN
    error = cv2.mean(cv2.absdiff(rgb, scene.rgb[t]), (shown & ~hidden[t]).astype(np.uint8))
    return _Source(rgb, shown, sum(error[:3]) / 3)


def _well_aligned(sources: Sequence[_Source]) -> list[_Source]:
    limit = _MISALIGNED * min(source.error for source in sources) + _MISALIGNED
    return [source for source in sources if source.error <= limit]


def _masked_median(sources: Sequence[_Source]) -> tuple[Array, Array, Array]:
    """Median over the sources that show a pixel.

    Returns:
        The median (H, W, 3) float32, half the distance between the quartiles (H, W) float32, the largest of the
        channels, both in 8-bit levels; and the number of sources that show each pixel (H, W) int.
    """
    colours, shown = np.stack([s.rgb for s in sources]), np.stack([s.shown for s in sources])
    count = shown.sum(axis=0)
    ordered = np.sort(np.where(shown[..., None], colours, 255), axis=0)
    median = (_take_rank(ordered, (count - 1) // 2) + _take_rank(ordered, count // 2)) / 2
    upper, lower = _take_rank(ordered, count - 1 - count // 4), _take_rank(ordered, count // 4)
    return median, (upper - lower).max(axis=2) / 2, count


def _take_rank(ordered: Array, rank: Array) -> Array:
    """The value at a rank (H, W) of sorted values (N, H, W, 3), float32."""
    rank = np.clip(rank, 0, len(ordered) - 1)[None, ..., None]
    return np.take_along_axis(ordered, rank, axis=0)[0].astype(np.float32)


def _is_darkened(frame: Array, plate: Array) -> Array:
    """Where a frame is the plate darkened, all channels by about the same factor."""
    ratio = (frame + _RATIO_OFFSET) / (plate + _RATIO_OFFSET)
    largest, smallest = ratio.max(axis=2), ratio.min(axis=2)
    return np.asarray((largest - smallest < _TINT) & (largest < _BRIGHTENED) & (smallest > _BLACK))


def _texture_loss(frame: Array, plate: Array) -> Array:
    """Deviation of a frame from the local linear function of the plate that fits it best, against their difference.

    sqrt(var(a) - cov(a, b)^2 / var(b)) / (|mean(a) - mean(b)| + offset), over 7x7 pixels of gray frame a and plate b.
    """
    a, b = frame.astype(np.float32).mean(axis=2), plate.mean(axis=2)
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    covariance = _window_mean(a * b) - mean_a * mean_b
    variance_b = np.maximum(_window_mean(b * b) - mean_b**2, 1)
    unexplained = _window_mean(a * a) - mean_a**2 - covariance**2 / variance_b
    return np.asarray(np.sqrt(np.maximum(unexplained, 0)) / (np.abs(mean_a - mean_b) + _RATIO_OFFSET))


def _window_mean(values: Array) -> Array:
    return np.asarray(cv2.blur(values, _TEXTURE_WINDOW))
