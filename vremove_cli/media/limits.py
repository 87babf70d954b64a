"""Limits that are checked before a file is decoded: how large a picture may be, how much the process may use.

A file of a hundred bytes can ask for gigabytes; and where address space is short, decoders crash instead of failing.
"""

import os

from vremove_cli import threads
from vremove_cli.errors import MediaError, MemoryLimitError, UsageError

# Twice Pillow's MAX_IMAGE_PIXELS, the size at which Pillow refuses a picture as a decompression bomb: 16K video has
# 133 million pixels, the largest cameras have 150.
_MAX_PIXELS = 2 * (1024 * 1024 * 1024 // 4 // 3)
# Bytes of address space: of the libraries, and of the stacks and heaps of one core's threads. With 2 cores a run
# crashed at 1.2 GB and ended well at 1.5 GB.
_LIBRARIES, _CORE = 1_100_000_000, 200_000_000
_OVERRIDE = "VREMOVE_MAX_PIXELS"


def max_pixels() -> int:
    """Return the number of pixels that a frame may have."""
    text = os.environ.get(_OVERRIDE, "")
    if not text:
        return _MAX_PIXELS
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:12]) < 2**31 or len(text) > 12:
        raise UsageError(f"{_OVERRIDE}={text[:40]} is not a number of pixels", "give a number such as 400000000")
    return int(text)


def refuse_too_large(path: str, pixels: int) -> None:
    """Raise `MediaError` for pictures of more pixels than allowed, before any of them is decoded."""
    if pixels > max_pixels():
        raise MediaError(
            f"{path} has pictures of {pixels / 1e6:.0f} million pixels; {max_pixels() / 1e6:.0f} million are allowed",
            f"set {_OVERRIDE}={pixels} if that is right and the memory suffices",
        )


def refuse_small_address_space() -> None:
    """Raise `MemoryLimitError` where `ulimit -v` leaves too little for the libraries and their threads."""
    try:
        import resource
    except ImportError:  # Windows
        return
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = _LIBRARIES + _CORE * threads.count()
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise MemoryLimitError(
            f"this process may use {allowed / 1e9:.1f} GB of address space, and needs {needed / 1e9:.1f} GB",
            "raise the limit (ulimit -v), or use fewer --threads",
        )
