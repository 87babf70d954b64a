"""Between a clip's own components and full-range RGB, in numpy: matrix, range and chroma siting exactly as tagged.

RGB here is R'G'B' in the clip's own primaries and transfer curve, float32, nominally in [0, 1] and not clipped.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.pixel_format import Layout

# Luma weights (Kr, Kb) by the matrix codes of ITU-T H.273, table 4.
_LUMA = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
         9: (0.2627, 0.0593)}  # fmt: skip
UNSPECIFIED = 2
FULL_RANGE = 2


@dataclass(frozen=True)
class Colour:
    """Colour tags as H.273 codes: primaries, transfer, matrix; `range` 1 is limited, 2 is full, 0 unspecified."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0

    def full(self, layout: Layout) -> bool:
        return self.range == FULL_RANGE or "yuvj" in layout.name or layout.model != "yuv"

    def luma_weights(self, height: int) -> tuple[float, float]:
        """(Kr, Kb); where the clip does not say, BT.709 from 720 lines up and BT.601 below."""
        if self.matrix in (0, UNSPECIFIED, 3):
            return _LUMA[1] if height >= 720 else _LUMA[6]
        if self.matrix not in _LUMA:
            raise MediaError(
                f"colour matrix {self.matrix} is not supported", "convert the clip to BT.709 or BT.2020 first"
            )
        return _LUMA[self.matrix]

    def centred(self, layout: Layout) -> bool:
        """Whether chroma lies midway between luma columns (JPEG) rather than on the left one (MPEG)."""
        return "yuvj" in layout.name


def to_rgb(parts: tuple[Array, ...], layout: Layout, colour: Colour, frame_height: int) -> Array:
    """RGB (h, w, 3) float32 from the components of a crop, each (h', w') in the layout's dtype.

    The crop's origin must lie on a whole chroma sample. `frame_height` decides an untagged matrix.
    """
    samples = [p.astype(np.float32) for p in parts]
    if layout.model == "gray":
        return np.repeat(samples[0][..., None] / layout.peak, 3, axis=2)
    if layout.model == "rgb":
        return np.stack(samples, axis=-1) / np.float32(layout.peak)
    low, span, chroma_span = _levels(layout, colour)
    centred = colour.centred(layout)
    height, width = samples[0].shape
    y = (samples[0] - low) / span
    middle = np.float32(1 << (layout.bits - 1))
    cb, cr = (
        _upsample(c - middle, layout.sub_x, layout.sub_y, centred)[:height, :width] / chroma_span for c in samples[1:]
    )
    kr, kb = colour.luma_weights(frame_height)
    red = y + 2 * (1 - kr) * cr
    blue = y + 2 * (1 - kb) * cb
    return np.stack([red, (y - kr * red - kb * blue) / (1 - kr - kb), blue], axis=-1).astype(np.float32)


def from_rgb(rgb: Array, layout: Layout, colour: Colour, frame_height: int) -> tuple[Array, ...]:
    """Components (h', w') in the layout's dtype from RGB (h, w, 3): the inverse of `to_rgb`, rounded and clipped."""
    if layout.model == "gray":
        return (_quantise(rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32) * layout.peak, layout),)
    if layout.model == "rgb":
        return tuple(_quantise(rgb[..., c] * layout.peak, layout) for c in range(3))
    low, span, chroma_span = _levels(layout, colour)
    kr, kb = colour.luma_weights(frame_height)
    y = kr * rgb[..., 0] + (1 - kr - kb) * rgb[..., 1] + kb * rgb[..., 2]
    chroma = ((rgb[..., 2] - y) / (2 * (1 - kb)), (rgb[..., 0] - y) / (2 * (1 - kr)))
    middle = np.float32(1 << (layout.bits - 1))
    centred = colour.centred(layout)
    smaller = (_downsample(c, layout.sub_x, layout.sub_y, centred) for c in chroma)
    return (_quantise(y * span + low, layout), *(_quantise(c * chroma_span + middle, layout) for c in smaller))


def gray8(parts: tuple[Array, ...], layout: Layout) -> Array:
    """An 8-bit luma-like plane (H, W) for analysis."""
    if layout.model == "rgb":
        red, green, blue = (_to_8bit(p, layout) for p in parts)
        return cv2.cvtColor(cv2.merge([red, green, blue]), cv2.COLOR_RGB2GRAY)
    return _to_8bit(parts[0], layout)


def _to_8bit(plane: Array, layout: Layout) -> Array:
    if layout.bits == 8:
        return np.ascontiguousarray(plane)
    return (plane >> (layout.bits - 8)).astype(np.uint8)


def _levels(layout: Layout, colour: Colour) -> tuple[np.float32, np.float32, np.float32]:
    """Code value of black, luma span and chroma span."""
    if colour.full(layout):
        return np.float32(0), np.float32(layout.peak), np.float32(layout.peak)
    unit = 1 << (layout.bits - 8)
    return np.float32(16 * unit), np.float32(219 * unit), np.float32(224 * unit)


def _quantise(values: Array, layout: Layout) -> Array:
    return np.clip(np.rint(values), 0, layout.peak).astype(layout.dtype)


def _downsample(full: Array, sub_x: int, sub_y: int, centred: bool) -> Array:
    """Low-pass and decimate: [1 2 1]/4 where chroma sits on a luma column, a box where it sits between samples."""
    out = full
    if sub_y:
        out = _box(out, 1 << sub_y)
    if sub_x == 1 and not centred:
        padded = cv2.copyMakeBorder(np.ascontiguousarray(out), 0, 0, 1, 1 + out.shape[1] % 2, cv2.BORDER_REPLICATE)
        out = (padded[:, :-2:2] + 2 * padded[:, 1:-1:2] + padded[:, 2::2]) / 4
    elif sub_x:
        out = _box(out.T, 1 << sub_x).T
    return out


def _box(rows: Array, n: int) -> Array:
    """Mean of n rows at a time; a last group that is short repeats its last row."""
    missing = -rows.shape[0] % n
    padded = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
    return padded.reshape(-1, n, rows.shape[1]).mean(axis=1)


def _upsample(small: Array, sub_x: int, sub_y: int, centred: bool) -> Array:
    """Linear interpolation at the right siting, then corrected until `_downsample` gives back what it was made from.

    Three corrections leave at most 1/16 of the finest chroma detail unexplained, so a fill that passes through RGB
    keeps the source's chroma.
    """
    if not (sub_x or sub_y):
        return small
    full = _linear(small, sub_x, sub_y, centred)
    for _ in range(3):
        full = full + _linear(small - _downsample(full, sub_x, sub_y, centred), sub_x, sub_y, centred)
    return full


def _linear(small: Array, sub_x: int, sub_y: int, centred: bool) -> Array:
    height, width = small.shape
    out = np.ascontiguousarray(small)
    if sub_y:
        out = cv2.resize(out, (width, height << sub_y), interpolation=cv2.INTER_LINEAR)
    if sub_x == 1 and not centred:
        wide = np.repeat(out, 2, axis=1)
        wide[:, 1:-1:2] = (out[:, :-1] + out[:, 1:]) / 2
        return wide
    if sub_x:
        out = cv2.resize(out, (width << sub_x, out.shape[0]), interpolation=cv2.INTER_LINEAR)
    return out
