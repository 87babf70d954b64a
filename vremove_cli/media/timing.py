"""Frame times as integer ticks of a time base. A float frame rate is never used."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Ticks = npt.NDArray[np.int64]

_MISSING = -(1 << 63)  # FFmpeg's AV_NOPTS_VALUE
_DEFAULT_RATE = Fraction(25)  # frames a second, for a clip without a duration


@dataclass(frozen=True)
class FrameTimes:
    """Presentation times of all frames of a clip, in display order.

    Attributes:
        pts: Strictly increasing times in ticks.
        time_base: Seconds in a tick.
        last_duration: Length of the last frame in ticks.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    last_duration: int

    def __post_init__(self) -> None:
        if any(b <= a for a, b in zip(self.pts, self.pts[1:], strict=False)):
            raise ValueError("presentation times must increase")

    def duration(self, i: int) -> int:
        """Return the ticks from frame i to the next."""
        return self.pts[i + 1] - self.pts[i] if i + 1 < len(self.pts) else self.last_duration

    def seconds(self, i: int) -> Fraction:
        """Return the time of frame i in seconds after the first frame."""
        return (self.pts[i] - self.pts[0]) * self.time_base

    @property
    def end_seconds(self) -> Fraction:
        """The end of the last frame in seconds after the first frame."""
        return self.seconds(len(self.pts) - 1) + self.last_duration * self.time_base

    def at(self, seconds: Fraction) -> int:
        """Return the index of the frame that is shown `seconds` after the first frame."""
        ticks = seconds / self.time_base + self.pts[0]
        return max(0, bisect_right(self.pts, ticks) - 1)

    @property
    def rate(self) -> Fraction:
        """Mean frames a second, for an encoder's rate control and for display only."""
        span = self.end_seconds
        return Fraction(len(self.pts)) / span if span > 0 else _DEFAULT_RATE

    @property
    def constant(self) -> bool:
        """Whether all frames have the same length within one tick, which containers round to."""
        steps = {b - a for a, b in zip(self.pts, self.pts[1:], strict=False)}
        return not steps or max(steps) - min(steps) <= 1


class TimeList:
    """Times in ticks, in eight bytes each: a list of Python's numbers takes ten times that for a long clip.

    Args:
        times: Times to begin with; None stands for a missing one.
    """

    def __init__(self, times: Iterable[int | None] = ()) -> None:
        self._ticks = array("q", (_MISSING if t is None else t for t in times))

    def append(self, time: int | None) -> None:
        """Add a time."""
        self._ticks.append(_MISSING if time is None else time)

    def __len__(self) -> int:
        return len(self._ticks)

    def __iter__(self) -> Iterator[int | None]:
        return (None if t == _MISSING else t for t in self._ticks)

    @property
    def known(self) -> Ticks:
        """The times that are known, sorted, each once, as int64."""
        ticks: Ticks = np.unique(np.asarray(self._ticks, np.int64))
        return ticks[ticks != _MISSING]


def lost_times(frames: TimeList, packets: TimeList) -> Ticks:
    """Return the times of packets that gave no frame, sorted.

    Packets before the first frame are no loss: a recording may start between keyframes, and the leading pictures of an
    open group cannot be decoded.

    Args:
        frames: Times of all frames.
        packets: Times of all packets that should give a frame.
    """
    seen = frames.known
    lost: Ticks = np.setdiff1d(packets.known, seen)
    return lost[lost > (seen[0] if len(seen) else 0)]


def are_fields(frames: TimeList, lost: Ticks) -> bool:
    """Return whether every frame came in two packets, one for each of its fields: their times take turns."""
    seen = frames.known
    if len(seen) < 2 or not len(seen) - 1 <= len(lost) <= len(seen):
        return False
    between = lost[: len(seen) - 1]
    return bool(np.all((seen[:-1] < between) & (between < seen[1:])))


def repaired(pts: Iterable[int | None], step: int) -> list[int]:
    """Return strictly increasing times for frames whose container gives no proper ones.

    Args:
        pts: Times in ticks, None where a frame has no time.
        step: Usual ticks from one frame to the next.

    Returns:
        The same times; a missing, repeated or decreasing one is replaced by the time before it plus `step` ticks.
    """
    out: list[int] = []
    for time in pts:
        earliest = out[-1] + 1 if out else None
        if time is None or (earliest is not None and time < earliest):
            out.append(out[-1] + max(step, 1) if out else 0)
        else:
            out.append(time)
    return out
