"""Write what a file can hold and FFmpeg's muxers leave out: the language of Matroska chapters, the comment of a GIF."""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer

from vremove_cli.media.ebml import elements
from vremove_cli.media.gif import skip_head

# Element IDs of Matroska (RFC 9559, section 5.1).
_SEGMENT, _CHAPTERS, _EDITION, _ATOM = b"\x18\x53\x80\x67", b"\x10\x43\xa7\x70", b"\x45\xb9", b"\xb6"
_START, _DISPLAY, _LANGUAGE, _CRC = b"\x91", b"\x80", b"\x43\x7c", b"\xbf"
_CRC_ELEMENT = 6  # bytes of a CRC-32 element with its ID and size
_NANOSECONDS = 10**9  # in a second
_UNKNOWN = "und"  # ISO 639-2
_GIF_COMMENT = b"\x21\xfe"  # GIF89a specification, section 24
_BLOCK = 255  # bytes of a sub-block at most


def languages_of(source: InputContainer) -> list[str]:
    """Return the language of every chapter of a Matroska file, empty where it is unknown; no chapter of other files."""
    chapters = source.chapters()
    if "matroska" not in source.format.name or not chapters:
        return []
    with Path(source.name).open("rb") as file:
        found = {start: _text(file, place) for _, start, place in _chapters(file) if place}
    known = (found.get(round(c["start"] * (c["time_base"] or 0) * _NANOSECONDS), "") for c in chapters)
    return ["" if language == _UNKNOWN else language for language in known]


def write_chapter_languages(file: BinaryIO, languages: list[str]) -> None:
    """Put languages into the chapters of a finished Matroska file, in which FFmpeg has marked each as unknown.

    Args:
        file: The file, open for reading and writing.
        languages: One ISO 639-2 code for every chapter, in order; empty where it is unknown.
    """
    for (chapters, _, place), language in zip(list(_chapters(file)), languages, strict=False):
        if place and len(language.encode()) == place[1] - place[0]:
            file.seek(place[0])
            file.write(language.encode())
            _renew_crc(file, *chapters)


def write_gif_comment(file: BinaryIO, comment: str) -> None:
    """Put a comment before the first picture of a finished GIF file, where readers look for it.

    Args:
        file: The file, open for reading and writing.
        comment: The comment.
    """
    data = comment.encode()
    blocks = b"".join(bytes([len(b)]) + b for b in (data[i : i + _BLOCK] for i in range(0, len(data), _BLOCK)))
    skip_head(file)
    place = file.tell()
    rest = file.read()
    file.seek(place)
    file.write(_GIF_COMMENT + blocks + b"\0" + rest)


def _chapters(file: BinaryIO) -> Iterator[tuple[tuple[int, int], int, tuple[int, int] | None]]:
    """Yield where a chapter's list lies, its start in nanoseconds, and where its language lies, for every chapter."""
    size = file.seek(0, 2)
    for segment in _named(file, (0, size), _SEGMENT):
        for chapters in _named(file, segment, _CHAPTERS):
            for edition in _named(file, chapters, _EDITION):
                for atom in _named(file, edition, _ATOM):
                    starts = _named(file, atom, _START)
                    places = [p for d in _named(file, atom, _DISPLAY) for p in _named(file, d, _LANGUAGE)]
                    start = int.from_bytes(_bytes(file, starts[0]), "big") if starts else 0
                    yield chapters, start, places[0] if places else None


def _named(file: BinaryIO, place: tuple[int, int], name: bytes) -> list[tuple[int, int]]:
    return [(begin, end) for found, begin, end in elements(file, *place) if found == name]


def _bytes(file: BinaryIO, place: tuple[int, int]) -> bytes:
    file.seek(place[0])
    return file.read(place[1] - place[0])


def _text(file: BinaryIO, place: tuple[int, int]) -> str:
    return _bytes(file, place).rstrip(b"\0").decode("ascii", "replace")


def _renew_crc(file: BinaryIO, begin: int, end: int) -> None:
    """Renew the checksum of an element, if it has one: it comes first, and is of all that follows."""
    data = _bytes(file, (begin, end))
    if data.startswith(_CRC):
        file.seek(begin + 2)
        file.write(zlib.crc32(data[_CRC_ELEMENT:]).to_bytes(4, "little"))
