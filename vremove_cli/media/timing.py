"""Frame times as integer ticks of a time base. A float frame rate is never used."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

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


def repaired(pts: Sequence[int | None], step: int) -> list[int]:
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
