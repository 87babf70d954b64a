"""A mosaic: the background of a shot as one picture, the median of what aligned frames show of each pixel.

Poses are homographies (3, 3) float64 from a frame's pixels to the mosaic's. A frame that maps onto the mosaic unchanged
is copied, not resampled.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli import threads
from vremove_cli.frame_ranges import spread_evenly
from vremove_cli.geometry import Array, Box
from vremove_cli.motion.pixelwise import at_rank, largest_channel, shown_first, smallest_channel, sorted_stack
from vremove_cli.motion.warp import project

SOURCES = 32  # frames that show a pixel of the mosaic, about
MAX_SOURCES = 96  # frames that a mosaic is made of, at most
FRACTION = 16  # steps per 8-bit level in which samples are kept: int16 then holds 2,047 levels
_MAX_SIDES = 3  # frame sides that a mosaic reaches beyond its reference frame, at most
_TILE = 128  # pixels of a tile's side: the samples of one tile are in memory at a time
_SHOWN_FROM = 250  # interpolated mask value (of 255) from which a frame shows the background
_MAX_SAMPLE = np.iinfo(np.int16).max - 1  # a larger value is none


@dataclass(frozen=True)
class Canvas:
    """Where the frames of a shot lie on its mosaic.

    Attributes:
        size: (width, height) of the mosaic in pixels.
        poses: (T, 3, 3), from the pixels of each frame to those of the mosaic.
        frame_size: (width, height) of a frame in pixels.
    """

    size: tuple[int, int]
    poses: Array
    frame_size: tuple[int, int]

    @classmethod
    def around(cls, homographies: Array, frame_size: tuple[int, int]) -> "Canvas":
        """Lay out frames by the homographies (T, 3, 3) that take the pixels of a reference frame to theirs."""
        width, height = frame_size
        poses = np.linalg.inv(homographies)
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        outline = np.concatenate([project(pose, corners) for pose in poses])
        limit = np.array(frame_size) * _MAX_SIDES
        outline = np.clip(np.nan_to_num(outline), -limit, limit + frame_size)
        low, high = np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0))
        shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]])
        return cls((int(high[0] - low[0]), int(high[1] - low[1])), shift @ poses, frame_size)

    @property
    def sources(self) -> list[int]:
        """Frames spread evenly, so many that about `SOURCES` of them show each pixel."""
        share = self.size[0] * self.size[1] / (self.frame_size[0] * self.frame_size[1])
        return spread_evenly(0, len(self.poses), min(MAX_SOURCES, round(SOURCES * max(1.0, share))))

    def view(self, mosaic: Array, t: int, *, nearest: bool = False, cubic: bool = False) -> Array:
        """Return a picture of the mosaic's size as frame t sees it; beyond the mosaic its edge, or 0 if `nearest`."""
        interpolation = cv2.INTER_NEAREST if nearest else cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
        border = cv2.BORDER_CONSTANT if nearest else cv2.BORDER_REPLICATE
        if self._in_place(t):
            return mosaic
        flags = interpolation | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpPerspective(mosaic, self.poses[t], self.frame_size, flags=flags, borderMode=border))

    def lay(self, picture: Array, t: int, tile: Box, *, inside: bool = False) -> Array:
        """Return a picture of frame t on a tile of the mosaic; bilinear and 0 beyond the frame if `inside`."""
        if self._in_place(t):
            return picture[tile.slices]
        pose = np.array([[1, 0, -tile.x0], [0, 1, -tile.y0], [0, 0, 1]]) @ self.poses[t]
        flags = cv2.INTER_LINEAR if inside else cv2.INTER_CUBIC
        border = cv2.BORDER_CONSTANT if inside else cv2.BORDER_REPLICATE
        size = (tile.width, tile.height)
        return np.asarray(cv2.warpPerspective(picture, pose, size, flags=flags, borderMode=border))

    def tiles(self) -> Iterator[Box]:
        """Yield the tiles that make up the mosaic."""
        width, height = self.size
        for y in range(0, height, _TILE):
            for x in range(0, width, _TILE):
                yield Box(x, y, min(x + _TILE, width), min(y + _TILE, height))

    def covers(self, t: int, tile: Box) -> bool:
        """Return whether frame t may show any of a tile."""
        width, height = self.frame_size
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        outline = project(self.poses[t], corners)
        low, high = outline.min(axis=0), outline.max(axis=0)
        return bool(low[0] < tile.x1 and high[0] > tile.x0 and low[1] < tile.y1 and high[1] > tile.y0)

    def _in_place(self, t: int) -> bool:
        return self.size == self.frame_size and bool(np.abs(self.poses[t] - np.eye(3)).max() < 1e-9)


@dataclass(frozen=True)
class Mosaic:
    """The background of a shot.

    Attributes:
        canvas: Where the frames lie.
        colour: (H, W, 3) float32, 0 to 255 at the brightness of gain 1; 0 where nothing was seen.
        spread: (H, W) float32, the quartile distance of the samples in standard deviations of a normal distribution,
            the largest of the channels, in 8-bit levels.
        count: (H, W) float32, how many of the sources show the pixel.
    """

    canvas: Canvas
    colour: Array
    spread: Array
    count: Array


