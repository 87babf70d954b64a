"""Whether a file is all there, from what its container says of its own length."""

from pathlib import Path
from typing import Any, BinaryIO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_GIF_END = 0x3B


def cut_off(path: str, container: str, stream: Any) -> bool:
    """Whether a file ends before its own header says it does.

    Known for mp4/mov (the index names bytes that are not there), Matroska and WebM (length of the segment), AVI
    (length of the RIFF chunk) and GIF (its end mark). Other containers do not say.
    """
    size = Path(path).stat().st_size
    if "mov" in container:
        entries = stream.index_entries
        return any(entries[i].pos + entries[i].size > size for i in range(len(entries)))
    with Path(path).open("rb") as file:
        if "matroska" in container:
            return _segment_end(file) > size
        if container == "avi":
            head = file.read(8)
            return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > size
        if container == "gif":
            file.seek(max(0, size - 16))
            return _GIF_END not in file.read()
    return False


def _segment_end(file: BinaryIO) -> int:
    """Where a Matroska file's segment ends; 0 where it does not say (a live recording)."""
    if file.read(4) != _EBML:
        return 0
    file.seek(_length(file) or 0, 1)
    if file.read(4) != _SEGMENT:
        return 0
    length = _length(file)
    return 0 if length is None else file.tell() + length


def _length(file: BinaryIO) -> int | None:
    """An EBML length: as many bytes as the first one has leading zero bits, plus one. None when it is unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - count)) - 1)]) + file.read(count), "big")
    return None if value == (1 << (7 * (count + 1))) - 1 else value
