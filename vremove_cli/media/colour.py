"""Convert between a clip's own components and full-range R'G'B', by the clip's matrix, range and chroma siting.

RGB here is R'G'B' in the clip's own primaries and transfer curve, float32, nominally in [0, 1] and not clipped.

Y'CbCr follows ITU-T H.273, section 8.3: with luma weights Kr and Kb,
Y' = Kr R' + (1 - Kr - Kb) G' + Kb B', Cb = (B' - Y') / (2 (1 - Kb)) and Cr = (R' - Y') / (2 (1 - Kr)).
Limited range puts black at code 16, with 219 codes for luma and 224 for chroma, times 2**(bits - 8).
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.pixel_format import Layout

# MatrixCoefficients of ITU-T H.273, table 4.
IDENTITY, BT709, UNSPECIFIED, RESERVED, FCC, BT470BG, SMPTE170M, SMPTE240M, BT2020_NCL = 0, 1, 2, 3, 4, 5, 6, 7, 9
# Luma weights (Kr, Kb) of the same table. BT.601 is code 5 (625 lines) and 6 (525 lines).
_LUMA_WEIGHTS = {
    BT709: (0.2126, 0.0722),
    FCC: (0.30, 0.11),
    BT470BG: (0.299, 0.114),
    SMPTE170M: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020_NCL: (0.2627, 0.0593),
}
HD_LINES = 720  # from this height in pixels on, an untagged clip is taken for BT.709
LIMITED_RANGE, FULL_RANGE = 1, 2  # FFmpeg's AVColorRange
# Chroma upsampling is iterated this often; at most 1/16 of the finest chroma detail then remains unexplained.
_CHROMA_CORRECTIONS = 3


@dataclass(frozen=True)
class Colour:
    """Colour tags of a clip.

    Attributes:
        primaries: ColourPrimaries of ITU-T H.273, table 2.
        transfer: TransferCharacteristics of H.273, table 3.
        matrix: MatrixCoefficients of H.273, table 4.
        range: 0 unspecified, 1 limited, 2 full (FFmpeg's AVColorRange).
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0

    def full(self, layout: Layout) -> bool:
        """Return whether samples of a layout use the full range of codes; RGB and gray always do."""
        return self.range == FULL_RANGE or "yuvj" in layout.name or layout.model != "yuv"

    def luma_weights(self, height: int) -> tuple[float, float]:
        """Return the luma weights (Kr, Kb).

        Args:
            height: Height of the stored frame in pixels. An untagged clip is BT.709 from `HD_LINES` on, BT.601 below.

        Raises:
            MediaError: The matrix is not a weighted sum of R', G' and B' (such as ICtCp).
        """
        if self.matrix in (IDENTITY, UNSPECIFIED, RESERVED):
            return _LUMA_WEIGHTS[BT709 if height >= HD_LINES else SMPTE170M]
        if self.matrix not in _LUMA_WEIGHTS:
            raise MediaError(
                f"colour matrix {self.matrix} is not supported", "convert the clip to BT.709 or BT.2020 first"
            )
        return _LUMA_WEIGHTS[self.matrix]

    def zero_levels(self, layout: Layout) -> tuple[float, ...]:
        """Return the sample value of black, or of no colour, by component."""
        black = float(_code_range(layout, self)[0])
        middle = float(1 << (layout.bits - 1))
        return (black, middle, middle) if layout.model == "yuv" else (black,) * len(layout.components)

    def centred(self, layout: Layout) -> bool:
        """Return whether chroma lies midway between luma columns (JPEG) and not on the left one (MPEG-2)."""
        return "yuvj" in layout.name


def to_rgb(parts: tuple[Array, ...], layout: Layout, colour: Colour, frame_height: int) -> Array:
    """Convert the components of a crop to R'G'B'.

    Args:
        parts: Components, each (h', w') in the layout's dtype. The crop's origin lies on a whole chroma sample.
        layout: Their layout.
        colour: The clip's colour tags.
        frame_height: Height of the stored frame in pixels, which decides an untagged matrix.

    Returns:
        R'G'B' (h, w, 3) float32, nominally in [0, 1], not clipped.
    """
    samples = [p.astype(np.float32) for p in parts]
    if layout.model == "gray":
        return np.repeat(samples[0][..., None] / layout.peak, 3, axis=2)
    if layout.model == "rgb":
        return np.stack(samples, axis=-1) / np.float32(layout.peak)
    black, luma_span, chroma_span = _code_range(layout, colour)
    centred = colour.centred(layout)
    height, width = samples[0].shape
    middle = np.float32(1 << (layout.bits - 1))
    kr, kb = colour.luma_weights(frame_height)
    # In place, because fresh memory takes longer than the arithmetic.
    y = samples[0]
    y -= black
    y /= luma_span
    blue, red = (_upsample(c - middle, layout.sub_x, layout.sub_y, centred)[:height, :width] for c in samples[1:])
    for part, weight in ((blue, kb), (red, kr)):
        np.divide(part, chroma_span, out=part)
        np.multiply(part, 2 * (1 - weight), out=part)
        np.add(part, y, out=part)
    green = y
    green -= kr * red
    green -= kb * blue
    green /= 1 - kr - kb
    return np.asarray(cv2.merge([red, green, blue]))


def from_rgb(rgb: Array, layout: Layout, colour: Colour, frame_height: int) -> tuple[Array, ...]:
    """Convert R'G'B' to a clip's components: the inverse of `to_rgb`, rounded and clipped to the codes.

    Args:
        rgb: R'G'B' (h, w, 3) float32, nominally in [0, 1].
        layout: Layout of the result.
        colour: The clip's colour tags.
        frame_height: Height of the stored frame in pixels, which decides an untagged matrix.

    Returns:
        Components, each (h', w') in the layout's dtype. Gray is BT.709 luma.
    """
    if layout.model == "gray":
        kr, kb = _LUMA_WEIGHTS[BT709]
        return (_quantise(rgb @ np.array([kr, 1 - kr - kb, kb], np.float32) * layout.peak, layout),)
    if layout.model == "rgb":
        return tuple(_quantise(rgb[..., c] * layout.peak, layout) for c in range(3))
    black, luma_span, chroma_span = _code_range(layout, colour)
    kr, kb = colour.luma_weights(frame_height)
    red, green, blue = cv2.split(rgb)
    y = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = ((blue - y) / (2 * (1 - kb)), (red - y) / (2 * (1 - kr)))
    middle = np.float32(1 << (layout.bits - 1))
    centred = colour.centred(layout)
    subsampled = (_downsample(c, layout.sub_x, layout.sub_y, centred) for c in chroma)
    return (
        _quantise(y * luma_span + black, layout),
        *(_quantise(c * chroma_span + middle, layout) for c in subsampled),
    )


def gray8(parts: tuple[Array, ...], layout: Layout) -> Array:
    """Return a gray picture for analysis: luma, or BT.601 luma of RGB.

    Args:
        parts: Components, each (h', w') in the layout's dtype.
        layout: Their layout.

    Returns:
        (h, w) uint8. The range is the clip's own: limited-range luma is not stretched.
    """
    if layout.model == "rgb":
        red, green, blue = (_to_8bit(p, layout) for p in parts)
        return cv2.cvtColor(cv2.merge([red, green, blue]), cv2.COLOR_RGB2GRAY)
    return _to_8bit(parts[0], layout)


def _to_8bit(plane: Array, layout: Layout) -> Array:
    if layout.bits == 8:
        return np.ascontiguousarray(plane)
    return (plane >> (layout.bits - 8)).astype(np.uint8)


def _code_range(layout: Layout, colour: Colour) -> tuple[np.float32, np.float32, np.float32]:
    """Return the code of black, the codes from black to white, and the codes from the least to the largest chroma."""
    if colour.full(layout):
        return np.float32(0), np.float32(layout.peak), np.float32(layout.peak)
    unit = 1 << (layout.bits - 8)
    return np.float32(16 * unit), np.float32(219 * unit), np.float32(224 * unit)  # H.273, section 8.3


def _quantise(values: Array, layout: Layout) -> Array:
    codes = np.rint(values)
    return np.clip(codes, 0, layout.peak, out=codes).astype(layout.dtype)


def _downsample(full: Array, sub_x: int, sub_y: int, centred: bool) -> Array:
    """Low-pass and decimate chroma by 2**sub_x and 2**sub_y.

    The kernel is [1 2 1]/4 where a chroma sample lies on a luma column, a box where it lies between samples.
    """
    out = full
    if sub_y:
        out = _box(out, 1 << sub_y)
    if sub_x == 1 and not centred:
        if out.shape[1] % 2:
            out = np.concatenate([out, out[:, -1:]], axis=1)
        even, odd = cv2.split(np.ascontiguousarray(out).reshape(len(out), -1, 2))
        total = 2 * even
        total[:, 1:] += odd[:, :-1]
        total[:, :1] += even[:, :1]
        total += odd
        out = total / 4
    elif sub_x:
        out = _box(out.T, 1 << sub_x).T
    return out


def _box(rows: Array, n: int) -> Array:
    """Return the means of groups of n rows; a short last group repeats its last row."""
    missing = -rows.shape[0] % n
    padded = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)]) if missing else rows
    total = padded[::n] + padded[1::n]
    for i in range(2, n):
        total += padded[i::n]
    return total / n


