"""Where the samples of a pixel format lie, so that planes can be read and edited in place.

A format is edited as a few `Component`s: Y, Cb, Cr or R, G, B or gray. Alpha is not among them, so nothing ever
writes it. Formats without such a layout (nv12, packed 4:2:2, palettes) are first brought, without loss, to a sibling.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import av
import numpy as np

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array

# Formats whose samples can be rearranged into a planar or byte-wise sibling without changing one of them.
SIBLINGS = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p", "nv42": "yuv444p",
    "p010le": "yuv420p10le", "p012le": "yuv420p12le", "p016le": "yuv420p16le", "p210le": "yuv422p10le",
    "p212le": "yuv422p12le", "p216le": "yuv422p16le", "p410le": "yuv444p10le", "p412le": "yuv444p12le",
    "p416le": "yuv444p16le", "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "y210le": "yuv422p10le", "y212le": "yuv422p12le", "pal8": "bgra", "monob": "gray", "monow": "gray",
    "rgb8": "rgb24", "bgr8": "rgb24", "rgb4_byte": "rgb24", "bgr4_byte": "rgb24", "rgb565le": "rgb24",
    "rgb555le": "rgb24", "x2rgb10le": "gbrp10le", "x2bgr10le": "gbrp10le",
}  # fmt: skip

# Packed formats: order of the channels in a pixel ("x" is padding).
_PACKED = {
    "rgb24": "rgb", "bgr24": "bgr", "rgba": "rgba", "bgra": "bgra", "argb": "argb", "abgr": "abgr",
    "rgb0": "rgbx", "bgr0": "bgrx", "0rgb": "xrgb", "0bgr": "xbgr", "ya8": "ya",
    "rgb48le": "rgb", "rgb48be": "rgb", "bgr48le": "bgr", "bgr48be": "bgr", "rgba64le": "rgba", "rgba64be": "rgba",
    "bgra64le": "bgra", "bgra64be": "bgra", "ya16le": "ya", "ya16be": "ya",
}  # fmt: skip


@dataclass(frozen=True)
class Component:
    """One colour component: its plane, its first sample and step within a row, and log2 subsampling."""

    plane: int
    offset: int
    step: int
    sub_x: int = 0
    sub_y: int = 0


@dataclass(frozen=True)
class Layout:
    """A pixel format as editable components. `bits` is the depth of a sample, `dtype` its numpy type."""

    name: str
    model: Literal["yuv", "rgb", "gray"]
    bits: int
    dtype: str
    components: tuple[Component, ...]
    alpha: bool
    lossless_name: str

    @property
    def peak(self) -> int:
        return (1 << self.bits) - 1

    @property
    def sub_x(self) -> int:
        return self.components[-1].sub_x

    @property
    def sub_y(self) -> int:
        return self.components[-1].sub_y

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the components that share a sampling grid: luma apart from subsampled chroma."""
        if self.sub_x or self.sub_y:
            return (0,), (1, 2)
        return (tuple(range(len(self.components))),)

    @property
    def bytes_per_pixel(self) -> float:
        """Bytes per pixel of the editable components."""
        size = np.dtype(self.dtype).itemsize
        return sum(size / (1 << (c.sub_x + c.sub_y)) for c in self.components)


@cache
def layout_of(name: str) -> Layout:
    """Layout of a pixel format; raises `MediaError` for a format that cannot be edited sample by sample."""
    fmt = av.VideoFormat(name, 64, 64)
    colour = [c for c in fmt.components if not c.is_alpha]
    alpha = len(colour) < len(fmt.components)
    bits = colour[0].bits if colour else 0
    if "f16" in name or "f32" in name or not colour:
        raise MediaError(
            f"pixel format {name} holds linear or floating-point light",
            "convert the clip to 16-bit PNG, or to 10-bit video, in the grading you want, then erase",
        )
    if bits < 8 or fmt.is_bayer or name.startswith("xyz") or len({c.bits for c in colour}) > 1:
        raise MediaError(f"pixel format {name} is not supported", "convert the clip to 10-bit yuv422p or to PNG first")
    dtype = "u1" if bits == 8 else (">u2" if fmt.is_big_endian else "<u2")
    model: Literal["yuv", "rgb", "gray"] = "rgb" if fmt.is_rgb else ("gray" if len(colour) == 1 else "yuv")
    if name in _PACKED:
        order = _PACKED[name]
        wanted = "rgb" if model == "rgb" else "y"
        parts = tuple(Component(0, order.index(c), len(order)) for c in wanted)
    elif len({c.plane for c in colour}) == len(colour):
        parts = tuple(Component(c.plane, 0, 1, _log2(64 // c.width), _log2(64 // c.height)) for c in colour)
    else:
        raise MediaError(f"pixel format {name} is not supported", "convert the clip to 10-bit yuv422p or to PNG first")
    return Layout(name, model, bits, dtype, parts, alpha, _lossless(name, model, bits))


def _log2(n: int) -> int:
    return n.bit_length() - 1


def _lossless(name: str, model: str, bits: int) -> str:
    """The FFV1 format that holds the same components."""
    if model == "rgb":
        return "bgr0" if bits == 8 else f"gbrp{bits}le"
    if model == "gray":
        return "gray" if bits == 8 else f"gray{bits}le"
    return name.replace("yuvj", "yuv").replace("yuva", "yuv").replace("be", "le")


def views(frame: av.VideoFrame, layout: Layout) -> tuple[Array, ...]:
    """The components of a frame as strided views into its memory, each (H', W') in the layout's dtype."""
    size = np.dtype(layout.dtype).itemsize
    out = []
    for part in layout.components:
        plane = frame.planes[part.plane]
        width = -(-frame.width >> part.sub_x)
        height = -(-frame.height >> part.sub_y)
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height]
        samples = rows[:, : width * part.step * size].view(layout.dtype)
        out.append(samples[:, part.offset :: part.step])
    return tuple(out)
