"""Describe where the samples of a pixel format lie in memory, so that planes are read and edited in place.

A format is edited as components: Y, Cb, Cr or R, G, B or gray. Alpha is no component, so it is never written. Formats
without such a layout (nv12, packed 4:2:2, palettes) are first converted, without loss, to a sibling that has one.
Names are FFmpeg's (libavutil/pixdesc.c).
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import av
import numpy as np

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array

# Formats and the planar or byte-wise sibling that holds the same sample values in another arrangement.
SIBLINGS = {
    "nv12": "yuv420p",
    "nv21": "yuv420p",
    "nv16": "yuv422p",
    "nv24": "yuv444p",
    "nv42": "yuv444p",
    "p010le": "yuv420p10le",
    "p012le": "yuv420p12le",
    "p016le": "yuv420p16le",
    "p210le": "yuv422p10le",
    "p212le": "yuv422p12le",
    "p216le": "yuv422p16le",
    "p410le": "yuv444p10le",
    "p412le": "yuv444p12le",
    "p416le": "yuv444p16le",
    "yuyv422": "yuv422p",
    "uyvy422": "yuv422p",
    "yvyu422": "yuv422p",
    "y210le": "yuv422p10le",
    "y212le": "yuv422p12le",
    "pal8": "bgra",
    "monob": "gray",
    "monow": "gray",
    "rgb8": "rgb24",
    "bgr8": "rgb24",
    "rgb4_byte": "rgb24",
    "bgr4_byte": "rgb24",
    "rgb565le": "rgb24",
    "rgb555le": "rgb24",
    "x2rgb10le": "gbrp10le",
    "x2bgr10le": "gbrp10le",
}

# Pixel formats that hold the same sample values in another arrangement.
SAME_SAMPLES = {
    "yuvj420p": ("yuv420p",),
    "yuvj422p": ("yuv422p",),
    "yuvj444p": ("yuv444p",),
    "yuvj440p": ("yuv440p",),
    "yuv420p": ("yuvj420p",),
    "yuv422p": ("yuvj422p",),
    "yuv444p": ("yuvj444p",),
    "gbrp": ("rgb24", "bgr24", "bgr0"),
    "rgb24": ("gbrp", "bgr24", "bgr0"),
    "bgr24": ("gbrp", "rgb24", "bgr0"),
    "bgr0": ("gbrp", "rgb24", "bgr24"),
    "rgb0": ("gbrp", "rgb24", "bgr0"),
    "0rgb": ("gbrp", "rgb24", "bgr0"),
    "rgba": ("bgra", "argb"),
    "bgra": ("rgba", "argb"),
    "argb": ("rgba", "bgra"),
    "rgb48be": ("rgb48le", "gbrp16le"),
    "rgb48le": ("rgb48be", "gbrp16le"),
    "gbrp16le": ("rgb48le", "rgb48be"),
    "rgba64be": ("rgba64le",),
    "rgba64le": ("rgba64be",),
    "gray16be": ("gray16le",),
    "gray16le": ("gray16be",),
}

# Packed formats and the order of the channels in a pixel ("x" is padding).
_PACKED = {
    "rgb24": "rgb",
    "bgr24": "bgr",
    "rgba": "rgba",
    "bgra": "bgra",
    "argb": "argb",
    "abgr": "abgr",
    "rgb0": "rgbx",
    "bgr0": "bgrx",
    "0rgb": "xrgb",
    "0bgr": "xbgr",
    "ya8": "ya",
    "rgb48le": "rgb",
    "rgb48be": "rgb",
    "bgr48le": "bgr",
    "bgr48be": "bgr",
    "rgba64le": "rgba",
    "rgba64be": "rgba",
    "bgra64le": "bgra",
    "bgra64be": "bgra",
    "ya16le": "ya",
    "ya16be": "ya",
}

PALETTE = "pal8"  # pixels are indices into 256 colours
_PALETTE_BYTES, _OPAQUE = 256 * 4, 255
_SIZE = 64  # pixels; any multiple of the largest subsampling shows a format's plane sizes


@dataclass(frozen=True)
class Component:
    """Where one colour component lies.

    Attributes:
        plane: Index of its plane in the frame.
        offset: Samples before its first one in a row.
        step: Samples from one of its samples to the next.
        sub_x: log2 of the horizontal subsampling.
        sub_y: log2 of the vertical subsampling.
    """

    plane: int
    offset: int
    step: int
    sub_x: int = 0
    sub_y: int = 0


@dataclass(frozen=True)
class Layout:
    """A pixel format as editable components.

    Attributes:
        name: FFmpeg's name of the format.
        model: "yuv" for Y'CbCr, "rgb" or "gray".
        bits: Depth of a sample in bits.
        dtype: Numpy's name of a sample's type, byte order included.
        components: Y, Cb, Cr or R, G, B or gray, in this order.
        alpha: Whether the format has an alpha channel.
        lossless_name: The pixel format in which FFV1 stores the same components.
    """

    name: str
    model: Literal["yuv", "rgb", "gray"]
    bits: int
    dtype: str
    components: tuple[Component, ...]
    alpha: bool
    lossless_name: str

    @property
    def peak(self) -> int:
        """The largest code value."""
        return (1 << self.bits) - 1

    @property
    def sub_x(self) -> int:
        """log2 of the horizontal chroma subsampling; 0 without chroma planes."""
        return self.components[-1].sub_x

    @property
    def sub_y(self) -> int:
        """log2 of the vertical chroma subsampling; 0 without chroma planes."""
        return self.components[-1].sub_y

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the components by sampling grid: subsampled chroma has a group of its own."""
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
    """Return the layout of a pixel format.

    Args:
        name: FFmpeg's name of the format.

    Raises:
        MediaError: The samples cannot be edited one by one: floating-point or linear light, Bayer patterns, packed
            bits, components of different depth.
    """
    fmt = av.VideoFormat(name, _SIZE, _SIZE)
    colour = [c for c in fmt.components if not c.is_alpha]
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
        channels = "rgb" if model == "rgb" else "y"
        components = tuple(Component(0, order.index(c), len(order)) for c in channels)
    elif len({c.plane for c in colour}) == len(colour):
        components = tuple(Component(c.plane, 0, 1, _log2(_SIZE // c.width), _log2(_SIZE // c.height)) for c in colour)
    else:
        raise MediaError(f"pixel format {name} is not supported", "convert the clip to 10-bit yuv422p or to PNG first")
    alpha = len(colour) < len(fmt.components)
    return Layout(name, model, bits, dtype, components, alpha, _lossless_name(name, model, bits))


def _log2(n: int) -> int:
    return n.bit_length() - 1


def _lossless_name(name: str, model: str, bits: int) -> str:
    """Return the pixel format in which FFV1 stores the same components."""
    if model == "rgb":
        return "bgr0" if bits == 8 else f"gbrp{bits}le"
    if model == "gray":
        return "gray" if bits == 8 else f"gray{bits}le"
    return name.replace("yuvj", "yuv").replace("yuva", "yuv").replace("be", "le")


def palette_model(frame: av.VideoFrame) -> str:
    """Return the least pixel format that holds all colours of a frame with a palette: gray, bgr24, or bgra."""
    used = np.zeros(256, bool)
    used[_indices(frame)] = True
    blue, green, red, alpha = _palette(frame)[used].T
    if (alpha < _OPAQUE).any():
        return SIBLINGS[PALETTE]
    return "gray" if (blue == green).all() and (green == red).all() else "bgr24"


def gray_of(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame with a gray palette as a gray one; swscale would round."""
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(_palette(frame)[:, 0])[_indices(frame)], "gray")


def _indices(frame: av.VideoFrame) -> Array:
    """Return the pixels (H, W) uint8 of a frame with a palette."""
    plane = frame.planes[0]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def _palette(frame: av.VideoFrame) -> Array:
    """Return the colours of a palette, (256, 4) uint8: blue, green, red, alpha."""
    return np.frombuffer(frame.planes[1], np.uint8)[:_PALETTE_BYTES].reshape(-1, 4)


def views(frame: av.VideoFrame, layout: Layout) -> tuple[Array, ...]:
    """Return the components of a frame as views into its memory.

    Args:
        frame: A frame in the layout's pixel format.
        layout: Its layout.

    Returns:
        Arrays (H', W') in the layout's dtype, strided where the format is packed. H' and W' are the frame's size on
        the component's sampling grid, rounded up.
    """
    size = np.dtype(layout.dtype).itemsize
    out = []
    for component in layout.components:
        plane = frame.planes[component.plane]
        width = -(-frame.width >> component.sub_x)
        height = -(-frame.height >> component.sub_y)
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height]
        samples = rows[:, : width * component.step * size].view(layout.dtype)
        out.append(samples[:, component.offset :: component.step])
    return tuple(out)
