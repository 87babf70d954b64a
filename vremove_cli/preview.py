"""Draw pictures for checking by eye: a sheet of before, mask and after, and a frame under a grid of coordinates.

Pictures are displayed R'G'B', (H, W, 3) uint8. Masks are (H, W) uint8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vremove_cli.geometry import Array

Rgb = tuple[int, int, int]

CELL = 426  # most pixels of a picture's width on a sheet
# All lengths are in pixels, all colours are 8-bit R'G'B'.
_OUTLINE, _OUTLINE_EDGE = (255, 0, 160), (255, 255, 255)
_OUTLINE_WIDTH = 1.5  # at the size of a cell
_DOUBT, _EFFECT = (255, 40, 20), (20, 90, 255)
_BACKGROUND, _HEADING, _LABEL = (24, 24, 24), (230, 230, 230), (170, 170, 170)
_GRID: Rgb = (255, 255, 0)
_GRID_OPACITY, _GRID_OPACITY_BETWEEN = 150, 55  # of 255, for labelled lines and for those between
_MARGIN = 6  # between pictures
_LINE_HEIGHT = 22  # of a line of text
_LABEL_INK: dict[str, Any] = {"fill": (*_GRID, 255), "stroke_width": 2, "stroke_fill": (0, 0, 0, 255)}
_LABEL_SPACING = 36  # least distance of two labels
_MAX_LABELS = 20  # along the longer side
_STEPS = (10, 20, 50, 100, 200, 500, 1000)  # distances of labelled lines


@dataclass(frozen=True)
class Row:
    """One frame of a sheet.

    Attributes:
        label: Text above the pictures.
        pictures: Pictures (H, W, 3) uint8 from left to right, one for each column.
    """

    label: str
    pictures: tuple[Array, ...]


def outlined(rgb: Array, mask: Array) -> Array:
    """Draw a mask's outline into a picture, wide enough to be seen on a sheet.

    Args:
        rgb: Picture (H, W, 3) uint8.
        mask: Mask (H, W) uint8; 128 and more is inside.

    Returns:
        A new picture.
    """
    out = np.array(rgb, order="C")
    contours, _ = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(rgb.shape[1] / CELL * _OUTLINE_WIDTH))
    cv2.drawContours(out, contours, -1, _OUTLINE_EDGE, width + 2)
    cv2.drawContours(out, contours, -1, _OUTLINE, width)
    return out


def tinted(rgb: Array, doubtful: Array, effect: Array) -> Array:
    """Tint doubtful pixels red and effects (shadows and reflections) blue, half transparent.

    Args:
        rgb: Picture (H, W, 3) uint8.
        doubtful: Mask (H, W); non-zero is tinted. It wins where both masks are set.
        effect: Mask (H, W); non-zero is tinted.

    Returns:
        A new picture.
    """
    out = rgb.astype(np.float32)
    for where, colour in ((effect, _EFFECT), (doubtful, _DOUBT)):
        out[where > 0] = out[where > 0] * 0.5 + np.array(colour, np.float32) * 0.5
    return np.asarray(out.astype(np.uint8))


def sheet(rows: Sequence[Row], headings: Sequence[str], cell: int = CELL) -> Array:
    """Draw a table of pictures, scaled down to a common width.

    Args:
        rows: Rows from top to bottom, all pictures of one size.
        headings: One heading for each column.
        cell: Most pixels of a picture's width.

    Returns:
        Picture (H, W, 3) uint8.
    """
    height, width = rows[0].pictures[0].shape[:2]
    scale = min(1.0, cell / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    across, down = size[0] + _MARGIN, size[1] + _MARGIN + _LINE_HEIGHT
    total = (across * len(headings) + _MARGIN, down * len(rows) + _LINE_HEIGHT + _MARGIN)
    canvas = Image.new("RGB", total, _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for c, heading in enumerate(headings):
        draw.text((_MARGIN + c * across, 4), heading, font=font, fill=_HEADING)
    for r, row in enumerate(rows):
        top = _LINE_HEIGHT + _MARGIN + r * down
        draw.text((_MARGIN, top), row.label, font=font, fill=_LABEL)
        for c, picture in enumerate(row.pictures):
            small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
            canvas.paste(Image.fromarray(small), (_MARGIN + c * across, top + _LINE_HEIGHT))
    return np.asarray(canvas)


def with_grid(rgb: Array, max_width: int | None = None) -> Array:
    """Draw a grid of pixel coordinates over a picture, with labels along its upper and left edge.

    Nothing is added around the picture: where an image viewer's cursor is, there the pixel is.

    Args:
        rgb: Picture (H, W, 3) uint8.
        max_width: Pixels to which a wider picture is scaled down; the labels stay those of the full size.

    Returns:
        Picture (H', W', 3) uint8 of the size of the scaled one.
    """
    longest = max(rgb.shape[:2])
    scale = min(1.0, (max_width or rgb.shape[1]) / rgb.shape[1])
    if scale < 1:
        rgb = cv2.resize(np.ascontiguousarray(rgb), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = rgb.shape[:2]
    step = _grid_step(longest, round(longest * scale))
    canvas = Image.fromarray(np.ascontiguousarray(rgb))
    lines = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(lines)
    font = ImageFont.load_default(12)
    for at in range(0, ceil(width / scale), step // 2):
        draw.line([(at * scale, 0), (at * scale, height)], fill=_line_colour(at % step == 0))
        if at % step == 0:
            draw.text((at * scale + 3, 2), str(at), font=font, **_LABEL_INK)
    for at in range(0, ceil(height / scale), step // 2):
        draw.line([(0, at * scale), (width, at * scale)], fill=_line_colour(at % step == 0))
        if at % step == 0 and at:
            draw.text((3, at * scale + 2), str(at), font=font, **_LABEL_INK)
    return np.asarray(Image.alpha_composite(canvas.convert("RGBA"), lines).convert("RGB"))


def _line_colour(labelled: bool) -> tuple[int, int, int, int]:
    return (*_GRID, _GRID_OPACITY if labelled else _GRID_OPACITY_BETWEEN)


def _grid_step(longest: int, drawn: int) -> int:
    """Return the pixels between labelled lines: a round number whose labels do not overlap.

    Args:
        longest: Longer side of the picture at full size.
        drawn: Pixels in which that side is drawn.
    """
    most = min(_MAX_LABELS, max(2, drawn // _LABEL_SPACING))
    return next((step for step in _STEPS if longest / step <= most), _STEPS[-1])
