"""Open containers and image files, and describe the ones that FFmpeg refuses.

FFmpeg also opens what a file names: a playlist or a list of parts may name any file, or an address in the network. Here
it opens the named file and nothing else.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from vremove_cli.errors import MediaError
from vremove_cli.media.sequence import IMAGES

# Demuxers that open other files, addresses or devices. That of images reads patterns unless it is told not to.
_OPENS_OTHERS = {"concat", "concatf", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp"}
_OPENS_OTHERS |= {"tedcaptions", "webm_dash_manifest"}
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0\n", b"v=0\r\n")  # how files begin that name others
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: C:/ is a drive
_HEAD = 512  # bytes in which a playlist shows


def open_alone(path: str) -> InputContainer:
    """Open a file, and no other one, for reading.

    Raises:
        av.error.FFmpegError: FFmpeg does not know the file or may not read it.
        ValueError: It is no media file.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": _formats()}
    if Path(path).suffix.lower() in IMAGES:
        options["pattern_type"] = "none"
    return av.open(os.path.abspath(path), metadata_errors="replace", options=options)


@cache
def _formats() -> str:
    """The demuxers that are allowed, as FFmpeg takes them."""
    return ",".join(sorted(av.formats_available - _OPENS_OTHERS))


def open_input(path: str) -> InputContainer:
    """Open a file for reading.

    Raises:
        MediaError: It names other files, or FFmpeg does not know it or may not read it.
    """
    if _is_playlist(path):
        raise MediaError(f"{path} is a playlist: it names other files", "give the video file itself")
    try:
        return open_alone(path)
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


def _is_playlist(path: str) -> bool:
    """Whether a file begins as a list of other files."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError:
        return False
    return head.startswith(_PLAYLISTS) or b"<MPD" in head


def missing(path: str) -> MediaError:
    """Return the error for a file that is not there."""
    if _ADDRESS.match(path):
        return MediaError(f"{path} is an address, and these are not read", "download the file, then give its path")
    return MediaError(f"{path} does not exist", "check the path")


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
        with open_alone(str(path)) as container:
            for frame in container.decode(video=0):
                return frame
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise unreadable(str(path), error) from error
    raise MediaError(f"{path} holds no picture", "save it again as PNG")


def video_stream(container: InputContainer, path: str) -> VideoStream:
    """Return the stream to edit: FFmpeg's best video stream, or the first one if that is cover art.

    Raises:
        MediaError: The file has no video stream besides cover art, or its streams are tiles of one picture.
    """
    if any(s.disposition & av.stream.Disposition.dependent for s in container.streams.video):
        raise MediaError(f"{path} is a picture made of tiles, as phones write HEIC", "convert it to PNG or JPEG first")
    moving = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not moving:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise MediaError(f"{path} has no video in it (it holds {kinds})", "give a file with a picture")
    best = container.streams.best("video")
    return best if best in moving else moving[0]
