"""Boxes, moving crops and orientations: where things are in a frame.

Coordinates are pixels, x to the right, y down; a box is half-open. Arrays are (H, W) or (H, W, C).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: x0 <= x < x1, y0 <= y < y1. It may reach over the frame's edge."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def empty(self) -> bool:
        return self.x1 <= self.x0 or self.y1 <= self.y0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slices, for a box that lies inside the array."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def grow(self, px: int) -> "Box":
        return Box(self.x0 - px, self.y0 - px, self.x1 + px, self.y1 + px)

    def moved(self, dx: int, dy: int) -> "Box":
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def clip(self, width: int, height: int) -> "Box":
        return Box(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))

    def union(self, other: "Box") -> "Box":
        if self.empty:
            return other
        if other.empty:
            return self
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def align(self, step: int) -> "Box":
        """The smallest box round this one whose sides lie on multiples of `step`."""
        return Box(
            self.x0 // step * step, self.y0 // step * step, -(-self.x1 // step) * step, -(-self.y1 // step) * step
        )  # fmt: skip

    def scale(self, sx: int, sy: int) -> "Box":
        """The box on a plane subsampled by 2**sx horizontally and 2**sy vertically; the origin must be aligned."""
        return Box(self.x0 >> sx, self.y0 >> sy, -(-self.x1 >> sx), -(-self.y1 >> sy))


NOWHERE = Box(0, 0, 0, 0)


def bounds(mask: Array) -> Box:
    """The smallest box round the non-zero pixels of a mask (H, W); `NOWHERE` when there are none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return NOWHERE
    columns = np.flatnonzero(mask.any(axis=0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def take(plane: Array, box: Box) -> Array:
    """The pixels of a plane (H, W, ...) in a box; what lies over the edge repeats the edge. A copy or a view."""
    height, width = plane.shape[:2]
    inside = box.clip(width, height)
    if inside == box:
        return plane[box.slices]
    rows = np.clip(np.arange(box.y0, box.y1), 0, height - 1)
    columns = np.clip(np.arange(box.x0, box.x1), 0, width - 1)
    return plane[rows[:, None], columns[None, :]]


def put(plane: Array, box: Box, values: Array) -> None:
    """Write values (h, w, ...) of a box into a plane; what lies over the edge is dropped."""
    height, width = plane.shape[:2]
    inside = box.clip(width, height)
    if inside.empty:
        return
    dy, dx = inside.y0 - box.y0, inside.x0 - box.x0
    plane[inside.slices] = values[dy : dy + inside.height, dx : dx + inside.width]


@dataclass(frozen=True)
class Crops:
    """A crop of one size that follows the object: one origin for each frame of a run of frames.

    Origins are multiples of `ALIGN`, so that a crop falls on whole chroma samples of every pixel format.
    """

    width: int
    height: int
    origins: tuple[tuple[int, int], ...]

    ALIGN = 8

    @classmethod
    def around(cls, boxes: Iterable[Box]) -> "Crops":
        """The smallest aligned moving crop that holds every box (one for each frame)."""
        aligned = [b.align(cls.ALIGN) for b in boxes]
        width = max((b.width for b in aligned), default=0) or cls.ALIGN
        height = max((b.height for b in aligned), default=0) or cls.ALIGN
        return cls(width, height, tuple((b.x0, b.y0) for b in aligned))

    def box(self, i: int) -> Box:
        x, y = self.origins[i]
        return Box(x, y, x + self.width, y + self.height)


@dataclass(frozen=True)
class Orientation:
    """How stored (coded) pixels are turned for display: first transposed, then mirrored in x and y."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...]) -> "Orientation | None":
        """From a display matrix (nine 16.16 fixed-point numbers); None when it is no multiple of 90 degrees."""
        a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
        if b == 0 and c == 0 and a and d:
            return cls(False, a < 0, d < 0)
        if a == 0 and d == 0 and b and c:
            return cls(True, c < 0, b < 0)
        return None

    @property
    def identity(self) -> bool:
        return not (self.transpose or self.flip_x or self.flip_y)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The displayed size (width, height) of a stored size."""
        return (height, width) if self.transpose else (width, height)

    def display(self, stored: Array) -> Array:
        """A stored array (H, W, ...) as it is displayed."""
        out = stored.swapaxes(0, 1) if self.transpose else stored
        return out[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]

    def upright(self, stored: Array) -> Array:
        """The same as an array of its own, for what cannot read a turned view."""
        return np.ascontiguousarray(self.display(stored))

    def store(self, displayed: Array) -> Array:
        """A displayed array (H, W, ...) as it is stored: the inverse of `display`."""
        out = displayed[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return out.swapaxes(0, 1) if self.transpose else out

    def store_point(self, x: float, y: float, width: int, height: int) -> tuple[float, float]:
        """Stored coordinates of the displayed pixel (x, y); width and height are the stored size."""
        shown_width, shown_height = self.size(width, height)
        x = shown_width - 1 - x if self.flip_x else x
        y = shown_height - 1 - y if self.flip_y else y
        return (y, x) if self.transpose else (x, y)


@dataclass(frozen=True)
class Placed:
    """Values (h, w, ...) on a box of a frame; outside the box there is nothing (zero)."""

    box: Box
    values: Array

    @classmethod
    def nothing(cls) -> "Placed":
        """No values anywhere."""
        return cls(NOWHERE, np.zeros((0, 0), np.uint8))

    @classmethod
    def tight(cls, full: Array) -> "Placed":
        """The non-zero part of a whole-frame array (H, W)."""
        box = bounds(full)
        return cls(box, full[box.slices].copy())

    def inside(self) -> "Placed":
        """A soft mask's inside, 128 and more, as 255 on the smallest box."""
        inside = self.values > 127
        tight = bounds(inside)
        return Placed(tight.moved(self.box.x0, self.box.y0), inside[tight.slices] * np.uint8(255))

    @property
    def empty(self) -> bool:
        return self.box.empty or not self.values.any()

    def united(self, other: "Placed") -> "Placed":
        """The larger of both values everywhere."""
        box = self.box.union(other.box)
        return Placed(box, np.maximum(self.on(box), other.on(box)))

    def full(self, width: int, height: int) -> Array:
        """The whole frame (height, width, ...)."""
        out = np.zeros((height, width, *self.values.shape[2:]), self.values.dtype)
        put(out, self.box, self.values)
        return out

    def on(self, box: Box) -> Array:
        """The values on another box, zero where there are none."""
        out = np.zeros((box.height, box.width, *self.values.shape[2:]), self.values.dtype)
        put(out, self.box.moved(-box.x0, -box.y0), self.values)
        return out
