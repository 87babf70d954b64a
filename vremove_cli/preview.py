"""Pictures that let a person check: a sheet of before, mask and after; a frame with a grid to read coordinates off."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vremove_cli.geometry import Array

CELL = 426  # widest a picture gets on a sheet
_OUTLINE = (255, 0, 160)
_DOUBT, _EFFECT = (255, 40, 20), (20, 90, 255)
_LABEL = 22


@dataclass(frozen=True)
class Row:
    """One frame of a sheet: its label and pictures (H, W, 3) uint8 from left to right."""

    label: str
    pictures: tuple[Array, ...]


def outlined(rgb: Array, mask: Array) -> Array:
    """A picture (H, W, 3) uint8 with a mask's (H, W) outline drawn in, thick enough to survive being made smaller."""
    out = np.array(rgb, order="C")
    contours, _ = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    thick = max(1, round(rgb.shape[1] / CELL * 1.5))
    cv2.drawContours(out, contours, -1, (255, 255, 255), thick + 2)
    cv2.drawContours(out, contours, -1, _OUTLINE, thick)
    return out


def tinted(rgb: Array, doubtful: Array, effect: Array) -> Array:
    """A picture (H, W, 3) uint8 with doubtful pixels (H, W) in red and effects (H, W) in blue, half transparent."""
    out = rgb.astype(np.float32)
    for where, colour in ((effect, _EFFECT), (doubtful, _DOUBT)):
        out[where > 0] = out[where > 0] * 0.5 + np.array(colour, np.float32) * 0.5
    return np.asarray(out.astype(np.uint8))


def sheet(rows: Sequence[Row], headings: Sequence[str], cell: int = CELL) -> Array:
    """All rows under each other, (H, W, 3) uint8, each column with its heading and at most `cell` pixels wide."""
    height, width = rows[0].pictures[0].shape[:2]
    scale = min(1.0, cell / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    across, down = size[0] + 6, size[1] + 6 + _LABEL
    canvas = Image.new("RGB", (across * len(headings) + 6, down * len(rows) + _LABEL + 6), (24, 24, 24))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(14)
    for c, heading in enumerate(headings):
        draw.text((6 + c * across, 4), heading, font=font, fill=(230, 230, 230))
    for r, row in enumerate(rows):
        top = _LABEL + 6 + r * down
        draw.text((6, top), row.label, font=font, fill=(170, 170, 170))
        for c, picture in enumerate(row.pictures):
            small = cv2.resize(np.ascontiguousarray(picture), size, interpolation=cv2.INTER_AREA)
            canvas.paste(Image.fromarray(small), (6 + c * across, top + _LABEL))
    return np.asarray(canvas)


def with_grid(rgb: Array, most: int | None = None) -> Array:
    """A picture (H, W, 3) uint8 with a labelled grid of its pixel coordinates over it and rulers outside it.

    It is made smaller to be at most `most` pixels wide; the labels stay those of the whole picture.
    """
    whole = max(rgb.shape[:2])
    scale = min(1.0, (most or rgb.shape[1]) / rgb.shape[1])
    if scale < 1:
        rgb = cv2.resize(np.ascontiguousarray(rgb), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = rgb.shape[:2]
    step = _step(whole, round(whole * scale))
    margin = 40
    canvas = Image.new("RGB", (width + margin, height + _LABEL), (24, 24, 24))
    canvas.paste(Image.fromarray(np.ascontiguousarray(rgb)), (margin, _LABEL))
    lines = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(lines)
    font = ImageFont.load_default(12)
    for at in range(0, ceil(width / scale), step // 2):
        x, main = margin + at * scale, at % step == 0
        draw.line([(x, _LABEL), (x, _LABEL + height)], fill=(255, 255, 0, 150 if main else 55))
        if main:
            draw.text((x, 3), str(at), font=font, fill=(255, 255, 0, 255), anchor="ma")
    for at in range(0, ceil(height / scale), step // 2):
        y, main = _LABEL + at * scale, at % step == 0
        draw.line([(margin, y), (margin + width, y)], fill=(255, 255, 0, 150 if main else 55))
        if main:
            draw.text((margin - 4, y), str(at), font=font, fill=(255, 255, 0, 255), anchor="rm")
    return np.asarray(Image.alpha_composite(canvas.convert("RGBA"), lines).convert("RGB"))


def _step(longest: int, drawn: int) -> int:
    """Pixels between labelled lines: a round number that gives at most 20 of them, no closer than a label."""
    most = min(20, max(2, drawn // 36))
    for step in (10, 20, 50, 100, 200, 500):
        if longest / step <= most:
            return step
    return 1000
