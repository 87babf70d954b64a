"""Intermediate pictures on disk: FFV1 in Matroska, every frame on its own, every sample kept."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vremove_cli.errors import VremoveError
from vremove_cli.geometry import Array
from vremove_cli.media.pixel_format import layout_of, views
from vremove_cli.media.timing import FrameTimes

GRAY = "gray"
_TICK = Fraction(1, 1000)  # Matroska's own; a frame's number is its time


class LosslessWriter(AbstractContextManager["LosslessWriter"]):
    """Writes pictures one by one; the file appears under its name only when the block ends without an error.

    Pictures are tuples of components (h, w) in the format's depth. Without `times` a picture's number is its time.
    """

    def __init__(self, path: Path, pix_fmt: str, width: int, height: int, times: FrameTimes | None = None) -> None:
        self._path, self._pix_fmt, self._size, self._times = path, pix_fmt, (width, height), times
        self._layout = layout_of(pix_fmt)
        self._base = times.time_base if times else _TICK
        self._hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._container: Any = None
        self._count = 0

    def __enter__(self) -> "LosslessWriter":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(self._hidden), "w", format="matroska")
        stream = self._container.add_stream("ffv1", rate=25, options={"level": "3", "slicecrc": "1"})
        stream.width, stream.height = self._size
        stream.pix_fmt = self._pix_fmt
        stream.codec_context.gop_size = 1
        stream.time_base = stream.codec_context.time_base = self._base
        self._stream = stream
        return self

    def write(self, picture: tuple[Array, ...]) -> None:
        frame = av.VideoFrame(*self._size, self._pix_fmt)
        for target, source in zip(views(frame, self._layout), picture, strict=True):
            target[...] = source
        self.encode(frame)

    def encode(self, frame: av.VideoFrame) -> None:
        """Write a frame that is in the writer's format already; with its alpha, which components leave out."""
        frame.pts = self._times.pts[self._count] if self._times else self._count
        frame.time_base = self._base
        self._container.mux(self._stream.encode(frame))
        self._count += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode())
                self._container.close()
                os.replace(self._hidden, self._path)
            else:
                with contextlib.suppress(av.error.FFmpegError, OSError):
                    self._container.close()
        finally:
            self._hidden.unlink(missing_ok=True)


def write_lossless(
    path: Path, pictures: Iterable[tuple[Array, ...]], pix_fmt: str, width: int, height: int,
    times: FrameTimes | None = None,
) -> None:  # fmt: skip
    """Write all pictures with a `LosslessWriter`."""
    with LosslessWriter(path, pix_fmt, width, height, times) as writer:
        for picture in pictures:
            writer.write(picture)


def read_lossless(path: Path, start: int = 0, stop: int | None = None) -> Iterator[tuple[Array, ...]]:
    """Pictures start <= i < stop as copies of their components; raises `VremoveError` when the file is damaged."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            index = 0
            for packet in container.demux(stream):
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
    """Write masks (h, w) uint8."""
    write_lossless(path, ((m,) for m in masks), GRAY, width, height)


def read_gray(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Array]:
    """Masks (h, w) uint8, start <= i < stop."""
    for (mask,) in read_lossless(path, start, stop):
        yield mask
