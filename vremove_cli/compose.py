"""Fill and matte into the source's own planes. A sample whose matte is 0 is not written at all."""

import numpy as np

from vremove_cli.geometry import Array, Box, Placed, put, take
from vremove_cli.media.colour import Colour, from_rgb
from vremove_cli.media.pixel_format import Layout


def blend(planes: tuple[Array, ...], layout: Layout, box: Box, fill: tuple[Array, ...], matte: Array) -> None:
    """Blend `fill` (components (h', w') of `box`, in the layout's dtype) into writable `planes`, in place.

    `matte` (h, w) uint8 weighs each pixel; a chroma sample takes the mean of the pixels it stands for, so it is left
    alone exactly where all of them are.
    """
    for plane, part, values in zip(planes, layout.components, fill, strict=True):
        weight = _shrink(matte, part.sub_x, part.sub_y)
        if not weight.any():
            continue
        at = box.scale(part.sub_x, part.sub_y)
        old = take(plane, at).astype(np.float32)
        mixed = np.rint(old + (values.astype(np.float32) - old) * weight)
        put(plane, at, np.where(weight > 0, mixed, old).astype(plane.dtype))


def _shrink(matte: Array, sub_x: int, sub_y: int) -> Array:
    """Weights in [0, 1] on a subsampled grid."""
    weight = matte.astype(np.float32) / 255
    height, width = weight.shape
    padded = np.pad(weight, ((0, -height % (1 << sub_y)), (0, -width % (1 << sub_x))), mode="edge")
    rows, columns = padded.shape[0] >> sub_y, padded.shape[1] >> sub_x
    return padded.reshape(rows, 1 << sub_y, columns, 1 << sub_x).mean(axis=(1, 3))


def paint(
    planes: tuple[Array, ...], layout: Layout, tags: Colour, frame_height: int, rgb: Array, where: Array
) -> tuple[Array, ...]:
    """Components of a crop with the pixels `where` (h, w) bool replaced by R'G'B' (h, w, 3) float32."""
    painted = from_rgb(rgb, layout, tags, frame_height)
    out = []
    for old, new, part in zip(planes, painted, layout.components, strict=True):
        inside = _shrink(where.astype(np.uint8) * 255, part.sub_x, part.sub_y) > 0
        out.append(np.where(inside, new[: old.shape[0], : old.shape[1]], old))
    return tuple(out)


def place(patch: tuple[Array, ...], layout: Layout, had: Box, gets: Box) -> tuple[Array, ...]:
    """Components of a patch on another box, zero where it does not reach."""
    return tuple(
        Placed(had.scale(c.sub_x, c.sub_y), v).on(gets.scale(c.sub_x, c.sub_y))
        for v, c in zip(patch, layout.components, strict=True)
    )
