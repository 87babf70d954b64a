"""Patches in the work folder: a crop that follows the object, as FFV1, and where it lies as plain numbers."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from vremove_cli.compose import place
from vremove_cli.geometry import NOWHERE, Array, Box, Crops, Placed
from vremove_cli.media.ffv1 import GRAY, LosslessWriter, read_gray, read_lossless, write_gray
from vremove_cli.media.pixel_format import Layout, layout_of


def save_masks(path: Path, masks: Sequence[Placed]) -> dict[str, Any]:
    """Write masks (uint8, of consecutive frames) and return where they lie."""
    crops = Crops.around(m.box for m in masks)
    write_gray(path, (m.on(crops.box(i)) for i, m in enumerate(masks)), crops.width, crops.height)
    return _where(crops, [m.box for m in masks])


def load_masks(path: Path, where: dict[str, Any], start: int = 0, stop: int | None = None) -> Iterator[Placed]:
    """Masks start <= i < stop of a file written by `save_masks`."""
    crops, boxes = _crops(where), where["boxes"]
    for i, values in enumerate(read_gray(path, start, stop), start):
        yield Placed(NOWHERE, values[:0, :0]) if boxes[i] == [0, 0, 0, 0] else Placed(crops.box(i), values)


class PatchWriter(AbstractContextManager["PatchWriter"]):
    """Writes the patches of consecutive frames as they come: components, matte and more, each on its frame's box.

    `boxes` are known before the first patch; `grays` names the gray pictures that go with each, `PATH.NAME.mkv`.
    """

    def __init__(self, path: Path, layout: Layout, boxes: Sequence[Box], grays: Sequence[str]) -> None:
        self._layout, self._boxes, self._crops = layout, boxes, Crops.around(boxes)
        self._next = 0
        size = (self._crops.width, self._crops.height)
        self._planes = LosslessWriter(path, layout.lossless_name, *size)
        self._grays = [LosslessWriter(gray_path(path, name), GRAY, *size) for name in grays]

    @property
    def where(self) -> dict[str, Any]:
        """Where the patches lie, for `load_patches`."""
        return _where(self._crops, self._boxes)

    def __enter__(self) -> "PatchWriter":
        self._stack = ExitStack()
        for writer in (self._planes, *self._grays):
            self._stack.enter_context(writer)
        return self

    def write(self, planes: tuple[Array, ...], *grays: Array) -> None:
        """The next frame's patch on its box; all empty where the frame has none."""
        had, gets = self._boxes[self._next], self._crops.box(self._next)
        self._next += 1
        parts = planes or tuple(np.zeros((0, 0), self._layout.dtype) for _ in self._layout.components)
        self._planes.write(place(parts, self._layout, had, gets))
        for writer, gray in zip(self._grays, grays, strict=True):
            writer.write((Placed(had, gray).on(gets),))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool | None:
        return self._stack.__exit__(kind, error, trace)


def gray_path(path: Path, name: str) -> Path:
    """The file of a gray picture beside a patch file."""
    return path.with_name(f"{path.stem}.{name}.mkv")


def load_patches(
    path: Path, where: dict[str, Any], layout: Layout, start: int = 0, stop: int | None = None
) -> Iterator[tuple[Box, tuple[Array, ...]] | None]:
    """(box, components) or None for frames start <= i < stop of a file written by `PatchWriter`."""
    crops, boxes = _crops(where), where["boxes"]
    swap = layout_of(layout.lossless_name).dtype != layout.dtype
    for i, planes in enumerate(read_lossless(path, start, stop), start):
        box = Box(*boxes[i])
        if box.empty:
            yield None
            continue
        values = tuple(p.astype(layout.dtype) for p in planes) if swap else planes
        yield box, place(values, layout, crops.box(i), box)


def load_with(
    path: Path, where: dict[str, Any], layout: Layout, grays: Sequence[str], start: int, stop: int
) -> Iterator[tuple[Box, tuple[Array, ...], list[Array]] | None]:
    """(box, components, gray pictures on that box) or None for frames start <= i < stop of a `PatchWriter`'s files."""
    beside = [load_masks(gray_path(path, name), where, start, stop) for name in grays]
    for patch, *masks in zip(load_patches(path, where, layout, start, stop), *beside, strict=True):
        yield None if patch is None else (*patch, [mask.on(patch[0]) for mask in masks])


def _where(crops: Crops, boxes: Sequence[Box]) -> dict[str, Any]:
    return {
        "size": [crops.width, crops.height],
        "origins": [list(o) for o in crops.origins],
        "boxes": [[b.x0, b.y0, b.x1, b.y1] for b in boxes],
    }


def _crops(where: dict[str, Any]) -> Crops:
    width, height = where["size"]
    return Crops(width, height, tuple((x, y) for x, y in where["origins"]))
