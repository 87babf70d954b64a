"""Long clips in pieces: pure functions of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass


def segments(count: int, cuts: Sequence[int] = (), longest: int = 120) -> list[tuple[int, int]]:
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
            runs.append((start + (stop - start) * k // pieces, start + (stop - start) * (k + 1) // pieces))
    return runs


def context(run: tuple[int, int], count: int, cuts: Sequence[int], reach: int) -> tuple[int, int]:
    """A run widened by `reach` frames on both sides, inside its shot and the clip."""
    edges = [0, *sorted({c for c in cuts if 0 < c < count}), count]
    low = max(e for e in edges if e <= run[0])
    high = min(e for e in edges if e >= run[1])
    return max(low, run[0] - reach), min(high, run[1] + reach)


def evenly(start: int, stop: int, amount: int) -> list[int]:
    """At most `amount` different numbers spread evenly over start <= n < stop, the ends included."""
    if stop <= start:
        return []
    if amount == 1 or stop - start == 1:
        return [start]
    return sorted({start + round(k * (stop - 1 - start) / (amount - 1)) for k in range(amount)})


def overlapping(count: int, longest: int, overlap: int, grid: int = 1) -> list[tuple[int, int]]:
    """Half-open runs of at most `longest` that cover `count` frames in order, each sharing at least `overlap` frames
    with the one before; each begins at a multiple of `grid`."""
    if not 0 <= overlap < longest - grid:
        raise ValueError(f"an overlap of {overlap} leaves nothing of {longest} on a grid of {grid}")
    if count <= longest:
        return [(0, count)] if count else []
    pieces = -(-(count - overlap) // (longest - overlap))
    while True:
        step = -(-(count - longest) // (pieces - 1))
        step = -(-step // grid) * grid
        if step + overlap <= longest:
            return [(k * step, min(k * step + longest, count)) for k in range(pieces) if k * step + overlap < count]
        pieces += 1


@dataclass(frozen=True)
class Run:
    """Frames start <= t < stop, every `step`-th of them, generated together; those in `known` (a range) come from runs
    before it. A run with a step above 1 is of keyframes."""

    start: int
    stop: int
    step: int = 1
    known: range = range(0)

    @property
    def frames(self) -> range:
        return range(self.start, self.stop, self.step)


def propagated(count: int, longest: int = 81, stride: int = 10) -> list[Run]:
    """Keyframe-guided propagation over `count` frames (UnderEraser, sec. 3.4, eq. 7), in an order that can be done.

    Every k-th frame is a keyframe, k = ceil(count / longest). They are generated first, as one clip, and are known in
    every window; each window begins at the last keyframe of the one before. Where k would exceed the `stride` that the
    network was trained with, it is that, and the keyframes, too many for one clip then, are themselves propagated. The
    last window is as long as the others: it begins at an earlier keyframe, rather than be a short tail.
    """
    if count <= longest:
        return [Run(0, count)] if count else []
    step = min(-(-count // longest), stride)
    keys = -(-count // step)
    before = [
        Run(r.start * step, (r.frames[-1]) * step + 1, r.step * step, _times(r.known, step))
        for r in propagated(keys, longest, stride)
    ]
    return [*before, *(Run(a, b, 1, range(a, b, step)) for a, b in _chained(count, longest, step))]


def _chained(count: int, longest: int, step: int) -> list[tuple[int, int]]:
    """Windows that begin at keyframes, each at the last one of the window before; the last one is moved back."""
    out, start = [], 0
    while start + longest < count:
        out.append((start, start + longest))
        start = (start + longest - 1) // step * step
    last = -(-(count - longest) // step) * step
    return [*out, (last, count)]


def _times(numbers: range, factor: int) -> range:
    return range(numbers.start * factor, numbers.stop * factor, numbers.step * factor)
