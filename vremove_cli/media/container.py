"""Open containers and image files, and describe the ones that FFmpeg refuses."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from vremove_cli.errors import MediaError


def open_input(path: str) -> InputContainer:
    """Open a file for reading.

    Raises:
        MediaError: FFmpeg does not know the file or may not read it.
    """
    try:
        return av.open(path, metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise MediaError(f"{path} cannot be opened ({error})", "check that it is a video file") from error


@contextmanager
def open_output(path: Path, container: str, options: dict[str, str] | None = None) -> Iterator[OutputContainer]:
    """Open a file for writing; it is closed when the block ends.

    Args:
        path: Path of the file.
        container: FFmpeg's name of the muxer.
        options: Options of the muxer.

    Raises:
        av.error.FFmpegError: If the muxer cannot write the file. After an error of the block, errors of closing the
            unfinished file are dropped.
    """
    output = av.open(str(path), "w", format=container, options=options or {})
    try:
        yield output
    except BaseException:
        with contextlib.suppress(av.error.FFmpegError, ValueError, OSError):
            output.close()
        raise
    output.close()


def unreadable(path: str, error: Exception) -> MediaError:
    """Return the error for a file that FFmpeg cannot read."""
    if isinstance(error, PermissionError) and not os.access(path, os.R_OK):
        return MediaError(f"no permission to read {path}", "change its permissions, or copy it")
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(
        f"{path} cannot be read as a video ({reason})",
        "it may be damaged or cut off: play it to the end, or copy it again from its source",
    )


def read_image(path: Path) -> av.VideoFrame:
    """Decode the first frame of an image file.

    Raises:
        MediaError: It cannot be read or holds no picture.
    """
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                return frame
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise unreadable(str(path), error) from error
    raise MediaError(f"{path} holds no picture", "save it again as PNG")


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Return the stream to edit: FFmpeg's best video stream, or the first one if that is cover art.

    Raises:
        MediaError: The file has no video stream besides cover art.
    """
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not moving:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaError(f"{path} has no video in it (it holds {kinds})", "give a file with a picture")
    best = container.streams.best("video")
    return best if best in moving else moving[0]
