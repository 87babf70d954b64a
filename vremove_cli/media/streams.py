"""Copy the streams beside the edited one packet by packet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av
from av.container import InputContainer, OutputContainer
from av.rational import AVRational
from av.stream import AttachmentStream, Stream

from vremove_cli.errors import MediaError
from vremove_cli.media.amr import amr_frames
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.container import codec_name, open_input
from vremove_cli.media.packet_times import CopiedTimes, IncreasingTimes, unclocked_sound
from vremove_cli.media.subtitles import add_text, is_filler, is_mov_text, rewritten_as, text_packet
from vremove_cli.media.tags import stream_tags

AddVideo = Callable[[], None]
Action = Literal["copy", "text", "attach", "drop"]
_COVERS = {"mjpeg": ("jpg", "image/jpeg")}  # suffix and MIME type by codec, where they are not the codec's name
_TS_NONSTRICT = 0x20000  # AVFMT_TS_NONSTRICT of libavformat/avformat.h: two packets may have the same time
_MAY_COINCIDE = ("subtitle", "data")  # may have them in any container


@dataclass(frozen=True)
class StreamPlan:
    """What happens to one stream.

    Attributes:
        index: Index of the stream in the source.
        action: "copy" its packets, rewrite them as other text ("text"), "attach" cover art as a file, or "drop" it.
        label: The stream's description for the user.
        start: Seconds at which it starts, as a fraction such as "-1/48"; empty where it is unknown.
    """

    index: int
    action: Action
    label: str
    start: str = ""


def _add_copy(target: OutputContainer, template: Stream) -> Stream:
    if isinstance(template, AttachmentStream):
        name = template.metadata.get("filename", "attachment")
        return target.add_attachment(name, template.mimetype or "application/octet-stream", template.data)
    out = target.add_stream_from_template(template)
    out.metadata.update(stream_tags(template))
    out.disposition = template.disposition
    return out


def _attach_cover(target: OutputContainer, template: Stream) -> None:
    """Add cover art as Matroska holds it: as a file with a certain name."""
    with open_input(template.container.name) as source:
        picture = next(p for p in source.demux(source.streams[template.index]) if p.size)
    kind = template.codec_context.name
    suffix, mimetype = _COVERS.get(kind, (kind, f"image/{kind}"))
    target.add_attachment(template.metadata.get("filename", f"cover.{suffix}"), mimetype, bytes(picture))


class PacketCopier:
    """Copies the planned streams of a source into an output container, in step with the video's time.

    Args:
        source: Container of the clip; None if there is nothing to copy.
        target: The output, before its first packet.
        info: The clip.
        plans: What happens to each stream.
        shift: Seconds that are added to all times.
        add_video: Adds the edited stream to the output. It is called at the stream's place in the source's order.
    """

    def __init__(
        self,
        source: InputContainer | None,
        target: OutputContainer,
        info: ClipInfo,
        plans: tuple[StreamPlan, ...],
        shift: Fraction,
        add_video: AddVideo,
    ) -> None:
        self._shift = shift
        self._target = target
        self._empty = {s.index for s in info.streams if s.empty}
        self._labels = {p.index: p.label for p in plans}
        self._outputs: dict[int, Stream] = {}
        self._text: dict[int, str] = {}
        templates = {p.index: source.streams[p.index] for p in plans} if source is not None else {}
        copied = {p.index: templates[p.index] for p in plans if p.action == "copy"}
        self._cover_art = {i for i, stream in copied.items() if stream.type == "video"}
        self._mov_text = {p.index for p in plans if p.action != "drop" and is_mov_text(templates[p.index])}
        for plan in plans:
            if plan.index < info.stream:
                self._add_stream(plan, templates[plan.index])
        add_video()
        for plan in plans:
            if plan.index > info.stream:
                self._add_stream(plan, templates[plan.index])
        read = [templates[i] for i in self._outputs]
        self._source_times = {s.index: CopiedTimes(info.restarts, unclocked_sound(info.container, s)) for s in read}
        loose = bool(target.format.flags & _TS_NONSTRICT)
        self._output_times = {
            s.index: IncreasingTimes(0 if loose or s.type in _MAY_COINCIDE else 1, sound=s.type == "audio")
            for s in read
        }
        packets: Iterator[av.Packet] = source.demux(read) if source is not None and read else iter(())
        self._packets = (self._timed(p) for p in packets)
        self._next: av.Packet | None = None

    def _timed(self, packet: av.Packet) -> av.Packet:
        self._source_times[packet.stream.index].move(packet)
        return packet

    def _add_stream(self, plan: StreamPlan, template: Stream) -> None:
        if plan.action == "copy":
            out = _add_copy(self._target, template)
            if template.type != "attachment":
                self._outputs[plan.index] = out
        elif plan.action == "attach":
            _attach_cover(self._target, template)
        elif plan.action == "text":
            kind = rewritten_as(codec_name(template), self._target.format.name)
            assert kind is not None  # else it is copied
            self._outputs[plan.index] = add_text(self._target, template, kind)
            self._text[plan.index] = kind

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
        """Write a packet of the source; raise `MediaError` where the muxer refuses it."""
        if parts := amr_frames(packet):
            for part in parts:
                self._mux(part)
            return
        index = packet.stream.index
        if index in self._mov_text and is_filler(packet):
            return
        if index in self._text:
            packet = text_packet(packet, self._text[index])
        packet.stream = self._outputs[index]
        if self._shift:
            ticks = round(self._shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        self._target.start_encoding()  # from here on the output has its own ticks
        packet.rescale_ts(AVRational(packet.stream.time_base))
        self._output_times[index].move(packet)
        try:
            self._target.mux(packet)
        except (av.error.ArgumentError, av.error.InvalidDataError) as error:
            raise MediaError(
                f"{self._labels[index]} cannot be copied as it is ({error.strerror})",
                "write to another kind of file with -o, or take the stream out of the source first",
            ) from error

    def copy_first(self, seconds: Fraction) -> None:
        """Copy the first packet of every stream that has one, at `seconds` in the source's time."""
        missing = self._outputs.keys() - self._empty
        while missing and (packet := next(self._packets, None)) is not None:
            if packet.size and packet.stream.index in missing:
                missing.remove(packet.stream.index)
                packet.pts = packet.dts = round(seconds / packet.time_base)
                self._mux(packet)


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
        yield PacketCopier(None, target, info, (), shift, add_video)
        return
    with open_input(info.path) as source:
        yield PacketCopier(source, target, info, plans, shift, add_video)
