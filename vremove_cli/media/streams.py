"""Everything of a file that is not the edited picture: copied packet for packet, or named when it cannot be."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av

from vremove_cli.errors import MediaError
from vremove_cli.media.clip import SEQUENCE, ClipInfo, StreamInfo
from vremove_cli.media.probe import open_input

AddVideo = Callable[[], None]
Action = Literal["copy", "text", "drop"]
# The mpegts muxer takes anything and marks what it does not know as private data.
_TS_HOLDS = ("aac", "mp3", "mp3float", "mp2", "ac3", "eac3", "opus", "dca", "truehd", "dvbsub")
_NO_TEXT = b"\0\0"
# Tags that describe the old encoding, not the content.
_STALE = ("encoder", "duration", "number_of_frames", "number_of_bytes", "bps", "vendor_id", "major_brand",
          "minor_version", "compatible_brands")  # fmt: skip


@dataclass(frozen=True)
class StreamPlan:
    """What happens to one stream: copied, rewritten as mov_text, or dropped."""

    index: int
    action: Action
    label: str
    start: str = ""  # seconds at which it starts, as a fraction


def plan_streams(info: ClipInfo, container: str, *, drop: bool, notes: list[str]) -> tuple[StreamPlan, ...]:
    """Decide every stream's fate; what is lost is added to `notes`.

    Raises `MediaError` that names a stream the container cannot hold, unless `drop` allows to lose it.
    """
    if container == SEQUENCE or info.is_sequence:
        if info.streams:
            notes.append("images hold no other streams: " + ", ".join(map(str, info.streams)) + " not written")
        return ()
    plans = []
    with open_input(info.path) as source:
        for stream in info.streams:
            action = _action(source, stream, container, drop, notes)
            start = source.streams[stream.index].start_time
            begins = str(start * source.streams[stream.index].time_base) if start is not None else ""
            plans.append(StreamPlan(stream.index, action, str(stream), begins))
    return tuple(plans)


def _action(source: Any, stream: StreamInfo, container: str, drop: bool, notes: list[str]) -> Action:
    if stream.type == "data":
        timecode = source.streams[stream.index].metadata.get("timecode")
        kept = f": its timecode {timecode} is kept as a tag" if timecode else ""
        notes.append(f"{stream} cannot be copied{kept}")
        return "drop"
    if stream.type == "subtitle" and stream.codec in ("subrip", "srt", "text") and container in ("mp4", "mov"):
        return "text"
    if _fits(source.streams[stream.index], container):
        return "copy"
    if drop:
        notes.append(f"{stream} does not fit into {container} and is dropped")
        return "drop"
    raise MediaError(f"{stream} does not fit into {container}", "write to .mkv, or add --drop-streams to lose it")


def _fits(template: Any, container: str) -> bool:
    if template.type == "attachment":
        return container == "matroska"
    if container == "mpegts" and template.codec_context is not None:
        return template.codec_context.name in _TS_HOLDS
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            _add_copy(trial, template)
            trial.start_encoding()
    except (ValueError, av.error.FFmpegError, AttributeError):
        return False
    return True


def _add_copy(target: Any, template: Any) -> Any:
    if template.type == "attachment":
        name = template.metadata.get("filename", "attachment")
        return target.add_attachment(name, template.mimetype or "application/octet-stream", template.data)
    out = target.add_stream_from_template(template)
    out.metadata.update(clean_tags(template.metadata))
    out.disposition = template.disposition
    return out


def clean_tags(tags: dict[str, str]) -> dict[str, str]:
    """Metadata without what only described the old file's encoding."""
    return {k: v for k, v in tags.items() if k.lower() not in _STALE and not k.startswith("_STATISTICS")}


class PacketCopier:
    """Copies the planned streams of a source into an output container, in step with the video's time."""

    def __init__(
        self, source: Any, target: Any, plans: tuple[StreamPlan, ...], shift: Fraction, video: int, add: AddVideo
    ) -> None:
        """`add` is called where the edited stream, number `video` of the source, comes in the order of streams."""
        self._shift = shift
        self._target = target
        self._outputs: dict[int, Any] = {}
        self._text: set[int] = set()
        self._pictures = {p.index for p in plans if p.action == "copy" and source.streams[p.index].type == "video"}
        # The muxer fills the time between two mov_text samples with empty ones by itself.
        self._own_gaps = {p.index for p in plans if p.action == "copy" and _is_mov_text(source.streams[p.index])}
        pending: AddVideo | None = add
        for plan in plans:
            if pending and plan.index > video:
                pending()
                pending = None
            template = source.streams[plan.index]
            if plan.action == "copy":
                out = _add_copy(target, template)
                if template.type != "attachment":
                    self._outputs[plan.index] = out
            elif plan.action == "text":
                self._outputs[plan.index] = _add_text(target, template)
                self._text.add(plan.index)
        if pending:
            pending()
        wanted = [source.streams[i] for i in self._outputs]
        self._packets: Iterator[Any] = source.demux(wanted) if wanted else iter(())
        self._next: Any = None

    def until(self, seconds: Fraction | None) -> None:
        """Copy every packet that starts no later than `seconds` of the source's time; None copies the rest."""
        while True:
            packet = self._next or next(self._packets, None)
            self._next = None
            if packet is None:
                return
            if packet.dts is None and packet.pts is None:
                if packet.size and packet.stream.index in self._pictures:
                    packet.pts = packet.dts = 0  # cover art: a packet without a time
                    self._mux(packet)
                continue
            start = (packet.dts if packet.dts is not None else packet.pts) * packet.time_base
            if seconds is not None and start > seconds:
                self._next = packet
                return
            self._mux(packet)

    def _mux(self, packet: Any) -> None:
        index = packet.stream.index
        if index in self._own_gaps and bytes(packet) == _NO_TEXT:
            return
        if index in self._text:
            packet = _text_packet(packet)
        packet.stream = self._outputs[index]
        if self._shift:
            ticks = round(self._shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        self._target.mux(packet)


def _is_mov_text(stream: Any) -> bool:
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.name == "mov_text"


def _add_text(target: Any, template: Any) -> Any:
    out = target.add_mux_stream("mov_text")
    out.time_base = Fraction(1, 1000)
    out.metadata.update(clean_tags(template.metadata))
    out.disposition = template.disposition
    return out


def _text_packet(packet: Any) -> Any:
    """A mov_text sample (3GPP TS 26.245): a 16-bit length and the text in UTF-8."""
    text = bytes(packet)
    out = av.Packet(len(text).to_bytes(2, "big") + text)
    out.pts, out.dts, out.duration, out.time_base = packet.pts, packet.pts, packet.duration, packet.time_base
    return out


@contextmanager
def copier(
    info: ClipInfo, target: Any, plans: tuple[StreamPlan, ...], shift: Fraction, add: AddVideo
) -> Iterator[PacketCopier]:
    """A `PacketCopier` over the clip's own file; an image sequence has nothing to copy."""
    if not plans:
        yield PacketCopier(None, target, (), shift, info.stream, add)
        return
    with open_input(info.path) as source:
        yield PacketCopier(source, target, plans, shift, info.stream, add)
