"""Carry what an image file says beside its samples into the file that is written: colour profile, resolution, texts.

FFmpeg's encoders keep a part of it. So a file of the same kind gets the source's own blocks: chunks of PNG and WebP,
segments of JPEG, tags of TIFF. A file of another kind gets its orientation.
"""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from vremove_cli.geometry import Orientation
from vremove_cli.media import jpeg
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_context import EncodeSpec, sibling_layout
from vremove_cli.media.jpeg import APP0, APP1, APP14, APPS, COM
from vremove_cli.media.tiff import EXIF, ICC, RESOLUTION, XMP, carry_tags, exif_of, tags_of, without_thumbnail
from vremove_cli.media.xmp import clean_segments, without_small_copies

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = (
    b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI",
    b"pHYs", b"eXIf", b"tIME", b"tEXt", b"zTXt", b"iTXt",
)  # fmt: skip
_EXIF = b"Exif\0\0"
_PNG_XMP = b"XML:com.adobe.xmp\0"
# Segments that describe the encoding (Adobe's colour transform) or small copies and further pictures.
_NOT_CARRIED = ((APP14, b"Adobe"), (APP0, b"JFXX"), (0xE2, b"MPF"))
_PHOTOSHOP, _RESOURCE, _SMALL_COPIES = b"Photoshop 3.0\0", b"8BIM", (0x0409, 0x040C)
_WEBP_FLAGS = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # of VP8X (RFC 9649, section 2.7)
_WEBP_ALPHA = 0x10
_BMP_RESOLUTION = slice(38, 46)  # pixels a metre in x and y
_BMP_HEADER = 54  # bytes of both headers up to the end of the second one's oldest form

# What blocks hold, and what FFmpeg's encoders write whatever the source.
_PROFILE, _TAGS, _TEXTS, _RESOLUTION = "colour profile", "EXIF", "texts", "resolution"
_WORDS: dict[bytes | int, str] = {
    b"iCCP": _PROFILE, b"ICCP": _PROFILE, b"ICC_PROFILE\0": _PROFILE, ICC: _PROFILE,
    b"eXIf": _TAGS, b"EXIF": _TAGS, b"Exif\0": _TAGS, EXIF: _TAGS,
    b"tEXt": _TEXTS, b"iTXt": _TEXTS, b"zTXt": _TEXTS, b"XMP ": "XMP", b"http://ns.adobe.com/xap/1.0/\0": "XMP",
    XMP: "XMP", COM: _TEXTS, b"pHYs": _RESOLUTION, RESOLUTION: _RESOLUTION,
}  # fmt: skip
_KEPT_ANYWAY = {"png": (_PROFILE, _TAGS), "jpeg": (_PROFILE,)}

_Carry = Callable[[bytes, bytes], bytes]


def carry(source: Path | None, written: bytes, encoder: str, orientation: Orientation) -> bytes:
    """Return an encoded picture with the blocks of the file that it comes from.

    Args:
        source: The frame's own file, if it is of the same kind; else None.
        written: The picture as it was encoded.
        encoder: Name of the encoder.
        orientation: How the picture is turned for display.
    """
    if source is not None and encoder in _CARRIERS:
        return _CARRIERS[encoder](source.read_bytes(), written)
    exif = b"" if orientation.identity else exif_of(orientation)
    if encoder == "jpeg" and exif:
        own, scans = jpeg.segments(written)
        return jpeg.joined([(APP1, _EXIF + exif), *own], scans)
    if encoder == "png":
        head, *rest = ((k, _cleaned_chunk(k, d)) for k, d in _png_chunks(written))
        turned_png = [(b"eXIf", exif)] if exif and b"eXIf" not in dict(rest) else []
        return _png([head, *turned_png, *rest])
    if encoder == "libwebp" and exif:
        return _webp([*_webp_chunks(written), (b"EXIF", exif)])
    return written


