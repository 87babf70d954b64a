"""The clock of an encoder: it counts frames, and the packets that it gives back get the clip's own times.

Codecs write their clock into the stream and limit it: MPEG-1 and MPEG-2 to the frame rates of television, MPEG-4 to
steps of 1/65535 s. A container's clock, such as 1/90000 s, is none of these. So no encoder sees it.
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av

from vremove_cli.media.timing import FrameTimes

# Frames a second of cinema, television and screens, and those of NTSC, which are 1000/1001 of whole numbers.
_USUAL_RATES = tuple(Fraction(n) for n in (24, 25, 30, 50, 60, 48, 100, 120, 15, 12, 10))
_NTSC_RATES = tuple(Fraction(n * 1000, 1001) for n in (24, 30, 60, 48, 120, 15))
_COUNTS_FRAMES = ("avi", "mxf")  # containers that store a frame rate, and no times
# Seconds in a tick of containers that have one clock, as FFmpeg writes them.
_FIXED_CLOCKS = {
    "matroska": Fraction(1, 1000), "webm": Fraction(1, 1000), "flv": Fraction(1, 1000), "gif": Fraction(1, 100),
    "mpegts": Fraction(1, 90000), "mpeg": Fraction(1, 90000),
}  # fmt: skip
_FINE = 4  # ticks of a frame from which a tick more or less is no other rate
_MAX_CLOCK = 60000  # ticks a second; MPEG-4 allows 65535, the least of the encoders without a list of rates


def frame_rate(times: FrameTimes) -> Fraction:
    """Return a clip's frames a second: the usual rate that all its times follow within a tick, else their mean.

    Where a tick is about as long as a frame, times say nothing to within a tick: the rate is that of most frames.
    """
    misfits = {rate: _misfit(times, rate) for rate in (*_USUAL_RATES, *_NTSC_RATES)}
    best = min(misfits, key=lambda rate: misfits[rate])
    steps = Counter(b - a for a, b in pairwise(times.pts))
    usual = max(steps, key=lambda step: steps[step], default=times.last_duration)
    if misfits[best] and 0 < usual < _FINE:
        return 1 / (usual * times.time_base)
    return best if misfits[best] <= 1 else times.rate


def _misfit(times: FrameTimes, rate: Fraction) -> Fraction:
    """Return the most ticks by which a frame is off a constant rate; any number above 1 if it is more than that."""
    step = 1 / (rate * times.time_base)
    ticks, unit = step.numerator, step.denominator
    if len(times.pts) == 1:
        return abs(times.last_duration - step)
    most = 0
    for i in reversed(range(len(times.pts))):  # the last frame is the farthest from a wrong rate
        most = max(most, abs((times.pts[i] - times.pts[0]) * unit - i * ticks))
        if most > unit:
            break
    return Fraction(most, unit)


def encoder_rate(times: FrameTimes, encoder: str) -> Fraction:
    """Return the frames a second that an encoder is told: the clip's, or the nearest that the encoder's codec has."""
    rate = frame_rate(times)
    allowed = [Fraction(r.numerator, r.denominator) for r in av.Codec(encoder, "w").frame_rates or []]
    if allowed:
        return min(allowed, key=lambda r: abs(r - rate))
    return 1 / (1 / min(rate, Fraction(_MAX_CLOCK))).limit_denominator(_MAX_CLOCK)


def stream_clock(times: FrameTimes, container: str) -> Fraction:
    """Return the seconds in a tick of the output's times: the clip's, or one frame where a container counts frames."""
    if container in _COUNTS_FRAMES and times.constant:
        return 1 / frame_rate(times)
    return times.time_base


def rounding_clock(times: FrameTimes, container: str) -> Fraction | None:
    """Return the seconds in a tick of a container that cannot hold all of a clip's times; None if it can."""
    clock = _FIXED_CLOCKS.get(container)
    if clock is None:
        return None
    ticks = times.time_base / clock
    fits = all((p - times.pts[0]) * ticks.numerator % ticks.denominator == 0 for p in times.pts)
    return None if fits else clock


@dataclass(frozen=True)
class EncoderClock:
    """Numbers the frames for an encoder, and puts their times on its packets.

    Attributes:
        times: Times of the clip's frames.
        step: Seconds from one frame to the next, as the encoder counts.
        shift: Ticks that are added to all times.
    """

    times: FrameTimes
    step: Fraction
    shift: int

    def number(self, frame: av.VideoFrame, index: int) -> None:
        """Give a frame its number as its time."""
        frame.pts, frame.time_base = index, self.step

    def restore(self, packet: av.Packet) -> None:
        """Replace the number of a packet's frame by its time, and the number of its decoding likewise."""
        assert packet.time_base is not None  # encoders count in their own clock
        scale = packet.time_base / self.step
        if packet.pts is not None:
            shown = round(packet.pts * scale)
            packet.pts, packet.duration = self._ticks(shown), self.times.duration(shown)
        if packet.dts is not None:
            packet.dts = self._ticks(round(packet.dts * scale))
        packet.time_base = self.times.time_base

    def _ticks(self, index: int) -> int:
        """Return the time of a frame in ticks; before the first, frames are as long as the usual one."""
        if index >= 0:
            return self.times.pts[index] + self.shift
        usual = max(1, round(1 / (self.times.rate * self.times.time_base)))
        return self.times.pts[0] + index * usual + self.shift
