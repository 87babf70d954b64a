"""Read frames: `open_clip` returns a `Clip`, whose `frames(start, stop)` decodes exactly the frames of that range."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vremove_cli import threads
from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array, Box, take
from vremove_cli.media import colour
from vremove_cli.media.captions import captions_of
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.container import STRICT, open_input, read_image, unreadable
from vremove_cli.media.packet_times import Restart, VideoTimes
from vremove_cli.media.pixel_format import PALETTE, Layout, gray_of, views
from vremove_cli.media.probe import Progress, scan
from vremove_cli.media.shown_pictures import codec_of, delimits

_WORTH_A_SEEK = 48  # frames that need not be decoded, from which on a clip is opened anew behind them


@dataclass
class Frame:
    """A decoded frame in the clip's edit format, in stored orientation.

    Attributes:
        index: Number of the frame in the clip, from 0.
        raw: PyAV's frame, for this package only.
        layout: Layout of the edit format.
        tags: Colour tags of the clip.
        captions: Closed caption triplets of the picture.
    """

    index: int
    raw: av.VideoFrame
    layout: Layout
    tags: colour.Colour
    captions: bytes = b""

    def planes(self) -> tuple[Array, ...]:
        """Return the components, each (H', W') in the layout's dtype, as views into the decoder's memory.

        They must not be written: the decoder may still refer to them.
        """
        return views(self.raw, self.layout)

    def editable(self) -> tuple[Array, ...]:
        """Return the components, each (H', W'), as views that may be written; the decoder's memory is copied first."""
        self.raw.make_writable()
        return views(self.raw, self.layout)

    def crop(self, box: Box) -> tuple[Array, ...]:
        """Return the components in a box.

        Args:
            box: A box in stored pixels whose origin lies on a whole chroma sample. It may reach over the frame.

        Returns:
            Arrays (h', w') in the layout's dtype. Outside the frame its edge is repeated.
        """
        planes = zip(self.planes(), self.layout.components, strict=True)
        return tuple(take(p, box.scale(c.sub_x, c.sub_y)) for p, c in planes)

    def gray(self) -> Array:
        """Return luma for analysis, (H, W) uint8, in the clip's own range."""
        return colour.gray8(self.planes(), self.layout)

    def rgb8(self, size: tuple[int, int] | None = None) -> Array:
        """Return the picture for analysis and previews.

        Args:
            size: Width and height of the result; None for the frame's own.

        Returns:
            Full-range R'G'B' (height, width, 3) uint8, scaled by area means or bicubic interpolation.
        """
        width, height = size or (self.raw.width, self.raw.height)
        shrinks = width <= self.raw.width and height <= self.raw.height
        interpolation = "AREA" if shrinks else "BICUBIC"
        return self.raw.reformat(width, height, format="rgb24", interpolation=interpolation).to_ndarray()

    def rgb(self, box: Box) -> Array:
        """Return R'G'B' of a box, (h, w, 3) float32, nominally in [0, 1], exact to the clip's tags."""
        return colour.to_rgb(self.crop(box), self.layout, self.tags, self.raw.height)


