"""Copy the streams beside the edited one packet by packet, and report the ones that the container cannot hold."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Stream

from vremove_cli.errors import MediaError
from vremove_cli.media.amr import amr_frames
from vremove_cli.media.clip import SEQUENCE, ClipInfo, StreamInfo
from vremove_cli.media.container import open_input

AddVideo = Callable[[], None]
Action = Literal["copy", "text", "drop"]
# Codecs that mpegts holds. Its muxer accepts others as well and marks them as private data.
_MPEGTS_CODECS = ("aac", "mp3", "mp3float", "mp2", "ac3", "eac3", "opus", "dca", "truehd", "dvbsub")
_EMPTY_MOV_TEXT = b"\0\0"  # a text of length 0
_TEXT_TIME_BASE = Fraction(1, 1000)  # seconds
_TEXT_CODECS = ("subrip", "srt", "text")  # subtitles that are rewritten as mov_text
# Tags that describe the source's encoding and not its content.
_ENCODING_TAGS = (
    "encoder",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "bps",
    "vendor_id",
    "major_brand",
    "minor_version",
    "compatible_brands",
)


@dataclass(frozen=True)
class StreamPlan:
    """What happens to one stream.

    Attributes:
        index: Index of the stream in the source.
        action: "copy" its packets, rewrite them as mov_text ("text"), or "drop" them.
        label: The stream's description for the user.
        start: Seconds at which it starts, as a fraction such as "-1/48"; empty where it is unknown.
    """

    index: int
    action: Action
    label: str
    start: str = ""


def plan_streams(info: ClipInfo, container: str, *, drop: bool, notes: list[str]) -> tuple[StreamPlan, ...]:
    """Decide what happens to every stream beside the edited one.

    Args:
        info: The clip.
        container: FFmpeg's name of the output's muxer, or `SEQUENCE`.
        drop: Whether a stream that the container cannot hold is dropped instead of raising an error.
        notes: Takes a sentence for every stream that is lost.

    Raises:
        MediaError: The container cannot hold a stream; the message names it.
    """
    if container == SEQUENCE or info.is_sequence:
        if info.streams:
            notes.append("images hold no other streams: " + ", ".join(map(str, info.streams)) + " not written")
        return ()
    plans = []
    with open_input(info.path) as source:
        for stream in info.streams:
            action = _action(source, stream, container, drop, notes)
            start, time_base = source.streams[stream.index].start_time, source.streams[stream.index].time_base
            seconds = "" if start is None or time_base is None else str(start * time_base)
            plans.append(StreamPlan(stream.index, action, str(stream), seconds))
    return tuple(plans)


def _action(source: InputContainer, stream: StreamInfo, container: str, drop: bool, notes: list[str]) -> Action:
    if stream.type == "data":
        timecode = source.streams[stream.index].metadata.get("timecode")
        kept = f": its timecode {timecode} is kept as a tag" if timecode else ""
        notes.append(f"{stream} cannot be copied{kept}")
        return "drop"
    if stream.type == "subtitle" and stream.codec in _TEXT_CODECS and container in ("mp4", "mov"):
        return "text"
    if _fits(source.streams[stream.index], container):
        return "copy"
    if drop:
        notes.append(f"{stream} does not fit into {container} and is dropped")
        return "drop"
    raise MediaError(f"{stream} does not fit into {container}", "write to .mkv, or add --drop-streams to lose it")


def _fits(template: Stream, container: str) -> bool:
    """Return whether a muxer accepts a copy of a stream, by writing a header with it."""
    if template.type == "attachment":
        return container == "matroska"
    if container == "mpegts" and template.codec_context is not None:
        return template.codec_context.name in _MPEGTS_CODECS
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            _add_copy(trial, template)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError, AttributeError):
        return False
    return True


def _add_copy(target: OutputContainer, template: Stream) -> Stream:
    if isinstance(template, AttachmentStream):
        name = template.metadata.get("filename", "attachment")
        return target.add_attachment(name, template.mimetype or "application/octet-stream", template.data)
    out = target.add_stream_from_template(template)
    out.metadata.update(clean_tags(template.metadata))
    out.disposition = template.disposition
    return out


def clean_tags(tags: dict[str, str]) -> dict[str, str]:
    """Return metadata without the tags that describe the source's encoding."""
    return {k: v for k, v in tags.items() if k.lower() not in _ENCODING_TAGS and not k.startswith("_STATISTICS")}


