"""Reading frames: `open_clip` gives a `Clip`, whose `frames(start, stop)` decodes any run of frames exactly."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array, Box, take
from vremove_cli.media import colour
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.pixel_format import Layout, views
from vremove_cli.media.probe import STRICT, Progress, open_input, read_image, scan, unreadable


@dataclass
class Frame:
    """A decoded frame in its edit format. `raw` is PyAV's frame, which only this room and the writer touch."""

    index: int
    raw: Any
    layout: Layout
    tags: colour.Colour

    def planes(self) -> tuple[Array, ...]:
        """The components (H', W') as read-only use of the decoder's memory."""
        return views(self.raw, self.layout)

    def editable(self) -> tuple[Array, ...]:
        """The components (H', W') as views that may be written: the decoder's own copy stays as it is."""
        self.raw.make_writable()
        return views(self.raw, self.layout)

    def crop(self, box: Box) -> tuple[Array, ...]:
        """The components in a box, each (h', w'), edges repeated where the box reaches over the frame."""
        parts = zip(self.planes(), self.layout.components, strict=True)
        return tuple(take(p, box.scale(c.sub_x, c.sub_y)) for p, c in parts)

    def gray(self) -> Array:
        """Luma for analysis, (H, W) uint8."""
        return colour.gray8(self.planes(), self.layout)

    def rgb8(self, size: tuple[int, int] | None = None) -> Array:
        """The picture for analysis and previews, (H, W, 3) uint8, or brought to a (width, height)."""
        width, height = size or (self.raw.width, self.raw.height)
        smaller = width <= self.raw.width and height <= self.raw.height
        way = "AREA" if smaller else "BICUBIC"
        return self.raw.reformat(width, height, format="rgb24", interpolation=way).to_ndarray()

    def rgb(self, box: Box) -> Array:
        """R'G'B' of a box, (h, w, 3) float32, exact to the clip's tags."""
        return colour.to_rgb(self.crop(box), self.layout, self.tags, self.raw.height)


class Clip:
    """A scanned clip that can be read from any frame. It holds no open file between calls of `frames`."""

    def __init__(self, info: ClipInfo) -> None:
        self.info = info

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Decode frames start <= i < stop in display order; raises `MediaError` when the file no longer has them."""
        stop = self.info.frames if stop is None else min(stop, self.info.frames)
        if start >= stop:
            return
        source = self._images(start, stop) if self.info.is_sequence else self._video(start, stop)
        yield from source

    def _images(self, start: int, stop: int) -> Iterator[Frame]:
        for i in range(start, stop):
            yield self._wrap(i, read_image(Path(self.info.files[i])))

    def _video(self, start: int, stop: int) -> Iterator[Frame]:
        """Start at the keyframe before `start`; when the container lands elsewhere, go back further, then to zero."""
        keys = self.info.keyframes
        at = bisect_right(keys, start) - 1
        starts = [keys[k] for k in (at, at - 1, at - 4) if k >= 0 and keys[k] > 0]
        done = start
        for begin in [*starts, 0]:
            try:
                for frame in self._run(begin, done, stop):
                    yield frame
                    done = frame.index + 1
            except _Landed:
                continue
            if done >= stop:
                return
        raise MediaError(
            f"{self.info.path} ends at frame {done} of {self.info.frames}", "the file changed: plan the work again"
        )

    def _run(self, begin: int, start: int, stop: int) -> Iterator[Frame]:
        """Decode from keyframe `begin`, give start <= i < stop; raises `_Landed` when frames are not where expected."""
        times, repeated = self.info.times, set(self.info.repeated)
        try:
            with open_input(self.info.path) as container:
                stream = container.streams[self.info.stream]
                stream.thread_type = "SLICE" if repeated else "AUTO"  # as the scan found them
                stream.codec_context.options = STRICT
                if begin:
                    container.seek(times.pts[begin], stream=stream, backward=True)
                position = begin
                last = None
                for raw in _frames(container, stream):
                    index = self._index(raw, position, begin)
                    if index is None:
                        continue
                    while position < index and position in repeated and last is not None:
                        if start <= position < stop:
                            yield self._wrap(position, _copy(last))
                        position += 1
                    if position >= stop:
                        return
                    if index != position or (begin and raw.is_corrupt):
                        raise _Landed
                    last = _copy(raw) if index + 1 in repeated else None
                    if index >= start:
                        yield self._wrap(index, raw)
                    position = index + 1
                    if position >= stop:
                        return
                while position in repeated and position < stop and last is not None:
                    yield self._wrap(position, _copy(last))
                    position += 1
        except av.error.FFmpegError as error:
            raise unreadable(self.info.path, error) from error

    def _index(self, raw: Any, position: int, begin: int) -> int | None:
        """Number of a decoded frame: by its time after a seek, by counting from the clip's start otherwise.

        None for a frame that lies before the keyframe asked for (a container may land early).
        """
        pts = self.info.times.pts
        if not begin and not self.info.repeated:
            return position
        at = bisect_right(pts, raw.pts) - 1
        if at < 0 or pts[at] != raw.pts:
            raise _Landed
        return None if at < position else at

    def _wrap(self, index: int, raw: Any) -> Frame:
        if raw.format.name != self.info.edit_fmt:
            raw = _reformat(raw, self.info.edit_fmt)
        if any(p.line_size < 0 for p in raw.planes):  # bottom-up rows: swscale turns them on a way there and back
            raw = _reformat(_reformat(raw, "gbrp"), self.info.edit_fmt)
        raw.pts, raw.time_base = self.info.times.pts[index], self.info.times.time_base
        return Frame(index, raw, self.info.layout, self.info.colour)


class _Landed(Exception):
    """A seek did not land where the index says."""


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.EOFError:
            return
        except (av.error.InvalidDataError, av.error.UnknownError, av.error.BugError):
            continue


def _reformat(raw: Any, name: str) -> Any:
    tags = (raw.color_primaries, raw.color_trc, raw.colorspace, raw.color_range)
    out = raw.reformat(format=name, src_color_range=raw.color_range, dst_color_range=raw.color_range)
    out.color_primaries, out.color_trc, out.colorspace, out.color_range = tags
    return out


def _copy(raw: Any) -> Any:
    """An own frame with the same samples."""
    out = av.VideoFrame(raw.width, raw.height, raw.format.name)
    for target, source in zip(out.planes, raw.planes, strict=True):
        width = min(target.line_size, source.line_size)
        rows = memoryview(source).cast("B")
        data = memoryview(target).cast("B")
        for y in range(target.height):
            data[y * target.line_size : y * target.line_size + width] = rows[
                y * source.line_size : y * source.line_size + width
            ]
    out.color_primaries, out.color_trc = raw.color_primaries, raw.color_trc
    out.colorspace, out.color_range = raw.colorspace, raw.color_range
    return out


def open_clip(path: str, *, skip_errors: bool = False, progress: Progress | None = None) -> Clip:
    """Scan a video file, an image sequence or a folder of images and return it ready to read.

    Raises `MediaError` for anything that cannot be edited faithfully, with what to do about it.
    """
    return Clip(scan(path, skip_errors=skip_errors, progress=progress))