def median_mosaic(
    rgb: Array, shown: Mapping[int, Array], gains: Array, canvas: Canvas, distance: Mapping[int, Array] | None = None
) -> Mosaic:
    """Return the median of what aligned frames show.

    An object's shadow may cover a pixel in most frames, and the median is then the shadow. With `distance`, the median
    of the third of the samples that are farthest from the object replaces it where it is the same colour in more light.

    Args:
        rgb: Frames (T, h, w, 3) uint8.
        shown: (h, w) bool for each of the canvas's sources, where the frame shows the background.
        gains: (T,), brightness of each frame as a factor.
        canvas: Where the frames lie.
        distance: (h, w) float32 for each source, pixels to the object.
    """
    width, height = canvas.size
    colour = np.zeros((height, width, 3), np.float32)
    spread, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)

    def lay(tile: Box) -> None:
        sources = [t for t in canvas.sources if canvas.covers(t, tile)]
        if not sources:
            return
        samples = _Samples.on_tile(rgb, shown, gains, canvas, sources, tile)
        middle, wide, seen = samples.median()
        if distance is not None:
            far = np.stack([canvas.lay(distance[t], t, tile) for t in sources])
            middle = _in_more_light(middle, samples.farthest(far))
        colour[tile.slices] = np.where((seen > 0)[..., None], middle, 0)
        spread[tile.slices], count[tile.slices] = wide, seen

    list(threads.each(lay, canvas.tiles()))
    return Mosaic(canvas, colour, spread, count)


@dataclass(frozen=True)
class _Samples:
    """What K frames show of a tile.

    Attributes:
        values: (K, h, w, 3) int16 in 1 / `FRACTION` of an 8-bit level.
        shown: (K, h, w) bool.
    """

    values: Array
    shown: Array

    @classmethod
    def on_tile(
        cls,
        rgb: Array,
        shown: Mapping[int, Array],
        gains: Array,
        canvas: Canvas,
        sources: Sequence[int],
        tile: Box,
    ) -> "_Samples":
        values = np.empty((len(sources), tile.height, tile.width, 3), np.int16)
        visible = np.empty(values.shape[:3], bool)
        for k, t in enumerate(sources):
            level = np.minimum(np.arange(256) * (FRACTION / gains[t]), _MAX_SAMPLE).astype(np.int16)
            values[k] = cv2.LUT(canvas.lay(rgb[t], t, tile), level)
            visible[k] = canvas.lay(shown[t].astype(np.uint8) * 255, t, tile, inside=True) > _SHOWN_FROM
        return cls(values, visible)

    def ordered(self) -> tuple[Array, Array]:
        """Return the values (K, h, w, 3) with the shown ones first and in order, and the number (h, w) of these."""
        return shown_first(self.values, self.shown), self.shown.sum(axis=0, dtype=np.int16)

    def median(self) -> tuple[Array, Array, Array]:
        """Return the median (h, w, 3), the spread (h, w) and the number (h, w) of the shown samples."""
        ordered, count = self.ordered()
        upper, lower = at_rank(ordered, count - 1 - count // 4), at_rank(ordered, count // 4)
        spread = largest_channel(upper.astype(np.float32) - lower) / 1.349  # of a normal distribution
        return _middle(ordered, count), spread / FRACTION, count

    def farthest(self, distance: Array) -> Array:
        """Return the median (h, w, 3) of the third of the shown samples with the largest distance (K, h, w)."""
        distance = np.where(self.shown, distance, np.float32(-1))
        wanted = np.maximum(_LEAST_FAR, np.ceil(self.shown.sum(axis=0) * _FAR_SHARE)).astype(int)
        limit = at_rank(sorted_stack(distance), len(distance) - wanted)
        return _middle(*_Samples(self.values, self.shown & (distance >= np.maximum(limit, 0) - 0.5)).ordered())


_FAR_SHARE, _LEAST_FAR = 0.34, 5  # share, and number at least, of the samples that count as far from the object
_MIN_BRIGHTER, _MAX_TINT = 1.02, 0.2  # factor of all channels, and their difference, of the same colour in more light
_MIN_LEVELS = 3.0  # 8-bit levels by which one channel is brighter
_RATIO_OFFSET = 4.0  # 8-bit levels added to both sides of a ratio, so that noise in dark pixels does not decide it


def _in_more_light(middle: Array, far: Array) -> Array:
    """Return `far` where it is `middle` (h, w, 3) in more light, and `middle` elsewhere."""
    smooth_far, smooth = (cv2.GaussianBlur(x, (0, 0), 1) + _RATIO_OFFSET for x in (far, middle))
    ratio = smooth_far / smooth
    high, low = largest_channel(ratio), smallest_channel(ratio)
    lit = (high - low < _MAX_TINT * high) & (low > _MIN_BRIGHTER) & (largest_channel(far - middle) > _MIN_LEVELS)
    return np.asarray(np.where(lit[..., None], far, middle))


def _middle(ordered: Array, count: Array) -> Array:
    """The median (h, w, 3) float32 of the first `count` (h, w) of ordered samples (K, h, w, 3), 8-bit levels."""
    return (at_rank(ordered, (count - 1) // 2).astype(np.float32) + at_rank(ordered, count // 2)) / (2 * FRACTION)