def _upsample(small: Array, sub_x: int, sub_y: int, centred: bool) -> Array:
    """Interpolate chroma so that `_downsample` of the result returns (nearly) the source.

    Linear interpolation is corrected by the residual of its downsampling (iterative back-projection), so that a crop
    that passes through RGB keeps its chroma.
    """
    if not (sub_x or sub_y):
        return small
    full = _linear(small, sub_x, sub_y, centred)
    for _ in range(_CHROMA_CORRECTIONS):
        full += _linear(small - _downsample(full, sub_x, sub_y, centred), sub_x, sub_y, centred)
    return full


def _linear(small: Array, sub_x: int, sub_y: int, centred: bool) -> Array:
    """Interpolate chroma linearly at its siting."""
    height, width = small.shape
    out = np.ascontiguousarray(small)
    if sub_y:
        out = cv2.resize(out, (width, height << sub_y), interpolation=cv2.INTER_LINEAR)
    if sub_x == 1 and not centred:
        between = out.copy()
        between[:, :-1] = (out[:, :-1] + out[:, 1:]) / 2
        return np.asarray(cv2.merge([out, between]).reshape(len(out), -1))
    if sub_x:
        out = cv2.resize(out, (width << sub_x, out.shape[0]), interpolation=cv2.INTER_LINEAR)
    return out
