"""Find out that a file is encrypted, which otherwise looks like damage."""

from pathlib import Path

import av
from av.stream import Stream

from vremove_cli.errors import MediaError

_TS_PACKETS, _TS_SYNC = (188, 192, 204), b"\x47"  # ISO 13818-1; with a time before it, or with parity behind it
_SCRAMBLED = 0xC0  # bits of a packet's fourth byte: transport_scrambling_control
_HEAD = 1 << 20  # bytes of a transport stream that are searched


def encrypted(path: str) -> MediaError:
    """Return the error for a file whose picture is encrypted."""
    return MediaError(f"{path} is encrypted", "decrypt it first, or get a copy that is not protected")


def is_encrypted(packet: av.Packet) -> bool:
    """Return whether a packet of mp4 or mov is encrypted (ISO 23001-7)."""
    return bool(packet.has_sidedata("encryption_info"))


def has_key(stream: Stream) -> bool:
    """Return whether a Matroska or WebM track names the key it is encrypted with."""
    return "enc_key_id" in stream.metadata


def is_scrambled(path: str, container: str) -> bool:
    """Return whether a transport stream has scrambled packets.

    Args:
        path: Path of the file.
        container: FFmpeg's name of its demuxer.
    """
    if container != "mpegts":
        return False
    with Path(path).open("rb") as file:
        data = file.read(_HEAD)
    first, sync = max(0, data.find(_TS_SYNC)), _TS_SYNC[0]
    runs = [range(first, len(data) - size, size) for size in _TS_PACKETS]
    starts = max(runs, key=lambda run: sum(data[i] == sync for i in run) / max(1, len(run)))
    return any(data[i] == sync and data[i + 3] & _SCRAMBLED for i in starts)
