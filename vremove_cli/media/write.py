"""Writing the result: same frames, same times, same tags; under a hidden name until it is whole."""

import glob
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vremove_cli.errors import MediaError, UsageError
from vremove_cli.media import sequence
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.encoder_choice import IMAGE_ENCODERS, image_suffix
from vremove_cli.media.encoder_context import EncodeSpec, set_up, to_format
from vremove_cli.media.exif import exif_segment, with_segment
from vremove_cli.media.probe import open_input
from vremove_cli.media.read import Frame
from vremove_cli.media.streams import PacketCopier, StreamPlan, clean_tags, copier

# Containers whose times start at zero at the earliest; mp4 and mov hide what lies before zero from a picture's stream
# only, by an edit list.
_FROM_ZERO = ("matroska", "webm", "avi", "flv")
_EDIT_LISTS = ("mp4", "mov")


class Writer(ABC):
    """Takes the frames of a clip in order."""

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Encode the next frame at its own time."""


class VideoWriter(Writer):
    """Encodes into one file and copies the other streams beside."""

    def __init__(
        self, container: Any, stream: Any, info: ClipInfo, spec: EncodeSpec, copies: PacketCopier, shift: int
    ) -> None:
        self._container, self._stream, self._info, self._spec = container, stream, info, spec
        self._copies, self._shift = copies, shift
        self._durations = {p + shift: info.times.duration(i) for i, p in enumerate(info.times.pts)}
        self._graph = _PaletteGraph(info) if spec.encoder == "gif" else None

    def write(self, frame: Frame) -> None:
        times = self._info.times
        self._copies.until(times.pts[frame.index] * times.time_base)
        raw = self._graph.convert(frame.raw) if self._graph else to_format(frame.raw, self._info, self._spec.pix_fmt)
        raw.pts, raw.time_base = times.pts[frame.index] + self._shift, times.time_base
        raw.pict_type = 0
        self._mux(self._stream.encode(raw))

    def close(self) -> None:
        """Flush the encoder and copy what is left of the other streams."""
        self._mux(self._stream.encode())
        self._copies.until(None)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.time_base == self._info.times.time_base:
                packet.duration = self._durations.get(packet.pts, packet.duration)
            self._container.mux(packet)


class ImageWriter(Writer):
    """Encodes each frame into a file of its own in a folder."""

    def __init__(self, folder: Path, output: str, info: ClipInfo, spec: EncodeSpec) -> None:
        self._folder, self._output, self._info, self._spec = folder, output, info, spec

    def write(self, frame: Frame) -> None:
        context = av.CodecContext.create(self._spec.encoder, "w")
        set_up(context, self._spec, self._info, self._info.times.time_base)
        raw = to_format(frame.raw, self._info, self._spec.pix_fmt)
        raw.pict_type = 0
        data = b"".join(bytes(p) for p in [*context.encode(raw), *context.encode()])
        if self._spec.encoder == "mjpeg" and self._info.codec == "mjpeg" and self._info.is_sequence:
            data = with_segment(data, exif_segment(Path(self._info.files[frame.index])))
        (self._folder / image_path(self._output, self._info, self._spec, frame.index).name).write_bytes(data)


def image_path(output: str, info: ClipInfo, spec: EncodeSpec, index: int) -> Path:
    """Where frame `index` of an image sequence is written."""
    if info.frames == 1 and Path(output).suffix.lower() in IMAGE_ENCODERS and not sequence.has_number(output):
        return Path(output)
    number = info.file_numbers[index] if info.files else index
    source = Path(info.files[index]) if info.files else Path(f"{number:06d}{image_suffix(output, info)}")
    return sequence.output_name(output, source, number)


@contextmanager
def open_writer(
    output: str, info: ClipInfo, spec: EncodeSpec, plans: tuple[StreamPlan, ...], *, overwrite: bool
) -> Iterator[Writer]:
    """A `Writer` whose result appears at `output` only when the block ends without an error.

    Raises `UsageError` when the output exists and may not be replaced; an `OSError` of the disk passes through.
    """
    check_free(output, info, spec, overwrite=overwrite)
    output = os.path.realpath(output)  # a link stays one: what it points to is replaced
    if info_is_images(spec):
        with _image_writer(output, info, spec) as images:
            yield images
        return
    hidden = hidden_name(Path(output))
    _sweep(Path(output))
    try:
        with _video_writer(hidden, info, spec, plans) as video:
            yield video
        os.replace(hidden, output)
    finally:
        hidden.unlink(missing_ok=True)


def info_is_images(spec: EncodeSpec) -> bool:
    """Whether a spec writes images."""
    return spec.container == "image sequence"


def hidden_name(target: Path) -> Path:
    """A name beside the target, on the same disk, that no one mistakes for a result."""
    return target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")


def _sweep(target: Path) -> None:
    """Delete what killed runs left beside a target."""
    for left in target.parent.glob(f".{glob.escape(target.stem)}.*.part{glob.escape(target.suffix)}"):
        if _abandoned(left.name.removesuffix(f".part{target.suffix}")):
            left.unlink(missing_ok=True)


def _abandoned(name: str) -> bool:
    """Whether the process whose number ends a hidden name is gone."""
    pid = name.rpartition(".")[2]
    return pid.isdigit() and not process_lives(int(pid))


def process_lives(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def check_free(output: str, info: ClipInfo, spec: EncodeSpec, *, overwrite: bool) -> None:
    """Raise `UsageError` when the output would replace something, or the input itself."""
    if info_is_images(spec):
        targets = [image_path(output, info, spec, i) for i in range(info.frames)]
    else:
        targets = [Path(output)]
    sources = {Path(p).resolve() for p in (info.files or (info.path,))}
    for target in targets:
        if target.resolve() in sources:
            raise UsageError(f"{target} is the input itself", "choose another output with -o")
        if target.exists() and not overwrite:
            raise UsageError(
                f"{target} exists already", "add --overwrite to replace it, or choose another output with -o"
            )
        if target.is_dir():
            raise UsageError(f"{target} is a folder", "name a file with -o")


@contextmanager
def _image_writer(output: str, info: ClipInfo, spec: EncodeSpec) -> Iterator[ImageWriter]:
    target = image_path(output, info, spec, 0).absolute().parent
    # On the same disk as the target: inside it where it exists, beside it where the whole folder can be renamed.
    beside = target if target.exists() else target.parent
    beside.mkdir(parents=True, exist_ok=True)
    hidden = beside / f".{target.name}.{os.getpid()}.part"
    for left in beside.glob(f".{glob.escape(target.name)}.*.part"):
        if left == hidden or _abandoned(left.name.removesuffix(".part")):
            shutil.rmtree(left, ignore_errors=True)
    hidden.mkdir()
    try:
        yield ImageWriter(hidden, output, info, spec)
        if target.exists():
            for file in sorted(hidden.iterdir()):
                os.replace(file, target / file.name)
        else:
            os.replace(hidden, target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def shift_of(info: ClipInfo, container: str, plans: tuple[StreamPlan, ...]) -> int:
    """Ticks that all times are moved by, because the container knows none before zero; 0 where it need not be."""
    starts = [info.times.pts[0] * info.times.time_base]
    if container in _FROM_ZERO:
        starts += [Fraction(p.start) for p in plans if p.action != "drop" and p.start]
    elif container not in _EDIT_LISTS:
        return 0
    return max(0, -math.floor(min(starts) / info.times.time_base))


@contextmanager
def _video_writer(path: Path, info: ClipInfo, spec: EncodeSpec, plans: tuple[StreamPlan, ...]) -> Iterator[VideoWriter]:
    base = info.times.time_base
    shift = shift_of(info, spec.container, plans)
    # On an error the container must still be closed, but its complaint about a half-written file is of no interest.
    container = av.open(str(path), "w", format=spec.container, options=_mux_options(info, spec.container))
    try:
        streams: list[Any] = []
        with copier(
            info, container, plans, shift * base, lambda: streams.append(_add_video(container, info, spec))
        ) as copies:
            writer = VideoWriter(container, streams[0], info, spec, copies, shift)
            _carry_tags(info, container, streams[0], shift * base)
            yield writer
            writer.close()
    except BaseException:
        _abandon(container)
        raise
    container.close()


def _abandon(container: Any) -> None:
    try:
        container.close()
    except (av.error.FFmpegError, ValueError, OSError):
        return


def _mux_options(info: ClipInfo, container: str) -> dict[str, str]:
    if container in ("mp4", "mov"):
        # The track's own clock keeps every tick; the movie's clock rounds an initial gap, so it gets the same one.
        ticks = str(info.times.time_base.denominator)
        options = {"video_track_timescale": ticks, "movie_timescale": ticks}
        # Tags such as com.apple.quicktime.location need the newer kind of tag list, which in turn has no cover art.
        if info.rich_tags and not any(s.picture for s in info.streams):
            options["movflags"] = "+use_metadata_tags"
        return options
    if container == "mpegts":
        return {"mpegts_copyts": "1", "avoid_negative_ts": "disabled"}
    return {}


def _add_video(container: Any, info: ClipInfo, spec: EncodeSpec) -> Any:
    stream = container.add_stream(spec.encoder, rate=info.times.rate.limit_denominator(60000), options=spec.options)
    set_up(stream.codec_context, spec, info, info.times.time_base)
    stream.time_base = info.times.time_base
    if spec.encoder == "gif":
        stream.pix_fmt = "pal8"
        stream.codec_context.options = {}
    if info.aspect:
        stream.sample_aspect_ratio = info.aspect
    if info.tag == "hvc1" and spec.encoder == "libx265" and spec.container in ("mp4", "mov"):
        stream.codec_context.codec_tag = "hvc1"
    if info.matrix:
        stream.set_display_matrix(list(info.matrix))
    return stream


def _carry_tags(info: ClipInfo, container: Any, video: Any, shift: Fraction) -> None:
    """Metadata and chapters of the source, and the video stream's own tags (a timecode among them)."""
    if info.is_sequence:
        return
    with open_input(info.path) as source:
        container.metadata.update(clean_tags(source.metadata))
        own = source.streams[info.stream]
        tags = clean_tags(own.metadata)
        for stream in source.streams:
            if stream.type == "data" and "timecode" in stream.metadata:
                tags.setdefault("timecode", stream.metadata["timecode"])
        video.metadata.update(tags)
        video.disposition = own.disposition
        chapters = source.chapters()
        for chapter in chapters:
            ticks = round(shift / chapter["time_base"])
            chapter["start"], chapter["end"] = chapter["start"] + ticks, chapter["end"] + ticks
        if chapters:
            container.set_chapters(chapters)


class _PaletteGraph:
    """RGB to a palette of its own for every GIF frame."""

    def __init__(self, info: ClipInfo) -> None:
        graph = av.filter.Graph()
        buffer = graph.add_buffer(
            width=info.width, height=info.height, format=info.edit_fmt, time_base=info.times.time_base
        )
        split, generate = graph.add("split"), graph.add("palettegen", "stats_mode=single")
        use, sink = graph.add("paletteuse", "new=1"), graph.add("buffersink")
        buffer.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(generate, 1, 0)
        generate.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        self._buffer, self._sink, self._graph = buffer, sink, graph

    def convert(self, raw: Any) -> Any:
        """The frame with a palette."""
        self._buffer.push(raw)
        try:
            return self._sink.pull()
        except (av.error.BlockingIOError, av.error.EOFError) as error:
            raise MediaError("the GIF's palette could not be made", "write to .mp4 instead") from error