class PacketCopier:
    """Copies the planned streams of a source into an output container, in step with the video's time.

    Args:
        source: Container of the clip; None if there is nothing to copy.
        target: The output, before its first packet.
        plans: What happens to each stream.
        shift: Seconds that are added to all times.
        video: Index of the edited stream in the source.
        add_video: Adds the edited stream to the output. It is called at the stream's place in the source's order.
    """

    def __init__(
        self,
        source: InputContainer | None,
        target: OutputContainer,
        plans: tuple[StreamPlan, ...],
        shift: Fraction,
        video: int,
        add_video: AddVideo,
    ) -> None:
        self._shift = shift
        self._target = target
        self._outputs: dict[int, Stream] = {}
        self._text: set[int] = set()
        templates = {p.index: source.streams[p.index] for p in plans} if source is not None else {}
        copied = {p.index: templates[p.index] for p in plans if p.action == "copy"}
        self._cover_art = {i for i, stream in copied.items() if stream.type == "video"}
        # The muxer itself fills the time between two mov_text samples with empty ones.
        self._mov_text = {i for i, stream in copied.items() if _is_mov_text(stream)}
        for plan in plans:
            if plan.index < video:
                self._add_stream(plan, templates[plan.index])
        add_video()
        for plan in plans:
            if plan.index > video:
                self._add_stream(plan, templates[plan.index])
        read = [templates[i] for i in self._outputs]
        self._packets: Iterator[av.Packet] = source.demux(read) if source is not None and read else iter(())
        self._next: av.Packet | None = None

    def _add_stream(self, plan: StreamPlan, template: Stream) -> None:
        if plan.action == "copy":
            out = _add_copy(self._target, template)
            if template.type != "attachment":
                self._outputs[plan.index] = out
        elif plan.action == "text":
            self._outputs[plan.index] = _add_text(self._target, template)
            self._text.add(plan.index)

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy every packet that starts no later than `seconds` in the source's time; None copies the rest."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                return
            if packet.dts is None and packet.pts is None:
                if packet.size and packet.stream.index in self._cover_art:
                    packet.pts = packet.dts = 0  # its packet has no time
                    self._mux(packet)
                continue
            start = (packet.dts if packet.dts is not None else packet.pts) * packet.time_base
            if seconds is not None and start > seconds:
                self._next = packet
                return
            self._mux(packet)

    def _mux(self, packet: av.Packet) -> None:
        if parts := amr_frames(packet):
            for part in parts:
                self._mux(part)
            return
        index = packet.stream.index
        if index in self._mov_text and bytes(packet) == _EMPTY_MOV_TEXT:
            return
        if index in self._text:
            packet = _text_packet(packet)
        packet.stream = self._outputs[index]
        if self._shift:
            ticks = round(self._shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        self._target.mux(packet)


def _is_mov_text(stream: Stream) -> bool:
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.name == "mov_text"


def _add_text(target: OutputContainer, template: Stream) -> Stream:
    out = target.add_mux_stream("mov_text")
    out.time_base = _TEXT_TIME_BASE
    out.metadata.update(clean_tags(template.metadata))
    out.disposition = template.disposition
    return out


def _text_packet(packet: av.Packet) -> av.Packet:
    """Return a mov_text sample (3GPP TS 26.245): a 16-bit big-endian length and the text in UTF-8."""
    text = bytes(packet)
    out = av.Packet(len(text).to_bytes(2, "big") + text)
    out.pts, out.dts, out.duration, out.time_base = packet.pts, packet.pts, packet.duration, packet.time_base
    return out


@contextmanager
def open_copier(
    info: ClipInfo, target: OutputContainer, plans: tuple[StreamPlan, ...], shift: Fraction, add_video: AddVideo
) -> Iterator[PacketCopier]:
    """Yield a `PacketCopier` that reads the clip's own file, which is open while the block runs.

    Args:
        info: The clip.
        target: The output, before its first packet.
        plans: What happens to each stream. Without any, as for an image sequence, no file is opened.
        shift: Seconds that are added to all times.
        add_video: Adds the edited stream to the output.
    """
    if not plans:
        yield PacketCopier(None, target, (), shift, info.stream, add_video)
        return
    with open_input(info.path) as source:
        yield PacketCopier(source, target, plans, shift, info.stream, add_video)