def profile_of(source: Path) -> bytes:
    """Return the ICC profile of an image file; nothing where there is none, or the file is of a kind unknown here."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(source) as im,
        ):
            return bytes(im.info.get("icc_profile") or b"")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return b""


def same_kind(info: ClipInfo, spec: EncodeSpec) -> bool:
    """Return whether pictures are written as the kind of file that they come from, so that its blocks stay true."""
    return info.is_sequence and spec.codec == info.codec and info.layout.model == sibling_layout(spec.pix_fmt).model


def lost_metadata(info: ClipInfo, spec: EncodeSpec) -> list[str]:
    """Return a sentence about what another kind of file will not say, or none; the first file stands for all."""
    if not info.is_sequence:
        return []
    data = Path(info.files[0]).read_bytes()
    if same_kind(info, spec) and spec.encoder in _CARRIERS:
        small = _has_small_copy(data, info.codec)
        return ["the small copy of the picture in the file shows the object: it is not written"] if small else []
    found = {_WORDS[k] for k in _blocks(data, info.codec) if k in _WORDS}
    lost = sorted(found - set(_KEPT_ANYWAY.get(spec.encoder, ())))
    return [f"not written with {spec.encoder}: {', '.join(lost)} of the source's pictures"] if lost else []


def _has_small_copy(data: bytes, codec: str) -> bool:
    """Return whether EXIF, XMP or Photoshop's segment hold a picture."""
    if codec == "mjpeg":
        before = [(m, d) for m, d in jpeg.segments(data)[0] if _describes(m)]
        return before != _cleaned_segments(data)
    if codec == "tiff":
        return without_small_copies(data) != data
    chunks = _png_chunks(data) if codec == "png" else _webp_chunks(data)
    return any(_cleaned_chunk(k, d) != d for k, d in chunks)


def _blocks(data: bytes, codec: str) -> set[bytes | int]:
    """Return the kinds of a file's chunks, the numbers of its tags, or the beginnings of its segments."""
    if codec == "tiff":
        return set(tags_of(data))
    if codec == "mjpeg":
        return {COM if m == COM else d[: d.find(b"\0") + 1] for m, d in jpeg.segments(data)[0] if _describes(m)}
    return {kind for kind, _ in (_png_chunks(data) if codec == "png" else _webp_chunks(data))}


def holds_orientation(encoder: str) -> bool:
    """Return whether pictures of an encoder can say that they are turned for display."""
    return encoder in ("png", "tiff", "jpeg", "libwebp")


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of every chunk."""
    at = len(_PNG)
    while data.startswith(_PNG) and at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return _PNG + b"".join(parts)


def _carry_png(source: bytes, written: bytes) -> bytes:
    head, *rest = [c for c in _png_chunks(written) if c[0] not in _PNG_CHUNKS]
    found = [(k, _cleaned_chunk(k, d)) for k, d in _png_chunks(source) if k in _PNG_CHUNKS]
    return _png([head, *found, *rest])


def _cleaned_chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of PNG or WebP without the small copies of the picture that EXIF and XMP keep."""
    if kind in (b"eXIf", b"EXIF"):
        start = len(_EXIF) if content.startswith(_EXIF) else 0
        return content[:start] + without_thumbnail(content[start:])
    if kind == b"XMP ":
        return without_small_copies(content)
    if kind != b"iTXt" or not content.startswith(_PNG_XMP):
        return content
    head, text = content[: len(_PNG_XMP)], content[len(_PNG_XMP) :]
    compressed, texts = text[0], text[2:].split(b"\0", 2)
    if len(texts) < 3:
        return content
    packet = zlib.decompress(texts[2]) if compressed else texts[2]
    clean = without_small_copies(packet)
    if clean == packet:
        return content
    return head + text[:2] + b"\0".join([*texts[:2], zlib.compress(clean) if compressed else clean])


def _describes(marker: int) -> bool:
    return marker == COM or marker in APPS


