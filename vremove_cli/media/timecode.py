"""SMPTE timecode (ST 12-1): the addresses of frames as editing programs show them."""

import re
from dataclasses import dataclass, replace

from vremove_cli.errors import UsageError
from vremove_cli.media.timing import FrameTimes

_FORM = re.compile(r"(\d{1,2}):(\d{2}):(\d{2})([:;])(\d{2,3})")
_HOURS = 24  # after which the count begins again
_DROPPING_RATE = 30  # frames a second, counted; drop-frame timecode exists for its multiples
_DROPPED = 2  # numbers left out each minute at that rate, but not each tenth minute
_NTSC = 0.9995  # a rate of 30000/1001 is .999 of 30: below this share numbers may be dropped


@dataclass(frozen=True)
class Timecode:
    """The address of a frame.

    Attributes:
        hours: 0 to 23.
        minutes: 0 to 59.
        seconds: 0 to 59.
        frames: Frames after the second, from 0.
        drop: Whether numbers are left out so that 29.97 frames a second keep up with a clock (drop-frame).
    """

    hours: int
    minutes: int
    seconds: int
    frames: int
    drop: bool = False

    def __str__(self) -> str:
        return f"{self.hours:02}:{self.minutes:02}:{self.seconds:02}{';' if self.drop else ':'}{self.frames:02}"

    def number(self, rate: int) -> int:
        """Return the frames from 00:00:00:00 to this one.

        Args:
            rate: Frames that the timecode counts in a second: 30 for 29.97.

        Raises:
            UsageError: There is no such address at this rate.
        """
        minutes = self.hours * 60 + self.minutes
        dropped = _dropped_a_minute(rate) if self.drop else 0
        if self.frames >= rate:
            raise UsageError(f"the timecode {self} does not exist", f"frames run from 0 to {rate - 1}")
        if self.seconds == 0 and self.minutes % 10 and self.frames < dropped:
            advice = f"drop-frame timecode leaves it out: write {Timecode(*self._minute, dropped, True)}"
            raise UsageError(f"the timecode {self} does not exist", advice)
        return (minutes * 60 + self.seconds) * rate + self.frames - dropped * (minutes - minutes // 10)

    @property
    def _minute(self) -> tuple[int, int, int]:
        return self.hours, self.minutes, self.seconds

    @classmethod
    def at(cls, number: int, rate: int, *, drop: bool) -> "Timecode":
        """Return the address of a frame; the inverse of `number`."""
        number %= _frames_a_day(rate, drop=drop)
        dropped = _dropped_a_minute(rate) if drop else 0
        ten_minutes, rest = divmod(number, 600 * rate - 9 * dropped)
        later = max(0, rest - 60 * rate) // (60 * rate - dropped) + 1 if rest >= 60 * rate else 0
        number += dropped * (9 * ten_minutes + later)
        seconds, frames = divmod(number, rate)
        return cls(seconds // 3600, seconds // 60 % 60, seconds % 60, frames, drop)


def _dropped_a_minute(rate: int) -> int:
    return _DROPPED * rate // _DROPPING_RATE


def _frames_a_day(rate: int, *, drop: bool) -> int:
    return _HOURS * 6 * (600 * rate - 9 * (_dropped_a_minute(rate) if drop else 0))


def parse_timecode(text: str) -> Timecode | None:
    """Return the timecode that a text is, as `01:00:00:12` or, drop-frame, `01:00:00;12`; None if it is none."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds, frames = (int(found[i]) for i in (1, 2, 3, 5))
    if hours >= _HOURS or minutes >= 60 or seconds >= 60:
        return None
    return Timecode(hours, minutes, seconds, frames, found[4] == ";")


def offset_of(wanted: Timecode, start: str, times: FrameTimes) -> int:
    """Return how many frames after a clip's first one a timecode lies; it may lie behind the clip's end.

    Args:
        wanted: The timecode.
        start: Timecode of the first frame; empty where the file has none, and counting begins at 0.
        times: The clip's frame times.

    Raises:
        UsageError: The clip's frames cannot be counted so, or no frame has this address at its rate.
    """
    rate = round(times.rate)
    if not times.constant or not rate:
        raise UsageError(
            f"the timecode {wanted} counts frames of one length, and the clip's differ",
            "write a frame (120) or a time (4.5s)",
        )
    first = _first(wanted, start)
    # A person may write a colon for the semicolon, which a shell takes for the end of a command.
    address = replace(wanted, drop=first.drop)
    if wanted.drop and not _may_drop(times, rate):
        problem = f"{wanted} is drop-frame timecode, which clips of {float(times.rate):.5g} frames a second do not have"
        raise UsageError(problem, f"write {replace(wanted, drop=False)}")
    if wanted.drop and not first.drop:
        raise UsageError(f"{wanted} is drop-frame timecode, and the clip's begins at {first}", f"write {address}")
    return (address.number(rate) - first.number(rate)) % _frames_a_day(rate, drop=first.drop)


def frame_at(wanted: Timecode, start: str, times: FrameTimes) -> int:
    """Return the index of the frame with a timecode; arguments and errors as of `offset_of`.

    Raises:
        UsageError: The clip has no frame with this timecode, too.
    """
    index = offset_of(wanted, start, times)
    if index >= len(times.pts):
        rate, first = round(times.rate), _first(wanted, start)
        last = Timecode.at(first.number(rate) + len(times.pts) - 1, rate, drop=first.drop)
        raise UsageError(f"the clip has no frame {wanted}", f"it runs from {first} to {last}")
    return index


def _first(wanted: Timecode, start: str) -> Timecode:
    return parse_timecode(start) or Timecode(0, 0, 0, 0, wanted.drop)


def _may_drop(times: FrameTimes, rate: int) -> bool:
    """Return whether a clip has 29.97 frames a second, or a multiple of that."""
    return rate % _DROPPING_RATE == 0 and times.rate < rate * _NTSC
