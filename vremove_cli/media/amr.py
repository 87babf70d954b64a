"""Split packets of AMR sound: phones store many frames in one, and FFmpeg writes no packet of more than one."""

from fractions import Fraction

import av

# Bytes of a frame of the narrowband codec by its type, the head of one byte included (3GPP TS 26.101, annex A).
_SIZES = {0: 13, 1: 14, 2: 16, 3: 18, 4: 20, 5: 21, 6: 27, 7: 32, 8: 6, 15: 1}
_LENGTH = Fraction(1, 50)  # seconds of a frame


def amr_frames(packet: av.Packet) -> list[av.Packet]:
    """Return the frames of a packet as packets of their own; none if it is no AMR, holds one frame, or is damaged."""
    context = packet.stream.codec_context
    if context is None or context.codec.canonical_name != "amr_nb" or packet.pts is None:
        return []
    data, sizes, at = bytes(packet), [], 0
    while at < len(data):
        sizes.append(_SIZES.get(data[at] >> 3 & 0xF, len(data)))
        at += sizes[-1]
    if len(sizes) < 2 or at != len(data):
        return []
    out, at = [], 0
    for i, size in enumerate(sizes):
        frame = av.Packet(data[at : at + size])
        ticks = [round(n * _LENGTH / packet.time_base) for n in (i, i + 1)]
        frame.stream, frame.time_base = packet.stream, packet.time_base
        frame.pts = frame.dts = packet.pts + ticks[0]
        frame.duration = ticks[1] - ticks[0]
        out.append(frame)
        at += size
    return out
