"""Tell packets that show a picture from those that are only referred to, repeat one, or hold no picture."""

from collections.abc import Callable

Data = memoryview
_MAX_NOT_CODED = 19  # bytes of an MPEG-4 packet that only repeats a picture; FFmpeg's decoder takes as many
_GIF_EXTENSION, _GIF_PICTURE = 0x21, 0x2C  # GIF89a specification, appendix A
_VP9_SHOWS_EXISTING, _VP9_SHOWS = 0b1000, 0b0010  # of the four bits behind the profile


def shows_picture(codec: str, packet: object) -> bool:
    """Return whether the decoder is to give a frame for a packet.

    Args:
        codec: FFmpeg's name of the codec.
        packet: A packet, or its bytes. One of a codec without pictures that are not shown always gives a frame.
    """
    judge = _CODECS.get(codec)
    data = memoryview(packet)  # type: ignore[arg-type]  # PyAV's packets are buffers
    return judge is None or not data or judge(data)


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


_CODECS: dict[str, Callable[[Data], bool]] = {
    "vp8": _vp8_shows,
    "vp9": _vp9_shows,
    "mpeg4": _mpeg4_shows,
    "gif": _gif_shows,
}
