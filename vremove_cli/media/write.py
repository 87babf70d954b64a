"""Write the edited clip with the source's frame times, tags, chapters and other streams, whole or not at all."""

import contextlib
import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from vremove_cli import atomic
from vremove_cli.errors import MediaError, UsageError
from vremove_cli.media import hardware
from vremove_cli.media.captions import CODECS, with_captions
from vremove_cli.media.clip import SEQUENCE, ClipInfo
from vremove_cli.media.completion import languages_of, write_chapter_languages, write_gif_comment
from vremove_cli.media.container import open_input, open_output
from vremove_cli.media.encoder_clock import EncoderClock, encoder_rate, stream_clock
from vremove_cli.media.encoder_context import EncodeSpec, configure_encoder, to_format
from vremove_cli.media.encoder_options import FEW_FRAMES
from vremove_cli.media.gif import loop_count
from vremove_cli.media.image_writer import image_path, open_image_writer
from vremove_cli.media.read import Frame
from vremove_cli.media.streams import PacketCopier, StreamPlan, open_copier
from vremove_cli.media.tags import file_tags, needs_keys, stream_tags

# Containers without negative times.
_FROM_ZERO = ("matroska", "webm", "avi", "flv")
_WITHOUT_START = "avi"  # its first packets are at 0
# Containers whose edit list hides negative times of audio, but not of the video stream.
_EDIT_LISTS = ("mp4", "mov", "3gp", "3g2")
_MOST_TICKS = (1 << 31) - 1  # a second, of FFmpeg's option for the movie's clock
_MICROSECONDS = 1_000_000  # in a second
_MPEG_PRELOAD = Fraction(1, 2)  # seconds for which FFmpeg's muxer of program streams lets a decoder collect data
_MATROSKA = ("matroska", "webm")


class Writer(Protocol):
    """Takes the frames of a clip in order."""

    def write(self, frame: Frame) -> None:
        """Encode the next frame at its own time."""


@dataclass(frozen=True)
class VideoFile:
    """An output that is open for writing.

    Attributes:
        container: The open container.
        video: Its edited stream.
        copier: Copies the other streams.
        shift: Ticks that are added to all times.
    """

    container: OutputContainer
    video: VideoStream
    copier: PacketCopier
    shift: int


class VideoWriter:
    """Encodes into one file and copies the other streams in step.

    Args:
        file: The open output.
        info: The clip.
        spec: The encoder's specification.
    """

    def __init__(self, file: VideoFile, info: ClipInfo, spec: EncodeSpec) -> None:
        self._container, self._stream, self._info, self._spec = file.container, file.video, info, spec
        self._codec = file.video.codec_context.codec.canonical_name
        self._copier, self._shift = file.copier, file.shift
        self._clock = EncoderClock(info.times, 1 / encoder_rate(info.times, spec.encoder), file.shift)
        self._captions: dict[int, bytes] = {}
        self._palette = _PaletteGraph(info) if spec.encoder == "gif" else None

    def write(self, frame: Frame) -> None:
        """Encode the next frame at its own time, after the other streams' packets up to that time."""
        times = self._info.times
        self._copier.copy_until(times.pts[frame.index] * times.time_base)
        if self._palette:
            raw = self._palette.convert(frame.raw)
        else:
            raw = to_format(frame.raw, self._info, self._spec.pix_fmt)
        self._clock.number(raw, frame.index)
        raw.pict_type = 0
        if frame.captions:
            self._captions[times.pts[frame.index] + self._shift] = frame.captions
        self._mux(self._stream.encode(raw))

    def close(self) -> None:
        """Flush the encoder and copy the rest of the other streams."""
        self._mux(self._stream.encode())
        self._copier.copy_until(None)

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            if self._spec.encoder == "libx265" and self._info.frames <= FEW_FRAMES:
                packet.dts = packet.pts  # such clips have no B-frames
            self._clock.restore(packet)
            captions = self._captions.pop(packet.pts, b"")
            told = with_captions(packet, captions, self._codec) if captions and self._codec in CODECS else packet
            self._container.mux(told)


