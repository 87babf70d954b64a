"""Take the small copies of a picture out of XMP packets (ISO 16684-1; XMP Specification Part 3, 1.1.3.1)."""

import hashlib
import re

EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"  # begins a JPEG segment with a part of a long packet
_ID = slice(len(EXTENDED), len(EXTENDED) + 32)  # MD5 of the whole packet, which the main packet names
_CONTENT = _ID.stop + 8  # behind the packet's length and the part's place
# A picture in base 64, as the content of an element or the value of an attribute.
_IMAGES = (re.compile(rb"(<xmpGImg:image>)([^<]*)"), re.compile(rb'(xmpGImg:image=["\'])([^"\']*)'))


def without_small_copies(packet: bytes) -> bytes:
    """Return a packet of the same length with spaces instead of pictures."""
    for image in _IMAGES:
        packet = image.sub(lambda found: found[1] + b" " * len(found[2]), packet)
    return packet


def clean_segments(segments: list[bytes]) -> list[bytes]:
    """Return the contents of a JPEG's segments with no picture in its XMP packets, long ones included.

    A long packet lies in many segments, and an MD5 of it names it: where a picture was in it, it gets a new name.
    """
    cleaned = [without_small_copies(s) for s in segments]
    names = {s[_ID] for s in segments if s.startswith(EXTENDED)}
    for name in names:
        places = [i for i, s in enumerate(cleaned) if s.startswith(EXTENDED) and s[_ID] == name]
        places.sort(key=lambda i: cleaned[i][_CONTENT - 4 : _CONTENT])
        whole = b"".join(segments[i][_CONTENT:] for i in places)
        packet = without_small_copies(whole)
        if packet == whole:
            continue
        renamed = hashlib.md5(packet, usedforsecurity=False).hexdigest().upper().encode()
        for i in places:
            length = len(cleaned[i]) - _CONTENT
            cleaned[i] = EXTENDED + renamed + cleaned[i][_ID.stop : _CONTENT] + packet[:length]
            packet = packet[length:]
        cleaned = [s if s.startswith(EXTENDED) else s.replace(name, renamed) for s in cleaned]
    return cleaned
