"""What no frame shows, continued from the surroundings: the healing brush of a retouching program, found by itself.

Each gap is covered with the nearby piece of the picture whose border fits best (masked template matching), moved over
with its gradients and tied to the gap's own rim (Perez et al., "Poisson image editing", 2003). Where nothing nearby
fits, the rim is continued smoothly instead.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, Placed, bounds, take
from vremove_cli.masks.morphology import grow
from vremove_cli.media.pixel_format import Layout
from vremove_cli.motion.laplace_fill import membrane
from vremove_cli.plate.coarse import subsample_mask
from vremove_cli.plate.poisson import solve_poisson

_RIM = 6  # pixels round a gap that a piece must fit
_REACH = 1.5  # how far pieces come from, in the gap's longer sides
_MISFIT = 30.0  # 8-bit levels (root mean square on the rim) beyond which no piece is taken
_STRANGE = 0.7  # weight of the difference to the smooth continuation: a piece should not bring another object along
_NEARER = 0.02  # levels of misfit that a pixel of distance costs


@dataclass(frozen=True)
class _Piece:
    """A gap (bool, with the `_RIM` round it), and the step (x, y) to the piece that covers it; None: nothing fits."""

    gap: Placed
    step: tuple[int, int] | None


def heal(planes: tuple[Array, ...], layout: Layout, gray: Array, gaps: Array) -> tuple[Array, ...]:
    """A frame's components with `gaps` (H, W) bool filled; `gray` (H, W) uint8 is the frame for the matching.

    The samples given inside the gaps do not count.
    """
    sub_x, sub_y = max(c.sub_x for c in layout.components), max(c.sub_y for c in layout.components)
    pieces = [_piece(gray, gaps, gap, 1 << sub_x, 1 << sub_y) for gap in _parts(gaps)]
    out = list(planes)
    for n, part in enumerate(layout.components):
        if gaps.all():
            out[n] = np.full_like(planes[n], (layout.peak + 1) // 2)
            continue
        plane = planes[n].astype(np.float32)
        for piece in pieces:
            _mend(plane, piece, part.sub_x, part.sub_y)
        out[n] = np.clip(np.rint(plane), 0, layout.peak).astype(layout.dtype)
    return tuple(out)


def _parts(gaps: Array) -> list[Placed]:
    """Gaps that touch, or nearly, are one."""
    near = cv2.dilate(gaps.astype(np.uint8), np.ones((2 * _RIM + 1,) * 2, np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    boxes = [Box(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in stats]
    return [Placed(boxes[k], gaps[boxes[k].slices] & (labels[boxes[k].slices] == k)) for k in range(1, count)]


def _piece(gray: Array, gaps: Array, gap: Placed, step_x: int, step_y: int) -> _Piece:
    height, width = gray.shape
    own = gap.box
    room = own.grow(int(_REACH * max(own.width, own.height))).clip(width, height)
    inner = gap.values.astype(np.float32)
    whole = grow(gap.values.astype(np.uint8), _RIM)
    rim = (whole > 0) & ~gaps[own.slices]
    if not rim.any() or room == own:
        return _Piece(gap, None)
    picture, template = gray[room.slices].astype(np.float32), gray[own.slices].astype(np.float32)
    misfit = cv2.matchTemplate(picture, template, cv2.TM_SQDIFF, mask=rim.astype(np.float32)) / rim.sum()
    blocked = cv2.matchTemplate(gaps[room.slices].astype(np.float32), whole.astype(np.float32), cv2.TM_CCORR) > 0.5
    rows, columns = np.indices(misfit.shape)
    dx, dy = columns + room.x0 - own.x0, rows + room.y0 - own.y0
    blocked |= (dx % step_x != 0) | (dy % step_y != 0)
    smooth = np.where(inner > 0, membrane(template[..., None], inner > 0)[..., 0], template)
    strange = cv2.matchTemplate(picture, smooth, cv2.TM_SQDIFF, mask=inner) / inner.sum()
    misfit, strange = np.sqrt(np.maximum(misfit, 0)), np.sqrt(np.maximum(strange, 0))
    cost = np.where(blocked, np.inf, misfit + _STRANGE * strange + _NEARER * np.hypot(dx, dy))
    best = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return _Piece(gap, (int(dx[best]), int(dy[best])) if cost[best] < np.inf and misfit[best] < _MISFIT else None)


def _mend(plane: Array, piece: _Piece, sub_x: int, sub_y: int) -> None:
    """Fill one gap of a component (h, w) float32, in place."""
    height, width = plane.shape
    room = piece.gap.box.align(1 << max(sub_x, sub_y))
    gap = Placed(room.scale(sub_x, sub_y), subsample_mask(piece.gap.on(room), sub_x, sub_y))
    tight = bounds(gap.values)
    box = Box(gap.box.x0 + tight.x0, gap.box.y0 + tight.y0, gap.box.x0 + tight.x1, gap.box.y0 + tight.y1)
    box = box.grow(4).clip(width, height)
    hole, start = gap.on(box), plane[box.slices].copy()
    start[hole] = membrane(start[..., None], hole)[..., 0][hole]
    flat = np.zeros_like(start)
    across, down = flat, flat
    if piece.step is not None:
        dx, dy = piece.step[0] >> sub_x, piece.step[1] >> sub_y
        source = take(plane, Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy))
        across = np.diff(source, axis=1, append=source[:, -1:])
        down = np.diff(source, axis=0, append=source[-1:])
    ones = np.ones_like(start)
    solved = solve_poisson(start[None], hole, across[None], down[None], ones, ones, flat)[0]
    plane[box.slices] = np.where(hole, solved, plane[box.slices])
