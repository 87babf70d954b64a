"""One picture of every kind: what lies outside the edit comes back bit for bit, in the same kind of file."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from support.clips import mask_of, planes_of, scene
from vremove_cli import erase
from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.job.render import Summary
from vremove_cli.media.read import open_clip

WIDTH, HEIGHT = 97, 63  # odd, so that rows and chroma do not end on whole bytes and blocks
Draw = Callable[[Path], object]

RGB = scene(0, WIDTH, HEIGHT)
GRAY = RGB[..., 1].copy()
ALPHA = np.tile(np.linspace(0, 255, WIDTH).astype(np.uint8), (HEIGHT, 1))
ALPHA[:, -20:] = 0
RGBA = np.dstack([RGB, ALPHA])
DEEP = RGB.astype(np.uint16) * 257 ^ np.random.default_rng(0).integers(0, 255, RGB.shape).astype(np.uint16)
DEEP_RGBA = np.dstack([DEEP, ALPHA.astype(np.uint16) * 257])


def by_pillow(pixels: Array, mode: str | None = None, **options: Any) -> Draw:
    return lambda path: (Image.fromarray(pixels).convert(mode) if mode else Image.fromarray(pixels)).save(
        path, **options
    )


def palette(colours: int, **options: Any) -> Draw:
    return lambda path: Image.fromarray(RGB).quantize(colours).save(path, **options)


def by_opencv(pixels: Array, *options: int) -> Draw:
    return lambda path: cv2.imwrite(str(path), pixels, options)


def png_of(samples: Array, bits: int, kind: int) -> Draw:
    """PNG of gray of few bits, or of 16 bits with alpha, which no library writes: samples (H, W, C)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def row(values: Array) -> bytes:
        if bits == 16:
            return values.astype(">u2").tobytes()
        return np.packbits(np.unpackbits(values.reshape(-1, 1).astype(np.uint8), axis=1)[:, 8 - bits :]).tobytes()

    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row(values) for values in samples))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return lambda path: path.write_bytes(data)


def tiles_of(samples: Array, *, separate: bool = False) -> Draw:
    """A TIFF file in tiles of 32x32, or in one strip for each component, without compression."""
    height, width, channels = samples.shape
    padded = np.pad(samples, ((0, -height % 32), (0, -width % 32), (0, 0)))
    parts = [
        padded[y : y + 32, x : x + 32].tobytes()
        for y in range(0, padded.shape[0], 32)
        for x in range(0, padded.shape[1], 32)
    ]
    parts = [samples[..., c].tobytes() for c in range(channels)] if separate else parts
    places = list(8 + np.cumsum([0, *(len(p) for p in parts[:-1])]))
    end = 8 + sum(map(len, parts))
    lists = [[8 * samples.itemsize] * channels, places, [len(p) for p in parts]]
    blob, at = b"", []
    for values, form in zip(lists, "HII", strict=True):
        at.append(end + len(blob))
        blob += struct.pack(f"<{len(values)}{form}", *values)
    blob += b"\0" * (len(blob) % 2)
    tags = {256: (3, 1, width), 257: (3, 1, height), 258: (3, channels, at[0]), 259: (3, 1, 1), 262: (3, 1, 2)}
    tags |= {277: (3, 1, channels)} | ({338: (3, 1, 2)} if channels == 4 else {})
    if separate:
        tags |= {273: (4, len(parts), at[1]), 278: (3, 1, height), 279: (4, len(parts), at[2]), 284: (3, 1, 2)}
    else:
        tags |= {322: (3, 1, 32), 323: (3, 1, 32), 324: (4, len(parts), at[1]), 325: (4, len(parts), at[2])}
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items())) + bytes(4)
    data = b"II*\0" + struct.pack("<I", end + len(blob)) + b"".join(parts) + blob + directory
    return lambda path: path.write_bytes(data)


def erased(source: Path, output: str | None = None) -> Summary:
    Image.fromarray(mask_of(0, WIDTH, HEIGHT)).save(source.parent / "mask.png")
    return erase(str(source), output, mask=str(source.parent / "mask.png"), effects="off")


def outside(path: Path | str) -> Array:
    """What the picture shows right of the edit, (H, W, 4) as OpenCV reads it, or Pillow where there is a palette."""
    with Image.open(path) as picture:
        indexed = picture.mode in ("P", "1") or "transparency" in picture.info
        deep = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if indexed or deep is None or deep.dtype == np.uint8:
            return np.asarray(picture.convert("RGBA"))[:, 40:]
    return np.asarray(deep[:, 40:])