@contextmanager
def open_writer(
    output: str, info: ClipInfo, spec: EncodeSpec, plans: tuple[StreamPlan, ...], *, overwrite: bool
) -> Iterator[Writer]:
    """Yield a `Writer` whose result appears at `output` when the block ends without an error.

    Args:
        output: Path of a file, or folder or pattern of an image sequence. A symbolic link stays one: its target is
            replaced.
        info: The clip.
        spec: The encoder's specification.
        plans: What happens to the other streams.
        overwrite: Whether an existing output is replaced.

    Raises:
        UsageError: The output must not be written.
        MediaError: This machine lacks the encoder in hardware.
        OSError: The disk refuses.
    """
    check_output(output, info, spec, overwrite=overwrite)
    hardware.require(spec, info)
    target = os.path.realpath(output)
    if spec.container == SEQUENCE:
        with open_image_writer(target, info, spec) as images:
            yield images
        return
    atomic.remove_leftovers(Path(target), keep_suffix=True)
    with (
        atomic.replace_file(Path(target), keep_suffix=True) as hidden,
        _open_video_writer(hidden, info, spec, plans) as video,
    ):
        yield video


def check_output(output: str, info: ClipInfo, spec: EncodeSpec, *, overwrite: bool) -> None:
    """Check that an output may be written.

    Args:
        output: Path of a file, or folder or pattern of an image sequence.
        info: The clip.
        spec: The encoder's specification.
        overwrite: Whether an existing output is replaced.

    Raises:
        UsageError: A file of the output is the input itself, exists, or is a folder.
    """
    if spec.container == SEQUENCE:
        targets = [image_path(output, info, i) for i in range(info.frames)]
    else:
        targets = [Path(output)]
    sources = {Path(p).resolve() for p in (info.files or (info.path,))}
    for target in targets:
        if target.resolve() in sources:
            raise UsageError(f"{target} is the input itself", "choose another output with -o")
        atomic.refuse_existing(target, overwrite=overwrite)
        if target.is_dir():
            raise UsageError(f"{target} is a folder", "name a file with -o")


def _time_shift(info: ClipInfo, container: str, plans: tuple[StreamPlan, ...]) -> int:
    """Return the ticks by which all times are moved, so that a container without negative or late times holds them."""
    if container in _FROM_ZERO:
        start = _start(info, plans)
    elif container in _EDIT_LISTS:
        start = _start(info, ())
    else:
        return 0
    shift = -math.floor(start / info.times.time_base)
    return shift if container == _WITHOUT_START else max(0, shift)


def _start(info: ClipInfo, plans: tuple[StreamPlan, ...]) -> Fraction:
    """Return the seconds at which the first of the streams starts."""
    others = [Fraction(p.start) for p in plans if p.action != "drop" and p.start]
    return min([info.times.pts[0] * info.times.time_base, *others])


@contextmanager
def _open_video_writer(
    path: Path, info: ClipInfo, spec: EncodeSpec, plans: tuple[StreamPlan, ...]
) -> Iterator[VideoWriter]:
    with open_video_file(path, info, spec, plans) as file:
        writer = VideoWriter(file, info, spec)
        yield writer
        writer.close()


@contextmanager
def open_video_file(
    target: Path | io.BytesIO, info: ClipInfo, spec: EncodeSpec, plans: tuple[StreamPlan, ...]
) -> Iterator[VideoFile]:
    """Yield an output with all its streams and tags, before its first packet; it is closed when the block ends.

    Args:
        target: Path of a file, or memory.
        info: The clip.
        spec: The encoder's specification.
        plans: What happens to the other streams.

    Raises:
        av.error.FFmpegError: The muxer or the encoder refuses.
    """
    shift = _time_shift(info, spec.container, plans)
    seconds = shift * info.times.time_base
    streams: list[VideoStream] = []
    with (
        open_output(target, spec.container, _mux_options(info, spec.container, plans)) as container,
        open_copier(
            info, container, plans, seconds, lambda: streams.append(_add_video(container, info, spec))
        ) as copier,
    ):
        _copy_tags(info, container, streams[0], seconds)
        yield VideoFile(container, streams[0], copier, shift)
    if not info.is_sequence:
        _complete(target, info, spec.container)


def _complete(target: Path | io.BytesIO, info: ClipInfo, container: str) -> None:
    """Write what the muxer has left out of a finished file."""
    with open_input(info.path) as source:
        comment = source.metadata.get("comment", "") if container == "gif" else ""
        languages = languages_of(source)
    if not comment and not (any(languages) and container in _MATROSKA):
        return
    with target.open("r+b") if isinstance(target, Path) else contextlib.nullcontext(target) as file:
        if comment:
            write_gif_comment(file, comment)
        else:
            write_chapter_languages(file, languages)


