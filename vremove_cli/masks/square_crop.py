"""The square part of a picture that a network for square pictures sees of a hole."""

from vremove_cli.geometry import Box

LEAST_SHARE = 0.03  # of the square that the hole covers at least: RORem was trained on masks of 3 to 70 %
_CONTEXT = 1.5  # sides of the square in long sides of the hole, of which it then covers 44 % at most


def square_crop(hole: Box, area: int, size: tuple[int, int], side: int, step: int) -> Box:
    """Return a square round a hole, with as much of the surroundings as the network knows from its training.

    It is as large as the network's own pictures, so that nothing is enlarged, unless the hole is then too small a part
    of it; it is larger where the hole needs it.

    Args:
        hole: Box of the hole in pixels, inside the picture and not empty.
        area: Pixels of the hole.
        size: (width, height) of the picture. The square reaches over its edge only where the shorter side cannot hold
            the hole.
        side: Sides of the network's pictures in pixels.
        step: The square's origin and sides are multiples of this number of pixels.

    Returns:
        The square; it holds the hole.
    """
    needed = _up(max(hole.width, hole.height), step) + 2 * step
    wanted = max(_CONTEXT * needed, min(side, (area / LEAST_SHARE) ** 0.5))
    length = max(needed, min(_up(wanted, step), min(size) // step * step))
    x = _start(hole.x0, hole.x1, length, size[0], step)
    y = _start(hole.y0, hole.y1, length, size[1], step)
    return Box(x, y, x + length, y + length)


def _start(low: int, high: int, length: int, whole: int, step: int) -> int:
    """Return where a span of a length begins that holds another: centred on it, and inside the whole if it fits."""
    low_end, high_end = _up(high - length, step), low // step * step
    centred = (low + high - length) // 2 // step * step
    if length <= whole:
        start = min(max(centred, 0), _up(whole - length, step))
    else:
        start = (whole - length) // 2 // step * step
    return min(max(start, low_end), high_end)


def _up(value: float, step: int) -> int:
    return int(-(-value // step)) * step
