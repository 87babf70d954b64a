"""Composite fills into a frame's own planes through a matte, on the sampling grid of each component.

A sample whose matte is 0 is never written, so it keeps its value bit by bit.
"""

import numpy as np

from vremove_cli.geometry import Array, Box, Placed, put, take
from vremove_cli.media.colour import Colour, from_rgb
from vremove_cli.media.pixel_format import Layout


def blend(planes: tuple[Array, ...], layout: Layout, box: Box, fill: tuple[Array, ...], matte: Array) -> None:
    """Blend a fill into a frame's planes, in place: plane + (fill - plane) * matte, rounded to nearest even.

    Args:
        planes: Writable components (H', W') of the frame, in the layout's dtype.
        layout: Their layout.
        box: Box of the fill in stored pixels. Its origin lies on a whole chroma sample; it may reach over the frame.
        fill: Components (h', w') of the box, in the layout's dtype.
        matte: Weights (h, w) uint8, 255 for the fill alone. A chroma sample takes the mean of its pixels' weights.
    """
    for plane, component, values in zip(planes, layout.components, fill, strict=True):
        weight = _subsample_matte(matte, component.sub_x, component.sub_y)
        if not weight.any():
            continue
        plane_box = box.scale(component.sub_x, component.sub_y)
        old = take(plane, plane_box).astype(np.float32)
        mixed = np.rint(old + (values.astype(np.float32) - old) * weight)
        put(plane, plane_box, np.where(weight > 0, mixed, old).astype(plane.dtype))


def subsample_mask(mask: Array, sub_x: int, sub_y: int) -> Array:
    """Reduce a mask to a subsampled grid: a sample is set if any of its pixels is.

    Args:
        mask: Mask (h, w), any dtype.
        sub_x: log2 of the horizontal subsampling.
        sub_y: log2 of the vertical subsampling.

    Returns:
        Mask (h', w') bool.
    """
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % (1 << sub_y)), (0, -width % (1 << sub_x))))
    rows, columns = padded.shape[0] >> sub_y, padded.shape[1] >> sub_x
    return np.asarray(padded.reshape(rows, 1 << sub_y, columns, 1 << sub_x).any(axis=(1, 3)))


def paint(
    planes: tuple[Array, ...], layout: Layout, tags: Colour, frame_height: int, rgb: Array, where: Array
) -> tuple[Array, ...]:
    """Replace pixels of a crop by R'G'B'.

    Args:
        planes: Components (h', w') of the crop, in the layout's dtype.
        layout: Their layout.
        tags: The clip's colour tags.
        frame_height: Height of the stored frame in pixels, which decides an untagged matrix.
        rgb: R'G'B' (h, w, 3) float32, nominally in [0, 1].
        where: Pixels to replace, (h, w) bool.

    Returns:
        New components. A chroma sample is replaced if any of its pixels is.
    """
    painted = from_rgb(rgb, layout, tags, frame_height)
    out = []
    for old, new, component in zip(planes, painted, layout.components, strict=True):
        inside = _subsample_matte(where.astype(np.uint8) * 255, component.sub_x, component.sub_y) > 0
        out.append(np.where(inside, new[: old.shape[0], : old.shape[1]], old))
    return tuple(out)


def place(patch: tuple[Array, ...], layout: Layout, source: Box, target: Box) -> tuple[Array, ...]:
    """Move a patch to another box.

    Args:
        patch: Components (h', w') of the source box.
        layout: Their layout.
        source: Box of the patch in stored pixels.
        target: Box of the result. Both origins lie on whole chroma samples.

    Returns:
        Components of the target box, zero outside the source box.
    """
    return tuple(
        Placed(source.scale(c.sub_x, c.sub_y), v).on(target.scale(c.sub_x, c.sub_y))
        for v, c in zip(patch, layout.components, strict=True)
    )


def _subsample_matte(matte: Array, sub_x: int, sub_y: int) -> Array:
    """Average a matte (h, w) uint8 over each sample of a subsampled grid: (h', w') float32 in [0, 1]."""
    weight = matte.astype(np.float32) / 255
    height, width = weight.shape
    padded = np.pad(weight, ((0, -height % (1 << sub_y)), (0, -width % (1 << sub_x))), mode="edge")
    rows, columns = padded.shape[0] >> sub_y, padded.shape[1] >> sub_x
    return padded.reshape(rows, 1 << sub_y, columns, 1 << sub_x).mean(axis=(1, 3))
