"""JPEG files: what one says of its own coding, and a picture encoded in the same way (ITU-T T.81).

Pillow's libjpeg encodes: it takes quantization tables of any kind. It gets chroma at full size, each sample repeated,
and takes means, which gives back the samples themselves. So the only loss is that of the tables.
"""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.pixel_format import Layout, layout_of

# JPEG markers (T.81, table B.1).
SOI, SOS, COM, APP0, APP1, APP14, APPS = b"\xff\xd8", 0xDA, 0xFE, 0xE0, 0xE1, 0xEE, range(0xE0, 0xF0)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, without the tables and JPG among them
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)
QUALITY = 95  # of 100, where there are no tables to take over: the most that Pillow's handbook advises
LONGEST_SIDE = 65_500  # pixels (libjpeg's JPEG_MAX_DIMENSION)
_STRIP = 256  # rows that are merged at a time; any multiple of the chroma's step
_SAMPLING = {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0"}  # those that Pillow writes, by log2 in x and y


@dataclass(frozen=True)
class Coding:
    """How a JPEG file was coded.

    Attributes:
        tables: Quantization tables of the components, 64 steps each in reading order.
        progressive: Whether it comes in several scans.
    """

    tables: tuple[tuple[int, ...], ...]
    progressive: bool


def segments(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Return the marker and the content of a JPEG's segments before the first scan, and all the rest."""
    found, at = [], len(SOI)
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SOS:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        found.append((data[at + 1], data[at + 4 : at + 2 + size]))
        at += 2 + size
    return found, data[at:]


def joined(parts: list[tuple[int, bytes]], scans: bytes) -> bytes:
    """Return a JPEG file of segments and what follows them: the inverse of `segments`."""
    written = (struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content for marker, content in parts)
    return b"".join([SOI, *written, scans])


def refuse_jpeg(path: Path) -> None:
    """Raise `MediaError` for a JPEG file that cannot be written again as it is: CMYK, 12 bits, lossless."""
    try:
        with path.open("rb") as file:
            data = file.read() if file.read(len(SOI)) == SOI else b""
    except OSError:
        return  # FFmpeg has the last word on what it can read
    frame = next(((m, d) for m, d in segments(SOI + data)[0] if m in _FRAMES), None)
    if frame is None or len(frame[1]) < 6:
        return
    marker, content = frame
    if content[5] == 4:  # components
        raise MediaError(f"{path} is a CMYK picture", "convert it to RGB first, for example in the program it is from")
    if marker in _LOSSLESS or content[0] != 8:  # bits
        kind = "lossless" if marker in _LOSSLESS else f"{content[0]}-bit"
        raise MediaError(f"{path} is a {kind} JPEG, which cannot be written", "convert it to PNG or TIFF first")


def coding_of(path: Path) -> Coding:
    """Return how a JPEG file is coded; of one that Pillow does not read, how a new one would be."""
    try:
        with JpegImageFile(path) as picture:  # not `Image.open`, which refuses what `limits` allows
            tables = tuple(tuple(picture.quantization[component[3]]) for component in picture.layer)
            return Coding(tables, bool(picture.info.get("progressive")))
    except (OSError, SyntaxError, ValueError, KeyError):
        return Coding((), False)


def sampling_of(layout: Layout) -> str:
    """Return the chroma sampling in which samples of a layout are written, such as "4:2:0".

    Chroma that Pillow does not write is brought to full size.
    """
    if layout.model != "yuv":
        return "gray" if layout.model == "gray" else "rgb"
    return _SAMPLING.get((layout.sub_x, layout.sub_y), _SAMPLING[0, 0])


def holds_sampling(layout: Layout) -> bool:
    """Return whether a JPEG file is written with the very chroma samples of a layout."""
    return layout.model != "yuv" or (layout.sub_x, layout.sub_y) in _SAMPLING


def encode(
    planes: tuple[Array, ...], layout: Layout, coding: Coding, profile: bytes = b"", *, keep_rgb: bool = False
) -> bytes:
    """Encode a picture.

    Args:
        planes: Components (H', W') uint8: full-range Y'CbCr as JFIF has it, R'G'B', or gray.
        layout: Their layout.
        coding: How; without tables at `QUALITY`.
        profile: ICC profile to write; none where it is empty.
        keep_rgb: Whether R'G'B' is stored as such, and not as Y'CbCr with full chroma.
    """
    if not holds_sampling(layout):
        planes, layout = _with_full_chroma(planes, layout), layout_of("yuvj444p")
    height, width = planes[0].shape
    picture = Image.new({"yuv": "YCbCr", "rgb": "RGB", "gray": "L"}[layout.model], (width, height))
    for top in range(0, height, _STRIP):  # a picture of 100 megapixels must not be there three times
        picture.paste(_strip(planes, layout, top, min(top + _STRIP, height)), (0, top))
    tables = list(coding.tables[: len(planes)])
    if len(tables) == len(planes) == 3 and tables[1] == tables[2]:
        tables = tables[: 1 if tables[0] == tables[1] else 2]
    out = io.BytesIO()
    picture.save(
        out,
        "JPEG",
        subsampling=sampling_of(layout) if layout.model == "yuv" else _SAMPLING[0, 0],
        keep_rgb=keep_rgb,
        progressive=coding.progressive,
        icc_profile=profile,
        **({"qtables": tables} if tables else {"quality": QUALITY}),
    )
    return out.getvalue()


def _with_full_chroma(planes: tuple[Array, ...], layout: Layout) -> tuple[Array, ...]:
    """Return components of full size, as libjpeg shows them: means of the nearest rows, and repeated columns."""
    height, width = planes[0].shape
    out = [planes[0]]
    for plane in planes[1:]:
        tall = cv2.resize(plane, (plane.shape[1], plane.shape[0] << layout.sub_y), interpolation=cv2.INTER_LINEAR)
        out.append(tall.repeat(1 << layout.sub_x, axis=1)[:height, :width])
    return tuple(out)


def _strip(planes: tuple[Array, ...], layout: Layout, top: int, bottom: int) -> Image.Image:
    """Return some rows as a picture; of subsampled components each sample repeated."""
    width = planes[0].shape[1]
    bands = []
    for plane, component in zip(planes, layout.components, strict=True):
        rows = plane[top >> component.sub_y : -(-bottom >> component.sub_y)]
        if component.sub_x or component.sub_y:
            rows = rows.repeat(1 << component.sub_y, axis=0).repeat(1 << component.sub_x, axis=1)
        bands.append(Image.fromarray(np.ascontiguousarray(rows[: bottom - top, :width])))
    return bands[0] if len(bands) == 1 else Image.merge("YCbCr" if layout.model == "yuv" else "RGB", bands)
