"""Fill gaps that no frame shows from their surroundings.

`patch_completion` says for each pixel of a gap which pixel round it to copy. The samples are copied in the clip's own
depth, on each component's own grid, with their gradients, and tied to the gap's rim (Perez et al., "Poisson image
editing", 2003), so that no seam shows.
"""

import cv2
import numpy as np

from vremove_cli.compose import subsample_mask
from vremove_cli.geometry import Array, Box, Placed, bounds
from vremove_cli.media.pixel_format import Layout
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.patch_completion import complete
from vremove_cli.plate.poisson import solve_poisson

_JOINED = 16  # pixels; gaps closer than that are completed together
_SEARCH_MARGIN = 1.0  # distance within which patches are searched, in the gap's longer sides
_MIN_SEARCH = 48  # pixels, least such distance
_SOLVED_MARGIN = 4  # pixels round a gap in which its Poisson equation is set up
_TOLERATED_JUMP = 12.0
_ANCHOR = 0.01  # weight of the copied samples against their gradients


def heal(planes: tuple[Array, ...], layout: Layout, gray: Array, gaps: Array) -> tuple[Array, ...]:
    """Fill the gaps of a frame.

    Args:
        planes: The frame's components as stored; samples inside the gaps do not count.
        layout: Their pixel format.
        gray: (H, W) uint8, the frame in gray, for the matching.
        gaps: (H, W) bool.

    Returns:
        The components with the gaps filled; middle gray if the gaps cover the frame.
    """
    if gaps.all():
        return tuple(np.full_like(plane, (layout.peak + 1) // 2) for plane in planes)
    colours = _colours(planes, layout, gray)
    filled = [plane.astype(np.float32) for plane in planes]
    for gap in _groups(gaps):
        height, width = gaps.shape
        margin = max(_MIN_SEARCH, int(_SEARCH_MARGIN * max(gap.box.width, gap.box.height)))
        box = gap.box.grow(margin).align(1 << max(layout.sub_x, layout.sub_y)).clip(width, height)
        offsets = complete(colours[box.slices], gaps[box.slices])
        inside = gap.on(box)
        for plane, component in zip(filled, layout.components, strict=True):
            _fill_gap(plane, box, inside, offsets, component.sub_x, component.sub_y, layout.peak)
    return tuple(
        np.clip(np.rint(values), 0, layout.peak).astype(layout.dtype) for values in filled
    )


def _colours(planes: tuple[Array, ...], layout: Layout, gray: Array) -> Array:
    """What patches are compared by: (H, W, C) float32 on the scale of 8 bits; luma first, then chroma or R, G, B."""
    height, width = gray.shape
    others = planes[1:] if layout.model == "yuv" else planes if layout.model == "rgb" else ()
    scale = np.float32(2.0 ** (8 - layout.bits))
    parts = [gray.astype(np.float32)]
    for plane, component in zip(others, layout.components[-len(others) :], strict=False):
        small = np.ascontiguousarray(plane, np.float32) * scale
        large = small.repeat(1 << component.sub_y, axis=0).repeat(1 << component.sub_x, axis=1)
        parts.append(large[:height, :width])
    return np.stack(parts, axis=-1)


def _groups(gaps: Array) -> list[Placed]:
    """Gaps, each with its box; gaps that lie close together are one."""
    near = cv2.dilate(gaps.astype(np.uint8), np.ones((_JOINED + 1,) * 2, np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    out = []
    for k in range(1, count):
        inside = gaps & (labels == k)
        box = bounds(inside)
        out.append(Placed(box, inside[box.slices]))
    return out


def _fill_gap(plane: Array, box: Box, gap: Array, offsets: Array | None, sub_x: int, sub_y: int, peak: int) -> None:
    """Fill one gap of a component (H, W) float32 in place.

    Args:
        plane: The component.
        box: Box of the search, in pixels of the frame.
        gap: (h, w) bool, the gap on `box`.
        offsets: (h, w, 2), see `complete`; None to continue the rim smoothly.
        sub_x: log2 of the component's horizontal subsampling.
        sub_y: log2 of the vertical one.
    """
    whole = box.scale(sub_x, sub_y)
    values = plane[whole.slices]
    hole = subsample_mask(gap, sub_x, sub_y)[: values.shape[0], : values.shape[1]]
    near = bounds(hole).grow(_SOLVED_MARGIN).clip(values.shape[1], values.shape[0])
    part, inside = values[near.slices], hole[near.slices]
    if offsets is None:
        part[inside] = laplace_fill(part, inside)[inside]
        return
    own = offsets[:: 1 << sub_y, :: 1 << sub_x] / np.array([1 << sub_x, 1 << sub_y], np.float32)
    own = own[: values.shape[0], : values.shape[1]][near.slices].astype(np.float32)
    rows, columns = np.mgrid[near.y0 : near.y1, near.x0 : near.x1].astype(np.float32)
    x, y = columns + own[..., 0], rows + own[..., 1]

    def sample(dx: int, dy: int) -> Array:
        return cv2.remap(values, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    copied = sample(0, 0)
    right, left, below, above = sample(1, 0) - copied, copied - sample(-1, 0), sample(0, 1) - copied, copied - sample(0, -1)
    grad_x, grad_y = right, below
    grad_x[:, :-1] = (right[:, :-1] + left[:, 1:]) / 2
    grad_y[:-1] = (below[:-1] + above[1:]) / 2
    start = np.where(inside, copied, part)
    tolerated = _TOLERATED_JUMP * peak / 255
    weight_x, weight_y = np.ones_like(start), np.ones_like(start)
    weight_x[:, :-1] = 1 / (1 + ((np.diff(start, axis=1) - grad_x[:, :-1]) / tolerated) ** 2)
    weight_y[:-1] = 1 / (1 + ((np.diff(start, axis=0) - grad_y[:-1]) / tolerated) ** 2)
    anchor = np.full_like(start, _ANCHOR)
    solved = solve_poisson(start[None], inside, grad_x[None], grad_y[None], weight_x, weight_y, anchor)[0]
    part[inside] = solved[inside]
