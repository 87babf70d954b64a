"""Read what FFmpeg does not tell of a GIF file (GIF89a specification, sections 18, 26 and appendix B)."""

from pathlib import Path
from typing import BinaryIO

FOR_EVER, ONCE = 0, -1  # FFmpeg's numbers for the muxer's `loop`
_EXTENSION, _APPLICATION = b"\x21", b"\xff"
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def loop_count(path: str) -> int:
    """Return how often a GIF is repeated after it has played: `FOR_EVER`, `ONCE` (not at all), or a number."""
    with Path(path).open("rb") as file:
        if not skip_head(file):
            return FOR_EVER
        while file.read(1) == _EXTENSION:
            label, blocks = file.read(1), _sub_blocks(file)
            if label == _APPLICATION and len(blocks) > 1 and blocks[0] in _LOOPS and blocks[1][:1] == b"\x01":
                return int.from_bytes(blocks[1][1:3], "little")
    return ONCE


def skip_head(file: BinaryIO) -> bool:
    """Go behind a file's header and global colour table; returns whether it is a GIF file."""
    file.seek(0)
    head = file.read(13)
    if head[:3] != b"GIF" or len(head) < 13:
        return False
    if head[10] & 0x80:  # a global colour table follows
        file.seek(3 << ((head[10] & 7) + 1), 1)
    return True


def _sub_blocks(file: BinaryIO) -> list[bytes]:
    """Read the sub-blocks of an extension, up to the empty one that ends it."""
    blocks = []
    while size := int.from_bytes(file.read(1), "little"):
        blocks.append(file.read(size))
    return blocks
