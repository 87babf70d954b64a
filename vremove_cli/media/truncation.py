"""Find files that end early, from the length that their container's header states."""

from pathlib import Path
from typing import BinaryIO

from av.video.stream import VideoStream

# Element IDs of Matroska (RFC 9559, section 5).
_EBML_ID, _SEGMENT_ID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_GIF_TRAILER = 0x3B  # GIF89a specification, section 27
_TRAILER_REACH = 16  # bytes at the end of a file in which the trailer is searched: some writers pad after it


def is_truncated(path: str, container: str, stream: VideoStream) -> bool:
    """Return whether a file ends before its header says it does.

    mp4 and mov are checked by their sample index, Matroska and WebM by the segment's length, AVI by the RIFF chunk's
    length and GIF by its trailer. Other containers do not state their length.

    Args:
        path: Path of the file.
        container: FFmpeg's name of its demuxer.
        stream: The opened video stream.
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
            file.seek(max(0, size - _TRAILER_REACH))
            return _GIF_TRAILER not in file.read()
    return False


def _segment_end(file: BinaryIO) -> int:
    """Return the offset at which a Matroska file's segment ends; 0 for a live recording, which does not state it."""
    if file.read(4) != _EBML_ID:
        return 0
    file.seek(_element_size(file) or 0, 1)
    if file.read(4) != _SEGMENT_ID:
        return 0
    length = _element_size(file)
    return 0 if length is None else file.tell() + length


def _element_size(file: BinaryIO) -> int | None:
    """Read an EBML element data size (RFC 8794, section 6); None for an unknown size.

    It is a variable-size integer: the leading zero bits of its first byte count the bytes that follow. All value bits
    set mean an unknown size.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - count)) - 1)]) + file.read(count), "big")
    return None if value == (1 << (7 * (count + 1))) - 1 else value
