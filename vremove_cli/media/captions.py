"""Carry closed captions (CEA-608/708) that are part of the pictures from decoded frames to encoded H.264 and HEVC.

Encoders write at most 31 caption triplets a picture and lose the count of more, and not every encoder writes them. Here
they are put into the encoded packets, in as many messages as it takes.
"""

import av
from av.sidedata.sidedata import Type

from vremove_cli.media.frame_metadata import side_data

_TRIPLET = 3  # bytes
_MOST = 31  # triplets in a message: their count has five bits (ATSC A/53 part 4, 6.2.3)
# An ITU-T T.35 message: country, provider, "GA94", the type of caption data (ATSC A/53 part 4, 6.2.2).
_ATSC = b"\xb5\x00\x31GA94\x03"
_PROCESS, _FULL, _STOP = 0x40, 0xFF, b"\x80"  # flag that captions are in use; bits that are all set; end of the unit
_T35 = 4  # payload type of such a message in H.264 (annex D) and HEVC
_START = b"\x00\x00\x01"  # of a unit in a byte stream (annex B of both)
_SEI_HEADS = {"h264": b"\x06", "hevc": b"\x4e\x01"}  # heads of a unit of supplemental information
CODECS = tuple(_SEI_HEADS)


def captions_of(frame: av.VideoFrame, codec: str) -> bytes:
    """Return the caption triplets of a decoded frame; empty if it has none."""
    return side_data(frame, Type.A53_CC, codec) or b""


def with_captions(packet: av.Packet, triplets: bytes, codec: str) -> av.Packet:
    """Return an encoded picture with captions.

    Args:
        packet: A packet of one picture as a byte stream (annex B), as the encoders give it.
        triplets: Caption triplets.
        codec: One of `CODECS`.
    """
    data = bytes(packet)
    at = _first_slice(data, codec)
    step = _MOST * _TRIPLET
    units = b"".join(_unit(triplets[i : i + step], codec) for i in range(0, len(triplets), step))
    out = av.Packet(data[:at] + units + data[at:])
    out.pts, out.dts, out.duration, out.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
    out.is_keyframe, out.stream = packet.is_keyframe, packet.stream
    return out


def _unit(triplets: bytes, codec: str) -> bytes:
    """Return one message with at most 31 triplets."""
    count = len(triplets) // _TRIPLET
    message = _ATSC + bytes([_PROCESS | count, _FULL]) + triplets + bytes([_FULL])
    return b"\x00" + _START + _SEI_HEADS[codec] + _escaped(bytes([_T35, len(message)]) + message + _STOP)


def _escaped(data: bytes) -> bytes:
    """Return data in which nothing looks like a unit's start: a 3 is put behind two zeros where that is needed."""
    out, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _first_slice(data: bytes, codec: str) -> int:
    """Return the offset of the start code of the first unit with a part of the picture."""
    at = data.find(_START)
    while at >= 0 and at + 3 < len(data):
        head = data[at + 3]
        is_slice = 1 <= head & 0x1F <= 5 if codec == "h264" else head >> 1 & 0x3F < 32
        if is_slice:
            return at - 1 if at and data[at - 1] == 0 else at
        at = data.find(_START, at + 3)
    return 0
