"""Store intermediate pictures without loss: FFV1 in Matroska, every frame a keyframe."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

from vremove_cli import threads
from vremove_cli.atomic import replace_file
from vremove_cli.errors import VremoveError
from vremove_cli.geometry import Array
from vremove_cli.media.container import open_alone, open_output
from vremove_cli.media.pixel_format import layout_of, views
from vremove_cli.media.provenance import KEY
from vremove_cli.media.timing import FrameTimes

GRAY = "gray"
# Matroska's default tick in seconds. Without times a picture's index is its time in ticks.
_TICK = Fraction(1, 1000)
# Version 3 (RFC 9043) with a checksum in every slice, so that a damaged work file is an error and no wrong picture.
_OPTIONS = {"level": "3", "slicecrc": "1"}


class LosslessWriter(AbstractContextManager["LosslessWriter"]):
    """Writes pictures one by one; the file appears when the block ends without an error.

    Args:
        path: Path of the file. Missing folders are made.
        pix_fmt: FFmpeg's name of a pixel format that FFV1 stores.
        width: Width of every picture in pixels.
        height: Height of every picture in pixels.
        times: Presentation times, one for every picture; None for a picture's index as its time.
        mark: What the pictures are, see `provenance`; empty for no mark.
    """

    def __init__(
        self, path: Path, pix_fmt: str, width: int, height: int, times: FrameTimes | None = None, mark: str = ""
    ) -> None:
        self._path, self._pix_fmt, self._size, self._times = path, pix_fmt, (width, height), times
        self._mark = mark
        self._layout = layout_of(pix_fmt)
        self._time_base = times.time_base if times else _TICK
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> "LosslessWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container, self._stream = self._stack.enter_context(self._open())
        return self

    @contextmanager
    def _open(self) -> Iterator[tuple[OutputContainer, VideoStream]]:
        with replace_file(self._path) as hidden, open_output(hidden, "matroska") as container:
            if self._mark:
                container.metadata[KEY] = self._mark
            stream = container.add_stream("ffv1", rate=25, options=_OPTIONS)
            stream.width, stream.height = self._size
            stream.pix_fmt = self._pix_fmt
            stream.codec_context.gop_size = 1
            stream.codec_context.thread_count = threads.count()
            stream.time_base = stream.codec_context.time_base = self._time_base
            yield container, stream
            container.mux(stream.encode())

    def write(self, picture: tuple[Array, ...]) -> None:
        """Write the next picture: components (h, w) in the format's dtype, chroma subsampled as the format says."""
        frame = av.VideoFrame(*self._size, self._pix_fmt)
        for target, source in zip(views(frame, self._layout), picture, strict=True):
            target[...] = source
        self.encode(frame)

    def encode(self, frame: av.VideoFrame) -> None:
        """Write a frame that is in the writer's pixel format already, its alpha included."""
        frame.pts = self._times.pts[self._count] if self._times else self._count
        frame.time_base = self._time_base
        self._container.mux(self._stream.encode(frame))
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)


def write_lossless(
    path: Path,
    pictures: Iterable[tuple[Array, ...]],
    pix_fmt: str,
    width: int,
    height: int,
    times: FrameTimes | None = None,
    mark: str = "",
) -> None:
    """Write all pictures with a `LosslessWriter`; the arguments are its own."""
    with LosslessWriter(path, pix_fmt, width, height, times, mark) as writer:
        for picture in pictures:
            writer.write(picture)


def read_lossless(path: Path, start: int = 0, stop: int | None = None) -> Iterator[tuple[Array, ...]]:
    """Read pictures start <= i < stop of a file written by `LosslessWriter`.

    Args:
        path: Path of the file.
        start: Index of the first picture.
        stop: Index after the last picture; None for all of them.

    Yields:
        Copies of a picture's components, each (h, w) in the dtype of its pixel format.

    Raises:
        VremoveError: The file is damaged or shorter than `stop`.
    """
    try:
        with open_alone(str(path)) as container:
            container.streams.video[0].codec_context.thread_count = threads.count()
            index = 0
            for packet in container.demux(container.streams.video[0]):
                if stop is not None and index >= stop:
                    return
                if packet.size == 0:
                    break
                index += 1
                if index <= start:
                    continue
                for frame in packet.decode():
                    yield tuple(np.array(v) for v in views(frame, layout_of(frame.format.name)))
            if stop is not None and index < stop:
                raise IndexError(f"it ends at picture {index} of {stop}")
    except (av.error.FFmpegError, IndexError) as error:
        raise VremoveError(
            f"the work file {path} is damaged ({error})", "delete the work folder and run the command again"
        ) from error


def write_gray(path: Path, masks: Iterable[Array], width: int, height: int) -> None:
    """Write masks, each (height, width) uint8."""
    write_lossless(path, ((m,) for m in masks), GRAY, width, height)


def read_gray(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Array]:
    """Read masks start <= i < stop, each (h, w) uint8; raises `VremoveError` as `read_lossless` does."""
    for (mask,) in read_lossless(path, start, stop):
        yield mask