class Clip:
    """A scanned clip that is read from any frame. No file stays open between calls of `frames`.

    Attributes:
        info: The scan's result.
    """

    def __init__(self, info: ClipInfo) -> None:
        self.info = info

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Decode frames start <= i < stop in display order.

        Args:
            start: Index of the first frame.
            stop: Index after the last frame; None for the end of the clip.

        Yields:
            The frames, in stored orientation.

        Raises:
            MediaError: The file changed since the scan and no longer has the frames.
        """
        stop = self.info.frames if stop is None else min(stop, self.info.frames)
        if start >= stop:
            return
        source = self._images(start, stop) if self.info.is_sequence else self._video(start, stop)
        yield from source

    def picked(self, wanted: range) -> Iterator[Frame]:
        """Decode frames at even distances; reading begins anew where a keyframe saves decoding many between them.

        Args:
            wanted: Their indices, rising.

        Yields:
            The frames, in order.

        Raises:
            MediaError: As of `frames`.
        """
        for start, stop in self._runs(wanted):
            yield from (frame for frame in self.frames(start, stop) if frame.index in wanted)

    def _runs(self, wanted: range) -> list[tuple[int, int]]:
        """Return the ranges start <= i < stop that are read in one go."""
        keys, runs = self.info.keyframes, list[tuple[int, int]]()
        for t in wanted:
            begin = t if self.info.is_sequence else keys[bisect_right(keys, t) - 1] if keys and keys[0] <= t else 0
            if runs and begin - runs[-1][1] < _WORTH_A_SEEK:
                runs[-1] = (runs[-1][0], t + 1)
            else:
                runs.append((t, t + 1))
        return runs

    def _images(self, start: int, stop: int) -> Iterator[Frame]:
        for i in range(start, stop):
            yield self._wrap(i, read_image(Path(self.info.files[i])))

    def _video(self, start: int, stop: int) -> Iterator[Frame]:
        """Decode from the keyframe before `start`; if a seek misses it, from earlier ones, and at last from frame 0."""
        keys = self.info.keyframes
        nearest = bisect_right(keys, start) - 1
        begins = [keys[k] for k in (nearest, nearest - 1, nearest - 4) if k >= 0 and keys[k] > 0]
        done = start
        for begin in [*begins, 0]:
            try:
                for frame in self._decode_from(begin, done, stop):
                    yield frame
                    done = frame.index + 1
            except _SeekError:
                continue
            if done >= stop:
                return
        raise MediaError(
            f"{self.info.path} ends at frame {done} of {self.info.frames}", "the file changed: plan the work again"
        )

    def _decode_from(self, begin: int, start: int, stop: int) -> Iterator[Frame]:
        """Decode from keyframe `begin` and yield start <= i < stop.

        Raises:
            _SeekError: The frames are not where the scan found them.
        """
        try:
            with open_input(self.info.path) as container:
                stream = cast(VideoStream, container.streams[self.info.stream])
                stream.thread_type = "SLICE" if self.info.repeated else "AUTO"  # as in the scan
                stream.codec_context.thread_count = threads.count()
                stream.codec_context.options = STRICT
                if begin:
                    container.seek(self.info.times.pts[begin], stream=stream, backward=True)
                for index, raw in self._numbered(_decode(container, stream, self.info.restarts), begin):
                    if index >= start:
                        yield self._wrap(index, raw)
                    if index + 1 >= stop:
                        return
        except av.error.FFmpegError as error:
            raise unreadable(self.info.path, error) from error

    def _numbered(self, raws: Iterator[av.VideoFrame], begin: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield every frame with its index from `begin` on; frames lost to damage repeat the one before."""
        repeated = set(self.info.repeated)
        position, last = begin, None
        for raw in raws:
            index = self._index(raw, position, begin)
            if index is None:
                continue
            while position < index and position in repeated and last is not None:
                yield position, _copy(last)
                position += 1
            if index != position or (begin and raw.is_corrupt):
                raise _SeekError
            last = _copy(raw) if index + 1 in repeated else None
            yield index, raw
            position = index + 1
        while position in repeated and last is not None:
            yield position, _copy(last)
            position += 1

    def _index(self, raw: av.VideoFrame, position: int, begin: int) -> int | None:
        """Return a decoded frame's index: by its time after a seek, else by counting from frame 0.

        None means a frame before the keyframe: a container may seek to an earlier one.
        """
        pts = self.info.times.pts
        if not begin and not self.info.repeated:
            return position
        index = bisect_right(pts, raw.pts) - 1
        if index < 0 or pts[index] != raw.pts:
            raise _SeekError
        return None if index < position else index

    def _wrap(self, index: int, raw: av.VideoFrame) -> Frame:
        """Return a `Frame` in the edit format, top row first, at its own time."""
        captions = captions_of(raw, self.info.codec)
        if raw.format.name == PALETTE and self.info.edit_fmt == "gray":
            raw = gray_of(raw)
        if raw.format.name != self.info.edit_fmt:
            raw = _reformat(raw, self.info.edit_fmt)
        if any(p.line_size < 0 for p in raw.planes):  # bottom-up rows: two conversions by swscale turn them
            raw = _reformat(_reformat(raw, "gbrp"), self.info.edit_fmt)
        raw.pts, raw.time_base = self.info.times.pts[index], self.info.times.time_base
        return Frame(index, raw, self.info.layout, self.info.colour, captions)


class _SeekError(Exception):
    """A seek did not reach the frame that the scan found there."""


def _decode(container: InputContainer, stream: VideoStream, restarts: tuple[Restart, ...]) -> Iterator[av.VideoFrame]:
    """Decode all frames from where the container stands; packets that cannot be decoded are skipped."""
    clock = VideoTimes(restarts)
    codec = codec_of(stream)
    for packet in container.demux(stream):
        clock.move(packet)
        if packet.size and delimits(codec, packet):
            continue
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except (av.error.InvalidDataError, av.error.UnknownError, av.error.BugError):
            continue


def _reformat(raw: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
    """Convert to another pixel format; range and colour tags stay."""
    out = raw.reformat(format=pix_fmt, src_color_range=raw.color_range, dst_color_range=raw.color_range)
    _copy_tags(raw, out)
    return out


def _copy(raw: av.VideoFrame) -> av.VideoFrame:
    """Copy a frame's samples and tags, so that the copy can be edited apart."""
    out = av.VideoFrame(raw.width, raw.height, raw.format.name)
    for target, source in zip(out.planes, raw.planes, strict=True):
        width = min(target.line_size, source.line_size)
        rows = memoryview(source).cast("B")
        data = memoryview(target).cast("B")
        for y in range(target.height):
            data[y * target.line_size : y * target.line_size + width] = rows[
                y * source.line_size : y * source.line_size + width
            ]
    _copy_tags(raw, out)
    return out


def _copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    target.color_primaries, target.color_trc = source.color_primaries, source.color_trc
    target.colorspace, target.color_range = source.colorspace, source.color_range


def open_clip(path: str, *, skip_errors: bool = False, progress: Progress | None = None) -> Clip:
    """Scan a clip and return it ready to be read.

    Args:
        path: A video file, an image, a folder of images or a pattern such as `shot.%04d.png`.
        skip_errors: Whether a frame that cannot be decoded repeats the one before it instead of raising an error.
        progress: Called with the frames done and the frames expected (0 where the file does not say).

    Raises:
        MediaError: The clip cannot be read or edited faithfully.
    """
    return Clip(scan(path, skip_errors=skip_errors, progress=progress))
