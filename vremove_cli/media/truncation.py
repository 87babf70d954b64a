"""Find files that end early, from the lengths that their containers state. MPEG-PS and raw streams state none."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from av.container import InputContainer

from vremove_cli.media.ebml import element_size

# Element IDs of Matroska (RFC 9559, section 5).
_EBML_ID, _SEGMENT_ID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_HEAD = 1 << 16  # bytes at the start of a file in which its lengths are searched
_GIF_TRAILER = 0x3B  # GIF89a specification, section 27
_GIF_REACH = 16  # bytes at the end of a file in which the trailer is searched: some writers pad after it
_TS_SYNC = 0x47
_TS_PACKETS = ((188, 0), (192, 4), (204, 0))  # bytes of a packet, and offset of its sync byte (ISO 13818-1, BDAV, DVB)
_FLV_TAG, _FLV_BACK = 11, 4  # bytes of a tag's head, and of the number behind a tag that states its length
_FLV_SIZE = b"\x00\x08filesize\x00"  # a name and the type of a number in AMF0
_OGG_PAGE = 65307  # bytes of the longest page (RFC 3533, section 6)
_OGG_LAST = 4  # flag of the last page of a stream
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # file properties object (ASF specification, 3.2)
_IVF_HEAD, _IVF_FRAME = 32, 12  # bytes of the file's head, and of a frame's
_IVF_LIVE = 0xFFFFFFFF  # number of frames where the writer could not go back to state it
_MXF_HEADER = bytes.fromhex("060e2b34020501010d010201010200")[:13]  # of a header partition (SMPTE ST 377-1, 7.2)


def is_truncated(path: str, container: InputContainer) -> bool:
    """Return whether a file ends before it says it does.

    Args:
        path: Path of the file.
        container: The file, opened and read to its end.
    """
    size = Path(path).stat().st_size
    names = container.format.name.split(",")
    if "mov" in names and _misses_samples(container, size):
        return True
    check = next((_CHECKS[n] for n in names if n in _CHECKS), None)
    if check is None:
        return False
    with Path(path).open("rb") as file:
        return check(file, size)


def _misses_samples(container: InputContainer, size: int) -> bool:
    """Return whether the sample index of any track goes beyond the end of the file."""
    tables = (s.index_entries for s in container.streams)
    return any(t[i].pos + t[i].size > size for t in tables for i in range(len(t)))


def _mp4(file: BinaryIO, size: int) -> bool:
    """Check a fragmented file: its last box is whole, and no fragment's head (moof) is without data (mdat)."""
    at, kind, fragmented = 0, b"", False
    while size - at >= 8:
        file.seek(at)
        length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        if length < 8:  # 0: the box goes on to the end of the file; no box at all: padding
            return False
        fragmented = fragmented or kind == b"moof"
        if kind == b"sidx" and at + length <= size and at + length + _indexed(file) > size:
            return True
        at += length
    if at > size:
        return fragmented
    file.seek(at)
    return fragmented and (kind == b"moof" or any(file.read(size - at)))


def _indexed(file: BinaryIO) -> int:
    """Return how many bytes a segment index describes, itself excluded (ISO 14496-12, 8.16.3).

    The file stands behind the index's type. An index of other indices describes what they describe.
    """
    wide = file.read(4)[0] > 0  # version
    file.read(8)  # reference, time scale
    file.read(8 if wide else 4)  # earliest time
    first = int.from_bytes(file.read(8 if wide else 4), "big")
    count = int.from_bytes(file.read(4)[2:], "big")
    lengths = (int.from_bytes(file.read(12)[:4], "big") & 0x7FFFFFFF for _ in range(count))
    return first + sum(lengths)


def _matroska(file: BinaryIO, size: int) -> bool:
    """Check the segment's length, or in a live recording, whose segment states none, the last element's."""
    if file.read(4) != _EBML_ID:
        return False
    file.seek(element_size(file) or 0, 1)
    if file.read(4) != _SEGMENT_ID:
        return False
    length = element_size(file)
    if length is not None:
        return file.tell() + length > size
    while file.tell() < size:
        first = file.read(1)[0]
        if first < 0x10:  # an ID has four bytes at most: padding
            return False
        file.seek(8 - first.bit_length(), 1)
        file.seek(element_size(file) or 0, 1)  # without a length: a cluster, whose elements follow
    return file.tell() > size


