"""Rewrite plain subtitles as the kind of text that the output's container holds."""

from fractions import Fraction

import av
from av.container import OutputContainer
from av.stream import Stream

from vremove_cli.media.tags import stream_tags

_PLAIN = ("subrip", "srt", "text")  # FFmpeg's names of decoders of text without a frame round it
_MOV_TEXT, _SRT = "mov_text", "srt"
_WRITTEN = {"mp4": _MOV_TEXT, "mov": _MOV_TEXT, "matroska": _SRT}  # by muxer
_EMPTY = b"\0\0"  # a mov_text sample without text
_TIME_BASE = Fraction(1, 1000)  # seconds


def rewritten_as(codec: str, container: str) -> str | None:
    """Return the kind of text that subtitles become in a container; None if they are not rewritten.

    Args:
        codec: FFmpeg's name of the subtitles' decoder.
        container: FFmpeg's name of the output's muxer.
    """
    kind = _WRITTEN.get(container)
    return kind if codec in (_PLAIN if kind == _MOV_TEXT else (_MOV_TEXT,)) else None


def is_mov_text(stream: Stream) -> bool:
    """Return whether a stream is text as mp4 and mov hold it."""
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.name == _MOV_TEXT


def is_filler(packet: av.Packet) -> bool:
    """Return whether a packet of mov_text is empty: it fills the time between two others, and muxers add it anew."""
    return bytes(packet) == _EMPTY


def add_text(target: OutputContainer, template: Stream, kind: str) -> Stream:
    """Add a stream of rewritten text to an output."""
    out = target.add_mux_stream(kind)
    out.time_base = _TIME_BASE
    out.metadata.update(stream_tags(template))
    out.disposition = template.disposition
    return out


def text_packet(packet: av.Packet, kind: str) -> av.Packet:
    """Return a packet of text as another kind.

    A sample of mov_text (3GPP TS 26.245) is a 16-bit big-endian length, the text in UTF-8, and boxes of its style, for
    which plain text has no place.
    """
    data = bytes(packet)
    text = len(data).to_bytes(2, "big") + data if kind == _MOV_TEXT else data[2 : 2 + int.from_bytes(data[:2], "big")]
    out = av.Packet(text)
    out.pts, out.dts, out.duration, out.time_base = packet.pts, packet.pts, packet.duration, packet.time_base
    return out
