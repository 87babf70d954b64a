"""Masks and patches in the work folder: FFV1 crops that follow the object, and a table of where they lie."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from vremove_cli.compose import place
from vremove_cli.geometry import NOWHERE, Array, Box, Crops, Placed
from vremove_cli.media.ffv1 import GRAY, LosslessWriter, read_gray, read_lossless, write_gray
from vremove_cli.media.pixel_format import Layout, layout_of


@dataclass(frozen=True)
class CropTable:
    """Where the crops of consecutive frames lie.

    Attributes:
        size: Width and height of every crop, in pixels.
        origins: Left and top of each frame's crop.
        boxes: The part of each crop that is used: x0, y0, x1, y1; all zero where a frame has nothing.
    """

    size: tuple[int, int]
    origins: tuple[tuple[int, int], ...]
    boxes: tuple[tuple[int, int, int, int], ...]

    @classmethod
    def of(cls, crops: Crops, boxes: Sequence[Box]) -> "CropTable":
        """Return the table of some crops and the boxes in them."""
        used = tuple((b.x0, b.y0, b.x1, b.y1) for b in boxes)
        return cls((crops.width, crops.height), crops.origins, used)

    @property
    def crops(self) -> Crops:
        """The crops themselves."""
        return Crops(*self.size, self.origins)

    def box(self, i: int) -> Box:
        """Return the used part of the i-th frame's crop."""
        return Box(*self.boxes[i])

    @property
    def used(self) -> int:
        """The number of frames that have something."""
        return sum(not self.box(i).empty for i in range(len(self.boxes)))


@dataclass(frozen=True)
class Patch:
    """Pixels to blend into one frame.

    Attributes:
        box: Where they lie, in stored pixels.
        planes: Components (h', w') in the clip's pixel format and depth.
        matte: Blend weights (h, w) uint8.
    """

    box: Box
    planes: tuple[Array, ...]
    matte: Array


def save_masks(path: Path, masks: Sequence[Placed]) -> CropTable:
    """Write masks (uint8) of consecutive frames and return where they lie."""
    crops = Crops.around(m.box for m in masks)
    write_gray(path, (m.on(crops.box(i)) for i, m in enumerate(masks)), crops.width, crops.height)
    return CropTable.of(crops, [m.box for m in masks])


def load_masks(path: Path, table: CropTable, start: int = 0, stop: int | None = None) -> Iterator[Placed]:
    """Yield masks start <= i < stop of a file that `save_masks` wrote."""
    crops = table.crops
    for i, values in enumerate(read_gray(path, start, stop), start):
        empty = table.box(i) == NOWHERE
        yield Placed(NOWHERE, values[:0, :0]) if empty else Placed(crops.box(i), values)


class PatchWriter(AbstractContextManager["PatchWriter"]):
    """Writes patches of consecutive frames as they come: components, and gray pictures that go with them."""

    def __init__(self, path: Path, layout: Layout, boxes: Sequence[Box], grays: Sequence[str]) -> None:
        """Prepare the files.

        Args:
            path: File of the components; gray pictures go to `gray_path(path, name)`.
            layout: Pixel format of the components.
            boxes: Every frame's box, known before the first patch.
            grays: Names of the gray pictures that go with each patch.
        """
        self._layout, self._boxes, self._crops = layout, boxes, Crops.around(boxes)
        self._next = 0
        size = (self._crops.width, self._crops.height)
        self._planes = LosslessWriter(path, layout.lossless_name, *size)
        self._grays = [LosslessWriter(gray_path(path, name), GRAY, *size) for name in grays]

    @property
    def table(self) -> CropTable:
        """Where the patches lie."""
        return CropTable.of(self._crops, self._boxes)

    def __enter__(self) -> "PatchWriter":
        self._stack = ExitStack()
        for writer in (self._planes, *self._grays):
            self._stack.enter_context(writer)
        return self

    def write(self, planes: tuple[Array, ...], *grays: Array) -> None:
        """Write the next frame's patch on its box; all empty where the frame has none."""
        box, crop = self._boxes[self._next], self._crops.box(self._next)
        self._next += 1
        parts = planes or tuple(np.zeros((0, 0), self._layout.dtype) for _ in self._layout.components)
        self._planes.write(place(parts, self._layout, box, crop))
        for writer, gray in zip(self._grays, grays, strict=True):
            writer.write((Placed(box, gray).on(crop),))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)


def gray_path(path: Path, name: str) -> Path:
    """Return the file of a gray picture beside a patch file."""
    return path.with_name(f"{path.stem}.{name}.mkv")


def load_patches(
    path: Path, table: CropTable, layout: Layout, grays: Sequence[str], start: int, stop: int
) -> Iterator[tuple[Box, tuple[Array, ...], list[Array]] | None]:
    """Read what a `PatchWriter` wrote.

    Args:
        path: File of the components.
        table: Where the patches lie.
        layout: Pixel format of the components.
        grays: Names of the gray pictures to read.
        start: First patch.
        stop: Patch after the last.

    Yields:
        Box, components and gray pictures on that box, or None for a frame without a patch.
    """
    beside = [load_masks(gray_path(path, name), table, start, stop) for name in grays]
    for patch, *masks in zip(_load_planes(path, table, layout, start, stop), *beside, strict=True):
        yield None if patch is None else (*patch, [mask.on(patch[0]) for mask in masks])


def _load_planes(
    path: Path, table: CropTable, layout: Layout, start: int, stop: int
) -> Iterator[tuple[Box, tuple[Array, ...]] | None]:
    crops = table.crops
    swap = layout_of(layout.lossless_name).dtype != layout.dtype
    for i, planes in enumerate(read_lossless(path, start, stop), start):
        box = table.box(i)
        if box.empty:
            yield None
            continue
        values = tuple(p.astype(layout.dtype) for p in planes) if swap else planes
        yield box, place(values, layout, crops.box(i), box)
