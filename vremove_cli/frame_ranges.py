"""Long clips in pieces: pure functions of numbers."""

from collections.abc import Sequence
from typing import NamedTuple


class FrameRange(NamedTuple):
    """Frames start <= t < stop, counted from 0."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def overlaps(self, other: "FrameRange") -> bool:
        return self.start < other.stop and other.start < self.stop


def segments(count: int, cuts: Sequence[int] = (), longest: int = 120) -> list[FrameRange]:
    """Half-open runs of frames that cover `count` frames once, in order; none crosses a cut or exceeds `longest`.

    `cuts` are the first frames of new shots. A shot is divided evenly, so that no run is a short tail.
    """
    if count < 0 or longest < 1:
        raise ValueError(f"count {count} and longest {longest} must be positive")
    edges = [0, *sorted({c for c in cuts if 0 < c < count}), count]
    runs = []
    for start, stop in zip(edges, edges[1:], strict=False):
        pieces = -(-(stop - start) // longest)
        for k in range(pieces):
            runs.append(FrameRange(start + (stop - start) * k // pieces, start + (stop - start) * (k + 1) // pieces))
    return runs


def shot_context(span: FrameRange, count: int, cuts: Sequence[int], reach: int) -> FrameRange:
    """A run widened by `reach` frames on both sides, inside its shot and the clip."""
    edges = [0, *sorted({c for c in cuts if 0 < c < count}), count]
    low = max(e for e in edges if e <= span.start)
    high = min(e for e in edges if e >= span.stop)
    return FrameRange(max(low, span.start - reach), min(high, span.stop + reach))


def spread_evenly(start: int, stop: int, amount: int) -> list[int]:
    """At most `amount` different numbers spread evenly over start <= n < stop, the ends included."""
    if stop <= start:
        return []
    if amount == 1 or stop - start == 1:
        return [start]
    return sorted({start + round(k * (stop - 1 - start) / (amount - 1)) for k in range(amount)})
