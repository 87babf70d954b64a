"""Correct packets' times where a container states them wrongly, before the packets are decoded or copied.

Two recordings that were joined as files (`cat a.ts b.ts`) have times that start again in the middle. The edited stream
decides by how much all later times are moved, so that picture and sound stay together.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from fractions import Fraction

import av
from av.rational import AVRational
from av.stream import Stream

# Seconds by which decoding times fall back where they start again. Sound may be off the picture by less (EBU R37).
_FALL = Fraction(1, 25)
# Sound of which each packet is one frame: of a number of samples that FFmpeg states, or of this one (ATSC A/52).
_FRAMED = ("mp3", "mp3float", "mp2", "mp2float", "ac3")
_AC3_SAMPLES = 1536


@dataclass(frozen=True)
class Restart:
    """A place at which a file's times start again.

    Attributes:
        position: Offset in bytes of the first video packet behind it; -1 where the container does not say.
        shift: Seconds that are added to all times behind it.
    """

    position: int
    shift: Fraction


class VideoTimes:
    """Moves the edited stream's packets, from the first on, so that their times go on where they start again.

    Args:
        known: The restarts that a scan found. Without them a part begins where picture and sound of the part before
            end; `hear` tells where its sound ends.

    Attributes:
        restarts: The restarts so far.
    """

    def __init__(self, known: tuple[Restart, ...] | None = None) -> None:
        self.restarts: list[Restart] = []
        self._known = known
        self._last: int | None = None  # dts of the last packet as the file states it
        self._step = 1  # ticks
        self._ends: dict[int, Fraction] = {}  # by part, in seconds as the file states them
        self._heard: dict[int, tuple[int, int]] = {}  # by stream: part and dts of its last packet

    def move(self, packet: av.Packet) -> None:
        """Move the next packet."""
        if packet.dts is None:
            return
        begins = packet.dts if packet.pts is None else packet.pts
        if self._last is not None:
            if _falls(packet, self._last):
                self.restarts.append(self._restart(packet, begins * packet.time_base))
            elif packet.dts > self._last:
                self._step = packet.dts - self._last
        self._last = packet.dts
        self._note_end(len(self.restarts), (begins + (packet.duration or self._step)) * packet.time_base)
        if self.restarts:
            _add(packet, round(self.restarts[-1].shift / packet.time_base))

    def hear(self, packet: av.Packet) -> None:
        """Take note of a packet of sound."""
        if packet.dts is None:
            return
        part, last = self._heard.get(packet.stream.index, (0, packet.dts))
        part += _falls(packet, last)
        self._heard[packet.stream.index] = part, packet.dts
        self._note_end(part, (packet.dts + (packet.duration or 0)) * packet.time_base)

    def _note_end(self, part: int, seconds: Fraction) -> None:
        self._ends[part] = max(seconds, self._ends.get(part, seconds))

    def _restart(self, packet: av.Packet, begins: Fraction) -> Restart:
        part = len(self.restarts)
        if self._known is not None and part < len(self._known):
            return self._known[part]
        before = self.restarts[-1].shift if self.restarts else Fraction(0)
        return Restart(_position(packet), before + self._ends[part] - begins)


class CopiedTimes:
    """Moves the packets of a stream that is copied, from the first on.

    Args:
        restarts: The restarts that the edited stream has.
        sound: What tells how long a packet is, where packets are to follow each other without a gap; else None.
    """

    def __init__(self, restarts: tuple[Restart, ...], sound: "SoundLength | None") -> None:
        self._restarts = restarts
        self._positions = [r.position for r in restarts]
        self._sound = sound
        self._part = 0  # restarts before the current packet
        self._last: int | None = None  # dts of the last packet as the file states it
        self._end: Fraction | None = None  # seconds, of the last packet

    def move(self, packet: av.Packet) -> None:
        """Move the next packet."""
        self._follow_restarts(packet)
        if self._sound is not None and packet.dts is not None and packet.size:
            begins, length = packet.dts * packet.time_base, self._sound.seconds(packet)
            if self._end is not None and abs(begins - self._end) > length / 2:
                begins = self._end
                self._sound.place(packet, begins)
            self._end = begins + length

    def _follow_restarts(self, packet: av.Packet) -> None:
        """Add the shift of the part that a packet is in: the stream's own times fall there, or the video's did."""
        if not self._restarts:
            return
        if packet.dts is not None:
            if self._last is not None and _falls(packet, self._last):
                self._part += 1
            self._last = packet.dts
        position = _position(packet)
        if position >= 0 and self._positions[0] >= 0:
            self._part = max(self._part, bisect_right(self._positions, position))
        self._part = min(self._part, len(self._restarts))
        if self._part:
            _add(packet, round(self._restarts[self._part - 1].shift / packet.time_base))


class IncreasingTimes:
    """Holds the decoding times of one output stream to what a muxer takes.

    Args:
        least: Ticks from one to the next at least: 0 where two packets may have the same time, else 1.
        sound: Whether a packet without a length is as long as the one before. In mp4 the last one is lost without.
    """

    def __init__(self, least: int, *, sound: bool) -> None:
        self._least, self._sound = least, sound
        self._last: int | None = None  # ticks of the output stream

    def move(self, packet: av.Packet) -> None:
        """Move the next packet, whose times are in the output stream's ticks, by as little as needed."""
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None:
            return
        if self._last is not None:
            packet.dts = max(packet.dts, self._last + self._least)
            if self._sound and not packet.duration:
                packet.duration = packet.dts - self._last
        if packet.pts is not None and packet.pts < packet.dts:
            packet.pts = packet.dts
        self._last = packet.dts


@dataclass(frozen=True)
class SoundLength:
    """Tells how long packets of sound are.

    Attributes:
        rate: Samples a second.
        samples: Samples in every packet; 0 for PCM.
        sample_bytes: Bytes of one sample of all channels, for PCM.
    """

    rate: int
    samples: int
    sample_bytes: int

    def seconds(self, packet: av.Packet) -> Fraction:
        """Return the length of a packet."""
        return Fraction(self.samples or packet.size // self.sample_bytes, self.rate)

    def place(self, packet: av.Packet, begins: Fraction) -> None:
        """Let a packet begin at a number of seconds, to the sample."""
        packet.rescale_ts(AVRational(1, self.rate))
        packet.pts = packet.dts = round(begins * self.rate)


def unclocked_sound(container: str, stream: Stream) -> SoundLength | None:
    """Return the length of a stream's packets if it is sound whose times are not stated; None for all others.

    AVI stores no times: FFmpeg computes them from a clock in the header, which may be wrong.

    Args:
        container: FFmpeg's name of the demuxer.
        stream: A stream of the source.
    """
    context = stream.codec_context
    if container != "avi" or context is None or stream.type != "audio" or not context.sample_rate:
        return None
    if context.name.startswith("pcm_"):
        bits = re.search(r"\d+", context.name)  # none in A-law and mu-law, which have 8
        return SoundLength(context.sample_rate, 0, context.channels * (int(bits.group()) if bits else 8) // 8)
    samples = _AC3_SAMPLES if context.name == "ac3" else context.frame_size
    return SoundLength(context.sample_rate, samples, 0) if context.name in _FRAMED and samples else None


def _falls(packet: av.Packet, last: int) -> bool:
    return (last - packet.dts) * packet.time_base > _FALL


def _position(packet: av.Packet) -> int:
    return -1 if packet.pos is None else packet.pos


def _add(packet: av.Packet, ticks: int) -> None:
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks
