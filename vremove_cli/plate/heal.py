"""Fill gaps that no frame shows from their surroundings, as the healing brush of an image editor does.

Each gap is covered by the nearby patch of the picture whose border fits best (masked template matching), moved over
with its gradients and tied to the gap's own rim (Perez et al., "Poisson image editing", 2003). Where no nearby patch
fits, the rim is continued smoothly.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.compose import subsample_mask
from vremove_cli.geometry import Array, Box, Placed, bounds, take
from vremove_cli.masks.morphology import grow
from vremove_cli.media.pixel_format import Layout
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.poisson import solve_poisson

_RIM = 6  # pixels round a gap that a patch must fit
_SEARCH_MARGIN = 1.5  # distance within which patches are searched, in the gap's longer sides
_MAX_MISFIT = 30.0  # 8-bit levels (root mean square on the rim) from which no patch is taken
_STRANGENESS_WEIGHT = 0.7  # of the difference to the smooth continuation: a patch should not bring an object along
_DISTANCE_COST = 0.02  # 8-bit levels of misfit per pixel of distance
_SOLVED_MARGIN = 4  # pixels round a gap in which its Poisson equation is set up


@dataclass(frozen=True)
class _Match:
    """A gap and the patch that covers it.

    Attributes:
        gap: Pixels to fill, bool, on a box with `_RIM` pixels round the gap.
        offset: (x, y) in pixels from the gap to the patch; None if no patch fits.
    """

    gap: Placed
    offset: tuple[int, int] | None


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
    step_x, step_y = 1 << max(c.sub_x for c in layout.components), 1 << max(c.sub_y for c in layout.components)
    matches = [_Match(gap, _best_offset(gray, gaps, gap, step_x, step_y)) for gap in _connected_gaps(gaps)]
    out = []
    for plane, component in zip(planes, layout.components, strict=True):
        filled = plane.astype(np.float32)
        for match in matches:
            _fill_gap(filled, match, component.sub_x, component.sub_y)
        out.append(np.clip(np.rint(filled), 0, layout.peak).astype(layout.dtype))
    return tuple(out)


def _connected_gaps(gaps: Array) -> list[Placed]:
    """Gaps, each with its rim's box; gaps whose rims touch are one."""
    near = cv2.dilate(gaps.astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    boxes = [Box(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats]
    return [Placed(boxes[k], gaps[boxes[k].slices] & (labels[boxes[k].slices] == k)) for k in range(1, count)]


def _best_offset(gray: Array, gaps: Array, gap: Placed, step_x: int, step_y: int) -> tuple[int, int] | None:
    """Offset (x, y) from a gap to the patch that fits its rim best, in multiples of (step_x, step_y) pixels.

    A patch's cost is its misfit on the rim, plus its difference to the smooth continuation inside, plus its distance.
    """
    height, width = gray.shape
    own = gap.box
    search = own.grow(int(_SEARCH_MARGIN * max(own.width, own.height))).clip(width, height)
    inside = gap.values.astype(np.float32)
    whole = grow(gap.values.astype(np.uint8), _RIM)
    rim = (whole > 0) & ~gaps[own.slices]
    if not rim.any() or search == own:
        return None
    picture, template = gray[search.slices].astype(np.float32), gray[own.slices].astype(np.float32)
    smooth = np.where(inside > 0, laplace_fill(template, inside > 0), template)
    misfit = _match_error(picture, template, rim)
    strangeness = _match_error(picture, smooth, inside)
    blocked = cv2.matchTemplate(gaps[search.slices].astype(np.float32), whole.astype(np.float32), cv2.TM_CCORR) > 0.5
    dx = np.arange(misfit.shape[1])[None, :] + search.x0 - own.x0
    dy = np.arange(misfit.shape[0])[:, None] + search.y0 - own.y0
    blocked |= (dx % step_x != 0) | (dy % step_y != 0)
    cost = misfit + _STRANGENESS_WEIGHT * strangeness + _DISTANCE_COST * np.hypot(dx, dy)
    cost = np.where(blocked, np.inf, cost)
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    fits = cost[row, column] < np.inf and misfit[row, column] < _MAX_MISFIT
    return (int(dx[0, column]), int(dy[row, 0])) if fits else None


def _match_error(picture: Array, template: Array, mask: Array) -> Array:
    """Root mean square difference of a template to every patch of a picture, over a mask, in 8-bit levels."""
    square_sum = cv2.matchTemplate(picture, template, cv2.TM_SQDIFF, mask=mask.astype(np.float32))
    mean_square = square_sum / mask.sum()
    return np.asarray(np.sqrt(np.maximum(mean_square, 0)))


def _fill_gap(plane: Array, match: _Match, sub_x: int, sub_y: int) -> None:
    """Fill one gap of a component (H, W) float32 in place."""
    height, width = plane.shape
    aligned = match.gap.box.align(1 << max(sub_x, sub_y))
    gap = Placed(aligned.scale(sub_x, sub_y), subsample_mask(match.gap.on(aligned), sub_x, sub_y))
    box = bounds(gap.values).moved(gap.box.x0, gap.box.y0).grow(_SOLVED_MARGIN).clip(width, height)
    hole, start = gap.on(box), plane[box.slices].copy()
    start[hole] = laplace_fill(start, hole)[hole]
    zeros, ones = np.zeros_like(start), np.ones_like(start)
    grad_x, grad_y = zeros, zeros
    if match.offset is not None:
        source = take(plane, box.moved(match.offset[0] >> sub_x, match.offset[1] >> sub_y))
        grad_x = np.diff(source, axis=1, append=source[:, -1:])
        grad_y = np.diff(source, axis=0, append=source[-1:])
    solved = solve_poisson(start[None], hole, grad_x[None], grad_y[None], ones, ones, zeros)[0]
    plane[box.slices] = np.where(hole, solved, plane[box.slices])