def _carry_jpeg(source: bytes, written: bytes) -> bytes:
    found = _cleaned_segments(source)
    kept = [(m, d) for m, d in found if not any(m == marker and d.startswith(s) for marker, s in _NOT_CARRIED)]
    own, scans = jpeg.segments(written)
    coding = [(m, d) for m, d in own if not _describes(m) or m == APP14]
    if APP14 in dict(coding):  # of R'G'B', which a JFIF header would deny
        kept = [(m, d) for m, d in kept if m != APP0]
    return jpeg.joined([*kept, *coding], scans)


def _cleaned_segments(source: bytes) -> list[tuple[int, bytes]]:
    """Return the segments that describe a picture, without small copies of it."""
    found = [(m, d) for m, d in jpeg.segments(source)[0] if _describes(m)]
    return [(m, _cleaned(d)) for (m, _), d in zip(found, clean_segments([d for _, d in found]), strict=True)]


def _cleaned(content: bytes) -> bytes:
    """Return a JPEG segment without the small copies of the picture that EXIF and Photoshop keep."""
    if content.startswith(_EXIF):
        return _EXIF + without_thumbnail(content.removeprefix(_EXIF))
    if not content.startswith(_PHOTOSHOP):
        return content
    out, at = _PHOTOSHOP, len(_PHOTOSHOP)
    while content[at : at + 4] == _RESOURCE and at + 12 <= len(content):
        name = at + 6 + (content[at + 6] | 1) + 1  # a length, a name, padded to an even number of bytes
        size = int.from_bytes(content[name : name + 4], "big")
        end = name + 4 + size + size % 2
        if int.from_bytes(content[at + 4 : at + 6], "big") not in _SMALL_COPIES:
            out += content[at:end]
        at = end
    return out + content[at:]


def _webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 12
    while data[:4] == b"RIFF" and at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    return found


def _carry_webp(source: bytes, written: bytes) -> bytes:
    found = [(k, d) for k, d in _webp_chunks(source) if k in _WEBP_FLAGS]
    return _webp([*_webp_chunks(written), *found])


def _webp(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Return a WebP file in the extended form, which has room for profiles and tags."""
    content = dict(chunks)
    extra = {k: _cleaned_chunk(k, content[k]) for k in _WEBP_FLAGS if k in content}
    width, height, alpha = _webp_size(content)
    flags = sum(_WEBP_FLAGS[k] for k in extra) | (_WEBP_ALPHA if alpha else 0)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    order = [(b"VP8X", struct.pack("<I", flags) + size)]
    order += [(b"ICCP", extra[b"ICCP"])] if b"ICCP" in extra else []
    order += [(k, content[k]) for k in (b"ALPH", b"VP8 ", b"VP8L") if k in content]
    order += [(k, extra[k]) for k in (b"EXIF", b"XMP ") if k in extra]
    body = b"".join(k + struct.pack("<I", len(d)) + d + b"\0" * (len(d) % 2) for k, d in order)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _webp_size(content: dict[bytes, bytes]) -> tuple[int, int, bool]:
    """Return the width and height of a picture and whether it has alpha, as its bit stream says."""
    if b"VP8L" in content:  # after a signature of one byte: 14 bits, 14 bits, 1 bit
        bits = int.from_bytes(content[b"VP8L"][1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    width, height = struct.unpack("<HH", content[b"VP8 "][6:10])  # 14 bits each, and 2 of scale
    return width & 0x3FFF, height & 0x3FFF, b"ALPH" in content


def _carry_bmp(source: bytes, written: bytes) -> bytes:
    if len(source) < _BMP_HEADER:
        return written
    return written[: _BMP_RESOLUTION.start] + source[_BMP_RESOLUTION] + written[_BMP_RESOLUTION.stop :]


_CARRIERS: dict[str, _Carry] = {
    "png": _carry_png,
    "jpeg": _carry_jpeg,
    "tiff": carry_tags,
    "libwebp": _carry_webp,
    "bmp": _carry_bmp,
}