def _mux_options(info: ClipInfo, container: str, plans: tuple[StreamPlan, ...]) -> dict[str, str]:
    """Return the muxer's options that keep times and tags."""
    if container in _EDIT_LISTS:
        # The track's clock keeps every tick. The movie's clock would round the gap before a stream starts.
        ticks = info.times.time_base.denominator
        options = {"video_track_timescale": str(ticks), "movie_timescale": str(_movie_ticks(ticks, plans))}
        # A list of QuickTime keys holds any tag, and no cover art.
        if not any(s.picture for s in info.streams) and not info.is_sequence and needs_keys(container, _tags(info)):
            options["movflags"] = "+use_metadata_tags"
        return options
    if container == "mpegts":
        return {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
    if container == "mpeg" and 0 < _start(info, plans) < _MPEG_PRELOAD:
        return {"preload": str(round(_start(info, plans) * _MICROSECONDS))}  # with the usual one all times move
    if container == "nut":
        return {"avoid_negative_ts": "disabled"}
    if container == "gif" and info.container == "gif":
        return {"loop": str(loop_count(info.path))}
    return {}


def _movie_ticks(ticks: int, plans: tuple[StreamPlan, ...]) -> int:
    """Return the ticks a second in which all streams start on a tick; the video's own if there are too many."""
    common = math.lcm(ticks, *(Fraction(p.start).denominator for p in plans if p.action != "drop" and p.start))
    return common if common <= _MOST_TICKS else ticks


def _add_video(container: OutputContainer, info: ClipInfo, spec: EncodeSpec) -> VideoStream:
    rate = encoder_rate(info.times, spec.encoder)
    stream = cast(VideoStream, container.add_stream(spec.encoder, rate=rate, options=spec.options))
    configure_encoder(stream.codec_context, spec, info, rate)
    stream.time_base = stream_clock(info.times, spec.container)
    if spec.encoder == "gif":
        stream.pix_fmt = "pal8"
        stream.codec_context.options = {}
    if info.aspect:
        stream.sample_aspect_ratio = info.aspect
    if info.tag == "hvc1" and stream.codec_context.codec.canonical_name == "hevc" and spec.container in _EDIT_LISTS:
        stream.codec_context.codec_tag = "hvc1"
    if info.matrix:
        stream.set_display_matrix(list(info.matrix))
    return stream


def _tags(info: ClipInfo) -> dict[str, str]:
    """Return the tags of the source file."""
    with open_input(info.path) as source:
        return file_tags(source)


def _copy_tags(info: ClipInfo, container: OutputContainer, video: VideoStream, shift: Fraction) -> None:
    """Copy the source's metadata, its chapters, and the video stream's tags, a timecode of a data stream included.

    Args:
        info: The clip.
        container: The output, before its first packet.
        video: The output's video stream.
        shift: Seconds that are added to the chapters' times.
    """
    if info.is_sequence:
        return
    with open_input(info.path) as source:
        container.metadata.update(file_tags(source))
        own = source.streams[info.stream]
        tags = stream_tags(own)
        for stream in source.streams:
            if stream.type == "data" and "timecode" in stream.metadata:
                tags.setdefault("timecode", stream.metadata["timecode"])
        video.metadata.update(tags)
        video.disposition = own.disposition
        chapters = source.chapters()
        for chapter in chapters:
            time_base = chapter["time_base"]
            ticks = round(shift / time_base) if time_base else 0
            chapter["start"], chapter["end"] = chapter["start"] + ticks, chapter["end"] + ticks
        if chapters:
            container.set_chapters(chapters)


class _PaletteGraph:
    """Converts frames to 256 colours by FFmpeg's palettegen and paletteuse, with a palette for every frame."""

    def __init__(self, info: ClipInfo) -> None:
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=info.width, height=info.height, format=info.edit_fmt, time_base=info.times.time_base
        )
        split, generate = graph.add("split"), graph.add("palettegen", "stats_mode=single")
        use, sink = graph.add("paletteuse", "new=1"), graph.add("buffersink")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._source, self._sink, self._graph = source, sink, graph

    def convert(self, raw: av.VideoFrame) -> av.VideoFrame:
        """Return a frame in the pixel format pal8."""
        self._source.push(raw)
        try:
            return self._sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError) as error:
            raise MediaError("FFmpeg could not make the GIF's palette", "write to .mp4 instead") from error
