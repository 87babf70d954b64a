"""Patches in the work folder: a crop that follows the object, as FFV1, and where it lies as plain numbers."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vremove_cli.compose import place
from vremove_cli.geometry import NOWHERE, Array, Box, Crops, Placed
from vremove_cli.media.layout import Layout, layout_of
from vremove_cli.media.lossless import read_gray, read_lossless, write_gray, write_lossless


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


class PatchWriter:
    """Collects the patches of consecutive frames: components on a box each, or nothing."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._boxes: list[Box] = []
        self._planes: list[tuple[Array, ...]] = []

    def add(self, box: Box, planes: tuple[Array, ...]) -> None:
        self._boxes.append(box)
        self._planes.append(planes)

    def save(self, path: Path) -> dict[str, Any]:
        """Write them all and return where they lie."""
        crops = Crops.around(self._boxes)
        empty = tuple(_blank(self._layout))
        pictures = (
            place(planes or empty, self._layout, box, crops.box(i))
            for i, (box, planes) in enumerate(zip(self._boxes, self._planes, strict=True))
        )
        write_lossless(path, pictures, self._layout.lossless_name, crops.width, crops.height)
        return _where(crops, self._boxes)


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


def _blank(layout: Layout) -> Iterator[Array]:
    for _ in layout.components:
        yield np.zeros((0, 0), layout.dtype)


def _where(crops: Crops, boxes: Sequence[Box]) -> dict[str, Any]:
    return {
        "size": [crops.width, crops.height],
        "origins": [list(o) for o in crops.origins],
        "boxes": [[b.x0, b.y0, b.x1, b.y1] for b in boxes],
    }


def _crops(where: dict[str, Any]) -> Crops:
    width, height = where["size"]
    return Crops(width, height, tuple((x, y) for x, y in where["origins"]))
