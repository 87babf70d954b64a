"""Divide clips into ranges of frames. All functions are pure functions of numbers."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class FrameRange(NamedTuple):
    """Frames start <= t < stop, counted from 0.

    Attributes:
        start: First frame.
        stop: Frame after the last one.
    """

    start: int
    stop: int

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.stop - self.start

    def holds(self, frame: int) -> bool:
        """Return whether a frame lies in the range."""
        return self.start <= frame < self.stop

    def overlaps(self, other: "FrameRange") -> bool:
        """Return whether the ranges have a frame in common."""
        return self.start < other.stop and other.start < self.stop


def segments(count: int, cuts: Sequence[int] = (), longest: int = 120) -> list[FrameRange]:
    """Divide a clip into segments that cross no cut.

    Args:
        count: Number of frames.
        cuts: First frames of new shots.
        longest: Most frames of a segment.

    Returns:
        Ranges that cover every frame once, in order. A shot is divided evenly, so that no segment is a short rest.

    Raises:
        ValueError: `count` is negative or `longest` is not positive.
    """
    if count < 0 or longest < 1:
        raise ValueError(f"count {count} and longest {longest} must be positive")
    edges = _shot_edges(count, cuts)
    ranges = []
    for start, stop in zip(edges, edges[1:], strict=False):
        pieces = -(-(stop - start) // longest)
        for k in range(pieces):
            ranges.append(FrameRange(start + (stop - start) * k // pieces, start + (stop - start) * (k + 1) // pieces))
    return ranges


def shot_context(span: FrameRange, count: int, cuts: Sequence[int], reach: int) -> FrameRange:
    """Widen a range inside its shot.

    Args:
        span: Frames of one shot.
        count: Number of frames of the clip.
        cuts: First frames of new shots.
        reach: Frames to add on both sides, as far as the shot has them.
    """
    edges = _shot_edges(count, cuts)
    low = max(e for e in edges if e <= span.start)
    high = min(e for e in edges if e >= span.stop)
    return FrameRange(max(low, span.start - reach), min(high, span.stop + reach))


def _shot_edges(count: int, cuts: Sequence[int]) -> list[int]:
    """Return the first frames of all shots, and the number of frames."""
    return [0, *sorted({c for c in cuts if 0 < c < count}), count]


def spread_evenly(start: int, stop: int, amount: int) -> list[int]:
    """Return at most `amount` different numbers, spread evenly over start <= n < stop, the ends included."""
    if stop <= start:
        return []
    if amount == 1 or stop - start == 1:
        return [start]
    return sorted({start + round(k * (stop - 1 - start) / (amount - 1)) for k in range(amount)})


def ranges_of(frames: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Return frames as ranges (first, last), in order."""
    ranges: list[tuple[int, int]] = []
    for n in sorted(set(frames)):
        if ranges and ranges[-1][1] == n - 1:
            ranges[-1] = (ranges[-1][0], n)
        else:
            ranges.append((n, n))
    return tuple(ranges)


def ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ranges of frames as text, such as `3-7, 12`."""
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in ranges)
