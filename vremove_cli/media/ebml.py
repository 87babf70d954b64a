"""Read the elements of Matroska and WebM files (RFC 8794)."""

from collections.abc import Iterator
from typing import BinaryIO


def element_size(file: BinaryIO) -> int | None:
    """Read an element data size (RFC 8794, section 6); None for an unknown size.

    It is a variable-size integer: the leading zero bits of its first byte count the bytes that follow. All value bits
    set mean an unknown size.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - count)) - 1)]) + file.read(count), "big")
    return None if value == (1 << (7 * (count + 1))) - 1 else value


def elements(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the elements of one level.

    Args:
        file: The file.
        start: Offset of the first element.
        stop: Offset of the end of the last one.

    Yields:
        ID, and the offsets of the first byte of the data and of the byte behind it. An element of unknown size goes on
        to `stop`.
    """
    while start < stop:
        file.seek(start)
        first = file.read(1)
        if not first or first[0] < 0x10:  # an ID has four bytes at most: padding
            return
        name = first + file.read(8 - first[0].bit_length())
        size = element_size(file)
        begin = file.tell()
        start = stop if size is None else begin + size
        yield name, begin, min(start, stop)
