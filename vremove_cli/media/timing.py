"""Time is pts and a time base, never a float frame rate."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class FrameTimes:
    """Presentation times of every frame of a clip, in display order.

    `pts` are strictly increasing ticks of `time_base` seconds; `last_duration` is the last frame's length in ticks.
    """

    pts: tuple[int, ...]
    time_base: Fraction
    last_duration: int

    def __post_init__(self) -> None:
        if any(b <= a for a, b in zip(self.pts, self.pts[1:], strict=False)):
            raise ValueError("presentation times must increase")

    def duration(self, i: int) -> int:
        """Ticks from frame i to the next."""
        return self.pts[i + 1] - self.pts[i] if i + 1 < len(self.pts) else self.last_duration

    def seconds(self, i: int) -> Fraction:
        """Time of frame i after the first frame."""
        return (self.pts[i] - self.pts[0]) * self.time_base

    @property
    def end_seconds(self) -> Fraction:
        """Time after the first frame at which the last frame ends."""
        return self.seconds(len(self.pts) - 1) + self.last_duration * self.time_base

    def at(self, seconds: Fraction) -> int:
        """The last frame whose time is at most `seconds` after the first."""
        ticks = seconds / self.time_base + self.pts[0]
        return max(0, bisect_right(self.pts, ticks) - 1)

    @property
    def rate(self) -> Fraction:
        """Mean frames per second; only for an encoder's rate control and for display."""
        span = self.end_seconds
        return Fraction(len(self.pts)) / span if span > 0 else Fraction(25)

    @property
    def constant(self) -> bool:
        """Whether all frames last equally long, within one tick (a container may have rounded them)."""
        steps = {b - a for a, b in zip(self.pts, self.pts[1:], strict=False)}
        return not steps or max(steps) - min(steps) <= 1


def repaired(pts: Sequence[int | None], step: int) -> list[int]:
    """Strictly increasing times from what a container without proper ones gives: a missing or repeated time becomes
    the one before plus `step` ticks."""
    out: list[int] = []
    for p in pts:
        floor = out[-1] + 1 if out else None
        if p is None or (floor is not None and p < floor):
            out.append(out[-1] + max(step, 1) if out else 0)
        else:
            out.append(p)
    return out
