"""Intermediate pictures on disk: FFV1 in Matroska, every frame on its own, every sample kept."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vremove_cli.errors import VremoveError
from vremove_cli.geometry import Array
from vremove_cli.media.layout import layout_of, views
from vremove_cli.media.timing import FrameTimes

GRAY = "gray"
_TICK = Fraction(1, 1000)  # Matroska's own; a frame's number is its time


def write_lossless(
    path: Path, pictures: Iterable[tuple[Array, ...]], pix_fmt: str, width: int, height: int,
    times: FrameTimes | None = None,
) -> int:  # fmt: skip
    """Write pictures (tuples of components (h, w) in the format's depth) and return how many there were.

    The file appears under its name only when it is whole. Without `times` a picture's number is its time.
    """
    layout = layout_of(pix_fmt)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
    count = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with av.open(str(hidden), "w", format="matroska") as container:
            stream = container.add_stream("ffv1", rate=25, options={"level": "3", "slicecrc": "1"})
            stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
            stream.codec_context.gop_size = 1
            base = times.time_base if times else _TICK
            stream.time_base = stream.codec_context.time_base = base
            for picture in pictures:
                frame = av.VideoFrame(width, height, pix_fmt)
                for target, source in zip(views(frame, layout), picture, strict=True):
                    target[...] = source
                frame.pts = times.pts[count] if times else count
                frame.time_base = base
                container.mux(stream.encode(frame))
                count += 1
            container.mux(stream.encode())
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    return count


def read_lossless(path: Path, start: int = 0, stop: int | None = None) -> Iterator[tuple[Array, ...]]:
    """Pictures start <= i < stop as copies of their components; raises `VremoveError` when the file is damaged."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            index = 0
            for packet in container.demux(stream):
                if packet.size == 0 or (stop is not None and index >= stop):
                    return
                index += 1
                if index <= start:
                    continue
                for frame in packet.decode():
                    yield tuple(np.array(v) for v in views(frame, layout_of(frame.format.name)))
    except (av.error.FFmpegError, IndexError) as error:
        raise VremoveError(
            f"the work file {path} is damaged ({error})", "delete the work folder and run the command again"
        ) from error


def write_gray(path: Path, masks: Iterable[Array], width: int, height: int) -> int:
    """Write masks (h, w) uint8 and return how many there were."""
    return write_lossless(path, ((m,) for m in masks), GRAY, width, height)


def read_gray(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Array]:
    """Masks (h, w) uint8, start <= i < stop."""
    for (mask,) in read_lossless(path, start, stop):
        yield mask
