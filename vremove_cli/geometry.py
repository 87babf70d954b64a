"""Boxes, moving crops, orientations and arrays that cover a part of a frame.

Coordinates are pixels, x to the right, y down, from the frame's upper left corner. Boxes are half-open. Arrays are
(H, W) or (H, W, C).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: x0 <= x < x1, y0 <= y < y1. It may reach over the frame's edge.

    Attributes:
        x0: Left edge.
        y0: Upper edge.
        x1: Right edge, exclusive.
        y1: Lower edge, exclusive.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices; the box must lie inside the array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grow(self, px: int) -> "Box":
        """Return the box with each side moved outwards by `px` pixels."""
        return Box(self.x0 - px, self.y0 - px, self.x1 + px, self.y1 + px)

    def moved(self, dx: int, dy: int) -> "Box":
        """Return the box moved right by `dx` and down by `dy` pixels."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def clip(self, width: int, height: int) -> "Box":
        """Return the part of the box inside a frame of a size; it may be empty."""
        return Box(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))

    def union(self, other: "Box") -> "Box":
        """Return the smallest box around both; an empty box adds nothing."""
        if self.empty:
            return other
        if other.empty:
            return self
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def align(self, step: int) -> "Box":
        """Return the smallest box around this one whose sides lie on multiples of `step` pixels."""
        x0, y0 = self.x0 // step * step, self.y0 // step * step
        return Box(x0, y0, -(-self.x1 // step) * step, -(-self.y1 // step) * step)

    def scale(self, sub_x: int, sub_y: int) -> "Box":
        """Return the box on a subsampled plane.

        Args:
            sub_x: log2 of the horizontal subsampling.
            sub_y: log2 of the vertical subsampling. The box's origin must lie on a whole sample.
        """
        return Box(self.x0 >> sub_x, self.y0 >> sub_y, -(-self.x1 >> sub_x), -(-self.y1 >> sub_y))


NOWHERE = Box(0, 0, 0, 0)


def bounds(mask: Array) -> Box:
    """Return the smallest box around the non-zero pixels of a mask (H, W); `NOWHERE` if there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return NOWHERE
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def take(plane: Array, box: Box) -> Array:
    """Return the pixels of a plane in a box.

    Args:
        plane: Array (H, W, ...).
        box: A box that may reach over the plane.

    Returns:
        Array (h, w, ...): a view if the box lies inside the plane, else a copy with the edge repeated.
    """
    height, width = plane.shape[:2]
    inside = box.clip(width, height)
    if inside == box:
        return plane[box.slices]
    rows = np.clip(np.arange(box.y0, box.y1), 0, height - 1)
    columns = np.clip(np.arange(box.x0, box.x1), 0, width - 1)
    return plane[rows[:, None], columns[None, :]]


def put(plane: Array, box: Box, values: Array) -> None:
    """Write values into a box of a plane, in place.

    Args:
        plane: Writable array (H, W, ...).
        box: A box that may reach over the plane. Values outside the plane are dropped.
        values: Array (h, w, ...) of the box's size.
    """
    height, width = plane.shape[:2]
    inside = box.clip(width, height)
    if inside.empty:
        return
    dy, dx = inside.y0 - box.y0, inside.x0 - box.x0
    plane[inside.slices] = values[dy : dy + inside.height, dx : dx + inside.width]


@dataclass(frozen=True)
class Crops:
    """A crop of constant size that follows the object through consecutive frames.

    Sizes and origins are multiples of `ALIGN`, so that a crop covers whole chroma samples of every pixel format. A crop
    may reach over the frame's edge.

    Attributes:
        width: Width of every crop in pixels.
        height: Height of every crop in pixels.
        origins: Upper left corner (x, y) of the crop of each frame.
    """

    width: int
    height: int
    origins: tuple[tuple[int, int], ...]

    ALIGN = 8

    @classmethod
    def around(cls, boxes: Iterable[Box]) -> "Crops":
        """Return the smallest aligned crop that holds every box.

        Args:
            boxes: One box for each frame. An empty one takes a crop at its origin.
        """
        aligned = [b.align(cls.ALIGN) for b in boxes]
        width = max((b.width for b in aligned), default=0) or cls.ALIGN
        height = max((b.height for b in aligned), default=0) or cls.ALIGN
        return cls(width, height, tuple((b.x0, b.y0) for b in aligned))

    def box(self, i: int) -> Box:
        """Return the crop's box in frame i of the consecutive frames."""
        x, y = self.origins[i]
        return Box(x, y, x + self.width, y + self.height)


@dataclass(frozen=True)
class Orientation:
    """How stored (coded) pixels are turned for display: first transposed, then mirrored.

    Attributes:
        transpose: Whether rows become columns.
        flip_x: Whether columns are mirrored, after the transposition.
        flip_y: Whether rows are mirrored, after the transposition.
    """

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...]) -> "Orientation | None":
        """Return the orientation of a display matrix, or None if it does not turn by a multiple of 90 degrees.

        Args:
            matrix: Nine fixed-point numbers in row order, as FFmpeg stores them (libavutil/display.h).
        """
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if b == 0 and c == 0 and a and d:
            return cls(False, a < 0, d < 0)
        if a == 0 and d == 0 and b and c:
            return cls(True, c < 0, b < 0)
        return None

    @property
    def identity(self) -> bool:
        """Whether pixels are shown as they are stored."""
        return not (self.transpose or self.flip_x or self.flip_y)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the displayed size (width, height) of a stored size."""
        return (height, width) if self.transpose else (width, height)

    def display(self, stored: Array) -> Array:
        """Return a view of a stored array (H, W, ...) as it is displayed."""
        out = stored.swapaxes(0, 1) if self.transpose else stored
        return out[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def upright(self, stored: Array) -> Array:
        """Return a contiguous copy of a stored array (H, W, ...) as it is displayed, for code that needs one."""
        return np.ascontiguousarray(self.display(stored))

    def store(self, displayed: Array) -> Array:
        """Return a view of a displayed array (H, W, ...) as it is stored: the inverse of `display`."""
        out = displayed[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return out.swapaxes(0, 1) if self.transpose else out

    def store_point(self, x: float, y: float, width: int, height: int) -> tuple[float, float]:
        """Return the stored coordinates of a displayed pixel.

        Args:
            x: Displayed column.
            y: Displayed row.
            width: Stored width of the frame in pixels.
            height: Stored height of the frame in pixels.
        """
        shown_width, shown_height = self.size(width, height)
        x = shown_width - 1 - x if self.flip_x else x
        y = shown_height - 1 - y if self.flip_y else y
        return (y, x) if self.transpose else (x, y)


@dataclass(frozen=True)
class Placed:
    """An array that covers a box of a frame and is zero outside it.

    Attributes:
        box: Box in pixels of the frame. It may reach over the frame's edge.
        values: Array (h, w, ...) of the box's size, often a mask in uint8.
    """

    box: Box
    values: Array

    @classmethod
    def nothing(cls) -> "Placed":
        """Return an array that is zero everywhere."""
        return cls(NOWHERE, np.zeros((0, 0), np.uint8))

    @classmethod
    def tight(cls, full: Array) -> "Placed":
        """Return the non-zero part of a whole frame's array (H, W), copied."""
        box = bounds(full)
        return cls(box, full[box.slices].copy())

    def binarize(self) -> "Placed":
        """Return a soft mask (uint8) as 255 where it is at least 128, on the smallest box."""
        inside = self.values > 127
        tight = bounds(inside)
        return Placed(tight.moved(self.box.x0, self.box.y0), inside[tight.slices] * np.uint8(255))

    @property
    def area(self) -> int:
        """Number of pixels inside a soft mask (uint8): of at least 128."""
        return int(np.count_nonzero(self.values > 127))

    @property
    def empty(self) -> bool:
        """Whether the array is zero everywhere."""
        return self.box.empty or not self.values.any()

    def union(self, other: "Placed") -> "Placed":
        """Return the maximum of both arrays."""
        box = self.box.union(other.box)
        return Placed(box, np.maximum(self.on(box), other.on(box)))

    def full(self, width: int, height: int) -> Array:
        """Return the array of a whole frame, (height, width, ...)."""
        out = np.zeros((height, width, *self.values.shape[2:]), self.values.dtype)
        put(out, self.box, self.values)
        return out

    def on(self, box: Box) -> Array:
        """Return the array of another box, (h, w, ...); it may lie anywhere."""
        out = np.zeros((box.height, box.width, *self.values.shape[2:]), self.values.dtype)
        put(out, self.box.moved(-box.x0, -box.y0), self.values)
        return out
