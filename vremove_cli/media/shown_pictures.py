"""Tell packets that show a picture from those that are only referred to, repeat one, or hold no picture."""

from collections.abc import Callable, Iterator

from av.video.stream import VideoStream

Data = memoryview
_MAX_NOT_CODED = 19  # bytes of an MPEG-4 packet that only repeats a picture; FFmpeg's decoder takes as many
_GIF_EXTENSION, _GIF_PICTURE = 0x21, 0x2C  # GIF89a specification, appendix A
# First bytes, without the other bits, of delimiters, ends of sequence and stream, and filler (table 7-1 of both).
_KIND = {"h264": 0x1F, "hevc": 0x7E}
_MARKS = {"h264": {9, 10, 11, 12}, "hevc": {35 << 1, 36 << 1, 37 << 1, 38 << 1}}
_MOST_MARKS = 64  # bytes
_CONFIGURATION = b"\1"  # begins the parameters of units with lengths (ISO 14496-15)
_START_CODE = b"\0\0\1"  # between the units of a raw stream (H.264 and H.265, annex B)
_VP9_SHOWS_EXISTING, _VP9_SHOWS = 0b1000, 0b0010  # of the four bits behind the profile


def codec_of(stream: VideoStream) -> str:
    """Return the name of a stream's codec for `shows_picture` and `delimits`; empty where every packet is a picture.

    Units of H.264 and H.265 have lengths in mp4 and Matroska, where no packet is without a picture; a length may look
    like the code between the units of a raw stream.
    """
    codec = str(stream.codec_context.codec.canonical_name)
    has_lengths = (stream.codec_context.extradata or b"")[:1] == _CONFIGURATION
    return "" if codec in _MARKS and has_lengths else codec


def shows_picture(codec: str, packet: object) -> bool:
    """Return whether the decoder is to give a frame for a packet.

    Args:
        codec: What `codec_of` returned.
        packet: A packet, or its bytes. One of a codec without pictures that are not shown always gives a frame.
    """
    judge = _CODECS.get(codec)
    data = memoryview(packet)  # type: ignore[arg-type]  # PyAV's packets are buffers
    return judge is None or not data or judge(data)


def delimits(codec: str, packet: object) -> bool:
    """Return whether a packet holds nothing but marks between pictures, which a decoder takes for a missing picture."""
    kinds = _MARKS.get(codec)
    data = bytes(packet)  # type: ignore[call-overload]  # PyAV's packets are buffers
    if kinds is None or len(data) > _MOST_MARKS:
        return False
    return {head & _KIND[codec] for head in _unit_heads(data)} <= kinds


def _vp8_shows(data: Data) -> bool:
    """RFC 6386, section 9.1: the fifth bit from below is show_frame."""
    return bool(data[0] & 0x10)


def _vp9_shows(data: Data) -> bool:
    """VP9 bitstream specification, section 6.2 and annex B: a superframe has a picture that is shown."""
    last = data[-1]
    index = 2 + ((last & 7) + 1) * ((last >> 3 & 3) + 1)  # bytes of a superframe's index
    if last & 0xE0 == 0xC0 and len(data) >= index and data[-index] == last:
        return True
    bits = data[0] & 0xF
    if data[0] & 0x30 == 0x30:  # profile 3 has one bit more
        bits = bits << 1 | (data[1] >> 7 if len(data) > 1 else 0)
    return bool(bits & (_VP9_SHOWS_EXISTING | _VP9_SHOWS))


def _mpeg4_shows(data: Data) -> bool:
    return len(data) > _MAX_NOT_CODED


def _gif_shows(data: Data) -> bool:
    """Skip the extensions, each of two bytes and sub-blocks; a packet with the file's head has a picture."""
    at = 0
    while at < len(data) and data[at] == _GIF_EXTENSION:
        at += 2
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return bytes(data[:3]) == b"GIF" or (at < len(data) and data[at] == _GIF_PICTURE)


def _h264_shows(data: Data) -> bool:
    """H.264, table 7-1: units 1 to 5 are parts of a picture."""
    return any(1 <= head & 0x1F <= 5 for head in _unit_heads(bytes(data)))


def _hevc_shows(data: Data) -> bool:
    """H.265, table 7-1: units below 32 are parts of a picture."""
    return any(head >> 1 & 0x3F < 32 for head in _unit_heads(bytes(data)))


def _unit_heads(data: bytes) -> Iterator[int]:
    """Yield the first byte of each unit of a raw stream."""
    at = data.find(_START_CODE)
    while at >= 0 and at + 3 < len(data):
        yield data[at + 3]
        at = data.find(_START_CODE, at + 3)


_CODECS: dict[str, Callable[[Data], bool]] = {
    "vp8": _vp8_shows,
    "vp9": _vp9_shows,
    "mpeg4": _mpeg4_shows,
    "gif": _gif_shows,
    "h264": _h264_shows,
    "hevc": _hevc_shows,
}
