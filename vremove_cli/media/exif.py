"""The EXIF block of a JPEG file (it holds the orientation), carried over byte for byte."""

from pathlib import Path

_START, _EXIF = b"\xff\xd8", b"Exif\x00\x00"
_APP1, _SCAN = 0xE1, 0xDA


def exif_segment(path: Path) -> bytes:
    """The APP1 segment with the EXIF data of a JPEG file, marker included; empty when there is none."""
    data = path.read_bytes()
    at = 2
    while data.startswith(_START) and at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _SCAN:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] == _APP1 and data[at + 4 : at + 10] == _EXIF:
            return data[at : at + 2 + size]
        at += 2 + size
    return b""


def with_segment(jpeg: bytes, segment: bytes) -> bytes:
    """A JPEG file with a segment put in as its first."""
    return _START + segment + jpeg.removeprefix(_START)
