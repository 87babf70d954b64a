"""Fill gaps that no frame shows from their surroundings.

`patch_completion` says for each pixel of a gap which pixel round it to copy. The samples are copied in the clip's own
depth, on each component's own grid. Small jumps at the seams and at the rim are spread by a weighted Poisson equation
(Perez et al., "Poisson image editing", 2003); large ones are edges of the picture and stay.
"""

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, label_components
from vremove_cli.compose import subsample_mask
from vremove_cli.geometry import Array, Box, Placed, bounds
from vremove_cli.media.pixel_format import Component, Layout
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.patch_completion import complete
from vremove_cli.plate.poisson import solve_poisson

_JOINED = 8  # pixels round each gap; gaps whose surroundings meet are completed together
_THIN = 2  # pixels; a gap that erosion by so many removes is continued smoothly, as a patch would show no better
_SEARCH_MARGIN = 1.5  # distance within which patches are searched, in the square root of the gap's area
_MOST_COMPLETED = 16  # gaps, the largest ones, that are completed from patches: bounds the time in a ragged hole
_MIN_SEARCH = 48  # pixels, least such distance
_SOLVED_MARGIN = 4  # pixels round a gap in which its Poisson equation is set up
# By eye, on drawn scenes and photographs: 25 smears the colours of neighbours, 5 leaves seams of unlike exposure.
_TOLERATED_JUMP = 12.0  # 8-bit levels; the weight of a seam with this jump is halved
_ANCHOR = np.float32(0.01)  # weight of the copied samples against their gradients: corrections reach about 10 pixels


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
    height, width = gaps.shape
    groups = _groups(gaps)
    filled = [plane.astype(np.float32) for plane in planes]
    for plane, component in zip(filled, layout.components, strict=True):
        for gap in groups:
            _continue_rim(plane, gap, component)
    colours = _colours(filled, layout, gray)
    for gap in [gap for gap in groups if not _thin(gap.values)][:_MOST_COMPLETED]:
        box = gap.box.grow(_margin(gap)).align(1 << max(layout.sub_x, layout.sub_y)).clip(width, height)
        offsets = complete(colours[box.slices], gap.on(box), gaps[box.slices])
        if offsets is None:
            continue
        for plane, component in zip(filled, layout.components, strict=True):
            part = plane[box.scale(component.sub_x, component.sub_y).slices]
            _fill(part, gap.on(box), offsets, component, _TOLERATED_JUMP * layout.peak / 255)
    return tuple(np.clip(np.rint(plane), 0, layout.peak).astype(layout.dtype) for plane in filled)


def seen_by_heal(gaps: Placed, layout: Layout, size: tuple[int, int]) -> Box:
    """Return the part of a frame that `heal` looks at.

    Args:
        gaps: The gaps, above 0.
        layout: The frame's pixel format.
        size: Its width and height.

    Returns:
        A box on whole chroma samples inside the frame. Healed alone, it becomes what it would be in the frame.
    """
    sub = max(layout.sub_x, layout.sub_y)
    reach = max(_margin(gaps), _SOLVED_MARGIN << sub) + (1 << sub)
    return gaps.box.grow(reach).align(1 << sub).clip(*size)


def _margin(gap: Placed) -> int:
    """Return the pixels round a gap in which its completion is searched."""
    return max(_MIN_SEARCH, int(_SEARCH_MARGIN * np.count_nonzero(gap.values) ** 0.5))


def _colours(planes: list[Array], layout: Layout, gray: Array) -> Array:
    """What patches are compared by: (H, W, C) float32 on the scale of 8 bits; gray first, then chroma or R, G, B."""
    height, width = gray.shape
    parts = [gray.astype(np.float32)]
    for k, component in enumerate(layout.components):
        if layout.model == "gray" or (layout.model == "yuv" and k == 0):
            continue
        samples = planes[k] * np.float32(2.0 ** (8 - layout.bits))
        parts.append(samples.repeat(1 << component.sub_y, axis=0).repeat(1 << component.sub_x, axis=1)[:height, :width])
    return np.stack(parts, axis=-1)