KINDS: dict[str, Draw] = {
    "1 bit.png": by_pillow(GRAY, "1"),
    "gray 1.png": png_of(GRAY[..., None] >> 7, 1, 0),
    "gray 2.png": png_of(GRAY[..., None] >> 6, 2, 0),
    "gray 4.png": png_of(GRAY[..., None] >> 4, 4, 0),
    "gray 8.png": by_pillow(GRAY),
    "gray 16.png": by_opencv(DEEP[..., 1]),
    "gray and a clear level.png": by_pillow(GRAY, transparency=120),
    "gray and alpha 8.png": by_pillow(np.dstack([GRAY, ALPHA])),
    "gray and alpha 16.png": png_of(DEEP_RGBA[..., 2:], 16, 4),
    "palette 2.png": palette(2, bits=1),
    "palette 16.png": palette(16, bits=4),
    "palette 256.png": palette(256),
    "palette with a clear colour.png": palette(255, transparency=3),
    "palette with alpha.png": palette(4, transparency=bytes([255, 128, 0, 255])),
    "rgb and a clear colour.png": by_pillow(RGB, transparency=(1, 2, 3)),
    "rgb 8.png": by_pillow(RGB),
    "rgba 8.png": by_pillow(RGBA),
    "rgb 16.png": by_opencv(DEEP),
    "rgba 16.png": by_opencv(DEEP_RGBA),
    **{
        f"{name} {compression}.tif": by_pillow(pixels, compression=compression)
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
        for name, pixels in (("gray", GRAY), ("rgb", RGB), ("rgba", RGBA), ("gray 16", DEEP[..., 1].copy()))
    },
    **{
        f"{name} {number}.tif": by_opencv(pixels, cv2.IMWRITE_TIFF_COMPRESSION, number)
        for number in (1, 5, 8, 32773)
        for name, pixels in (("rgb 16", DEEP), ("rgba 16", DEEP_RGBA))
    },
    "predicted.tif": by_pillow(RGB, compression="tiff_lzw", tiffinfo={317: 2}),
    "fax.tif": by_pillow(GRAY, "1", compression="group4"),
    "palette.tif": palette(64),
    "gray and alpha.tif": by_pillow(np.dstack([GRAY, ALPHA])),
    "jpeg inside.tif": by_pillow(RGB, compression="jpeg"),
    "tiles.tif": tiles_of(RGB),
    "tiles, alpha.tif": tiles_of(RGBA),
    "tiles 16.tif": tiles_of(DEEP),
    "planes.tif": tiles_of(RGB, separate=True),
    "lossless.webp": by_pillow(RGB, lossless=True),
    "lossless, clear colours.webp": by_pillow(RGBA, lossless=True, exact=True),
    "rgb.bmp": by_pillow(RGB),
    "gray.bmp": by_pillow(GRAY),
    "palette.bmp": palette(64),
    "1 bit.bmp": by_pillow(GRAY, "1"),
    "rgb.tga": by_pillow(RGB),
    "rgba.tga": by_pillow(RGBA),
}


@pytest.mark.parametrize("name", KINDS)
def test_samples_outside_the_edit_are_those_of_the_source(tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    KINDS[name](source)
    result = erased(source).output
    before, after = outside(source), outside(result)
    np.testing.assert_array_equal(before, after)
    assert open_clip(str(source)).info.codec == open_clip(result).info.codec


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_tiff_keeps_its_compression(tmp_path: Path, compression: str) -> None:
    by_pillow(RGB, compression=compression)(tmp_path / "a.tif")
    with Image.open(erased(tmp_path / "a.tif").output) as after:
        assert after.info["compression"] == compression


@pytest.mark.parametrize(
    ("name", "written"),
    [("palette 16.png", "rgb24"), ("palette with alpha.png", "rgba"), ("palette.bmp", "bgr24")],
)
def test_what_becomes_of_a_palette_is_said(tmp_path: Path, name: str, written: str) -> None:
    KINDS[name](tmp_path / name)
    assert f"palette pictures are written as {written}" in erased(tmp_path / name).notes


def test_a_gray_bmp_stays_gray(tmp_path: Path) -> None:
    by_pillow(GRAY)(tmp_path / "a.bmp")
    result = erased(tmp_path / "a.bmp")
    assert not [note for note in result.notes if "written as" in note]
    with Image.open(result.output) as after:
        assert after.mode == "L"


@pytest.mark.parametrize("alpha", [False, True])
def test_a_lossy_webp_is_written_without_a_visible_loss(tmp_path: Path, alpha: bool) -> None:
    by_pillow(RGBA if alpha else RGB, quality=80)(tmp_path / "a.webp")
    result = erased(tmp_path / "a.webp").output
    luma, again = (planes_of(path)[0][0].astype(int) for path in (tmp_path / "a.webp", result))
    error = float(np.mean((luma[:, 40:] - again[:, 40:]) ** 2))
    assert 10 * np.log10(255**2 / max(error, 1e-9)) > 43
    with Image.open(tmp_path / "a.webp") as before, Image.open(result) as after:
        assert after.mode == before.mode
        if alpha:
            np.testing.assert_array_equal(np.asarray(after)[..., 3], np.asarray(before)[..., 3])


def test_a_cmyk_tiff_is_refused(tmp_path: Path) -> None:
    by_pillow(RGB, "CMYK")(tmp_path / "a.tif")
    with pytest.raises(MediaError, match="CMYK") as refusal:
        erased(tmp_path / "a.tif")
    assert "RGB" in str(refusal.value.advice)