def _avi(file: BinaryIO, size: int) -> bool:
    """Check the RIFF chunks, of which long files have several."""
    at = 0
    while at < size:
        file.seek(at)
        if file.read(4) != b"RIFF":
            return False
        at += 8 + int.from_bytes(file.read(4), "little")
    return at > size


def _gif(file: BinaryIO, size: int) -> bool:
    file.seek(max(0, size - _GIF_REACH))
    return _GIF_TRAILER not in file.read()


def _flv(file: BinaryIO, size: int) -> bool:
    """Check the size that the file states, and that it ends with a whole tag."""
    head = file.read(_HEAD)
    stated = head.find(_FLV_SIZE)
    if stated >= 0 and _double(head[stated + len(_FLV_SIZE) :][:8]) > size:
        return True
    at = int.from_bytes(head[5:9], "big") + _FLV_BACK
    while at < size:
        file.seek(at + 1)
        at += _FLV_TAG + int.from_bytes(file.read(3), "big") + _FLV_BACK
    return at > size


def _double(data: bytes) -> float:
    return float(struct.unpack(">d", data)[0]) if len(data) == 8 else 0.0


def _mpegts(file: BinaryIO, size: int) -> bool:
    """Check that the file ends with a whole packet, if it begins with one."""
    head = file.read(3 * _TS_PACKETS[-1][0])
    for length, sync in _TS_PACKETS:
        if len(head) > sync + 2 * length and all(head[sync + i * length] == _TS_SYNC for i in range(3)):
            return size % length > 0
    return False


def _ogg(file: BinaryIO, size: int) -> bool:
    """Check that the last page is whole and says that it is the last."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    if len(page) < 27:
        return True
    return not page[5] & _OGG_LAST or 27 + page[26] + sum(page[27 : 27 + page[26]]) > len(page)


def _asf(file: BinaryIO, size: int) -> bool:
    head = file.read(_HEAD)
    at = head.find(_ASF_FILE)
    live = at >= 0 and head[at + 88 : at + 89] != b"" and head[at + 88] & 1
    return at >= 0 and not live and int.from_bytes(head[at + 40 : at + 48], "little") > size


def _mxf(file: BinaryIO, size: int) -> bool:
    """Check that the footer, whose place the header states, is there."""
    head = file.read(_HEAD)
    at = head.find(_MXF_HEADER)
    if at < 0:
        return False
    value = head[at + 16 :]
    first = value[0] if value else 0
    value = value[1 + (first & 0x7F if first & 0x80 else 0) :]  # behind its length (SMPTE ST 336)
    return int.from_bytes(value[24:32], "big") >= size


def _ivf(file: BinaryIO, size: int) -> bool:
    """Check that the last frame is whole, and that the frames are as many as the header states, if it states any.

    Some writers state the duration in units of the time base instead of the number of frames.
    """
    head = file.read(_IVF_HEAD)
    stated = int.from_bytes(head[24:28], "little")
    at, times = int.from_bytes(head[6:8], "little"), []
    while at < size:
        file.seek(at)
        frame = file.read(_IVF_FRAME)
        at += _IVF_FRAME + int.from_bytes(frame[:4], "little")
        times.append(int.from_bytes(frame[4:], "little"))
    if at > size or stated in (0, _IVF_LIVE) or len(times) < 2:
        return at > size or len(times) < stated != _IVF_LIVE
    duration = (times[-1] - times[0]) * len(times) / (len(times) - 1)
    return max(len(times), duration) < stated


# Checks by the demuxer's name.
_CHECKS: dict[str, Callable[[BinaryIO, int], bool]] = {
    "mov": _mp4,
    "matroska": _matroska,
    "avi": _avi,
    "gif": _gif,
    "flv": _flv,
    "live_flv": _flv,
    "mpegts": _mpegts,
    "ogg": _ogg,
    "asf": _asf,
    "mxf": _mxf,
    "ivf": _ivf,
}