def _groups(gaps: Array) -> list[Placed]:
    """Gaps, each with its box, the largest first; gaps that lie close together are one."""
    labels, areas = label_components(dilate_square(gaps, _JOINED))
    out = []
    for k in 1 + np.argsort(-areas[1:], kind="stable"):
        gap = gaps & (labels == k)
        box = bounds(gap)
        out.append(Placed(box, gap[box.slices]))
    return out


def _thin(hole: Array) -> bool:
    """Whether no pixel of a hole (H, W) bool lies deep inside it."""
    return not (~dilate_square(~np.pad(hole, 1), _THIN)).any()


def _continue_rim(plane: Array, gap: Placed, component: Component) -> None:
    """Fill one gap of a component (H', W') float32 smoothly, in place."""
    sub_x, sub_y = component.sub_x, component.sub_y
    pixels = gap.box.grow(_SOLVED_MARGIN << max(sub_x, sub_y)).align(1 << max(sub_x, sub_y))
    box = pixels.scale(sub_x, sub_y).clip(plane.shape[1], plane.shape[0])
    hole = Placed(pixels.scale(sub_x, sub_y), subsample_mask(gap.on(pixels), sub_x, sub_y)).on(box)
    part = plane[box.slices]
    part[hole] = laplace_fill(part, hole)[hole]


def _fill(plane: Array, gap: Array, offsets: Array, component: Component, jump: float) -> None:
    """Fill one gap of a component from its surroundings, in place.

    Args:
        plane: (h', w') float32, the component round the gap, with a smooth continuation in the gap.
        gap: (h, w) bool, in pixels of the frame.
        offsets: (h, w, 2), the pixels to copy, see `complete`.
        component: The component.
        jump: Tolerated jump at a seam in codes.
    """
    sub_x, sub_y = component.sub_x, component.sub_y
    hole = subsample_mask(gap, sub_x, sub_y)
    near = bounds(hole).grow(_SOLVED_MARGIN).clip(plane.shape[1], plane.shape[0])
    part, inside = plane[near.slices], hole[near.slices]
    own = offsets[:: 1 << sub_y, :: 1 << sub_x][near.slices] / np.array([1 << sub_x, 1 << sub_y])
    copied, grad_x, grad_y = _copy(plane, near, own.astype(np.float32), inside)
    start = np.where(inside, copied, part)
    weight_x, weight_y = np.ones_like(start), np.ones_like(start)
    weight_x[:, :-1] = 1 / (1 + ((np.diff(start, axis=1) - grad_x[:, :-1]) / jump) ** 2)
    weight_y[:-1] = 1 / (1 + ((np.diff(start, axis=0) - grad_y[:-1]) / jump) ** 2)
    anchor = np.full_like(start, _ANCHOR)
    solved = solve_poisson(start[None], inside, grad_x[None], grad_y[None], weight_x, weight_y, anchor)[0]
    part[inside] = solved[inside]


def _copy(plane: Array, box: Box, offsets: Array, inside: Array) -> tuple[Array, Array, Array]:
    """Samples of a component moved over, and their gradients where they come from.

    Args:
        plane: (H, W) float32.
        box: The samples to replace, and some round them.
        offsets: (h, w, 2) float32, offsets (x, y) in samples; between samples the plane is interpolated.
        inside: (h, w) bool, the samples to replace.

    Returns:
        Samples (h, w), and gradients (h, w) to the right and downward. A gradient is the mean of what both ends bring
        along; an end that is not replaced brings none.
    """
    rows, columns = np.mgrid[box.y0 : box.y1, box.x0 : box.x1].astype(np.float32)
    x, y = columns + offsets[..., 0], rows + offsets[..., 1]

    def sample(dx: int, dy: int) -> Array:
        return cv2.remap(plane, x + dx, y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    copied, weight = sample(0, 0), inside.astype(np.float32)
    grad_x, grad_y = weight * (sample(1, 0) - copied), weight * (sample(0, 1) - copied)
    grad_x[:, :-1] += (weight * (copied - sample(-1, 0)))[:, 1:]
    grad_y[:-1] += (weight * (copied - sample(0, -1)))[1:]
    grad_x[:, :-1] /= np.maximum(weight[:, :-1] + weight[:, 1:], 1)
    grad_y[:-1] /= np.maximum(weight[:-1] + weight[1:], 1)
    return copied, grad_x, grad_y
