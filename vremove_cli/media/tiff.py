"""Read and write directories of TIFF tags (TIFF 6.0, section 2), which EXIF uses as well (CIPA DC-008)."""

import struct
from dataclasses import dataclass, replace
from typing import Literal

from vremove_cli.geometry import Orientation
from vremove_cli.media.xmp import without_small_copies

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}  # bytes of a value by type
_SHORT, _LONG = 3, 4  # types
_WORDS = {3: 2, 8: 2, 4: 4, 5: 4, 9: 4, 10: 4, 11: 4, 13: 4, 12: 8}  # bytes that change places between byte orders
EXIF, ICC, XMP, RESOLUTION = 34665, 34675, 700, 282  # tags
_GPS, _ORIENTATION = 34853, 274
_THUMBNAIL, _THUMBNAIL_SIZE = 513, 514
# Tags that describe a picture and not its encoding, by number.
_NAMES = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)  # names, texts, makers and dates
_RESOLUTION = (RESOLUTION, 283, 296)
_COLOUR = (301, 318, 319, ICC)  # transfer curve, white point, primaries
_PACKETS = (XMP, 33723)  # IPTC
_PLACE = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)  # GeoTIFF, GDAL
_CARRIED = frozenset((*_NAMES, *_RESOLUTION, *_COLOUR, *_PACKETS, *_PLACE, EXIF, _GPS))
# EXIF's number of an orientation: transposed, then mirrored in x and y.
_CODES = {
    (False, False, False): 1, (False, True, False): 2, (False, True, True): 3, (False, False, True): 4,
    (True, False, False): 5, (True, True, False): 6, (True, True, True): 7, (True, False, True): 8,
}  # fmt: skip


@dataclass(frozen=True)
class _Entry:
    """A tag: its number, its type, the number of its values, and the values in little-endian order."""

    tag: int
    type: int
    count: int
    values: bytes


def carry_tags(source: bytes, written: bytes) -> bytes:
    """Return a little-endian TIFF file with the tags of another that describe the picture."""
    found = [e for e in _directory(source, _first(source))[0] if e.tag in _CARRIED]
    own = [e for e in _directory(written, _first(written))[0] if e.tag not in _CARRIED]
    body = written + b"\0" * (len(written) % 2)
    for entry in found:
        if entry.tag in (EXIF, _GPS):
            inner, _ = _directory(source, int.from_bytes(entry.values, "little"))
            own.append(_Entry(entry.tag, _LONG, 1, struct.pack("<I", len(body))))
            body += _packed([e for e in inner if e.tag not in (EXIF, _GPS)], len(body))
        else:
            clean = without_small_copies(entry.values) if entry.tag == XMP else entry.values
            own.append(replace(entry, values=clean))
    return body[:4] + struct.pack("<I", len(body)) + body[8:] + _packed(own, len(body))


def tags_of(data: bytes) -> list[int]:
    """Return the numbers of the tags of a TIFF file's first picture."""
    return [e.tag for e in _directory(data, _first(data))[0]]


def exif_of(orientation: Orientation) -> bytes:
    """Return EXIF data that says how a picture is turned."""
    code = _CODES[orientation.transpose, orientation.flip_x, orientation.flip_y]
    return b"II*\0" + struct.pack("<I", 8) + _packed([_Entry(_ORIENTATION, _SHORT, 1, struct.pack("<H", code))], 8)


def without_thumbnail(exif: bytes) -> bytes:
    """Return EXIF data without its second directory, whose small picture still shows what was erased."""
    order = _order(exif)
    _, link = _directory(exif, _first(exif))
    second = int.from_bytes(exif[link : link + 4], order) if link else 0
    if not second:
        return exif
    small = {e.tag: int.from_bytes(e.values, "little") for e in _directory(exif, second)[0]}
    at, size = small.get(_THUMBNAIL, 0), small.get(_THUMBNAIL_SIZE, 0)
    out = bytearray(exif)
    out[link : link + 4] = bytes(4)
    if 0 < at < len(out):
        out[at : at + size] = bytes(len(out[at : at + size]))
    return bytes(out)


def _order(data: bytes) -> Literal["little", "big"]:
    return "big" if data[:2] == b"MM" else "little"


def _first(data: bytes) -> int:
    """Return the place of the first directory; 0 if there is none."""
    return int.from_bytes(data[4:8], _order(data)) if data[:2] in (b"II", b"MM") else 0


def _directory(data: bytes, at: int) -> tuple[list[_Entry], int]:
    """Return a directory's tags and the place of its link to the next one; nothing and 0 where it is damaged."""
    order = _order(data)
    if not 8 <= at <= len(data) - 2:
        return [], 0
    count = int.from_bytes(data[at : at + 2], order)
    link = at + 2 + 12 * count
    if link + 4 > len(data):
        return [], 0
    entries = [_entry(data, start) for start in range(at + 2, link, 12)]
    return [e for e in entries if e is not None], link


def _entry(data: bytes, at: int) -> _Entry | None:
    order = _order(data)
    tag, kind = (int.from_bytes(data[i : i + 2], order) for i in (at, at + 2))
    count = int.from_bytes(data[at + 4 : at + 8], order)
    size = _SIZES.get(kind, 0) * count
    place = at + 8 if size <= 4 else int.from_bytes(data[at + 8 : at + 12], order)
    values = data[place : place + size]
    if not size or len(values) < size:
        return None
    word = _WORDS.get(kind, 1)
    if order == "big" and word > 1:
        values = b"".join(values[i : i + word][::-1] for i in range(0, size, word))
    return _Entry(tag, kind, count, values)


def _packed(entries: list[_Entry], at: int) -> bytes:
    """Return a little-endian directory without a next one, followed by its values, for a place in a file."""
    entries = sorted(entries, key=lambda e: e.tag)
    head, values = struct.pack("<H", len(entries)), b""
    start = at + 2 + 12 * len(entries) + 4
    for entry in entries:
        head += struct.pack("<HHI", entry.tag, entry.type, entry.count)
        if len(entry.values) <= 4:
            head += entry.values.ljust(4, b"\0")
            continue
        head += struct.pack("<I", start + len(values))
        values += entry.values + b"\0" * (len(entry.values) % 2)
    return head + bytes(4) + values
