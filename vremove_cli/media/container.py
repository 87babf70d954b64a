"""Open containers and image files, and describe the ones that FFmpeg refuses.

FFmpeg also opens what a file names: a playlist or a list of parts may name any file, or an address in the network. Here
it opens the named file and nothing else.
"""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Stream
from av.video.stream import VideoStream

from vremove_cli.errors import MediaError, is_out_of_memory
from vremove_cli.media.limits import max_pixels, refuse_too_large
from vremove_cli.media.sequence import IMAGES
from vremove_cli.media.tiff_image import read_tiff

# Demuxers that open other files, addresses or devices. That of images reads patterns unless it is told not to.
_OPENS_OTHERS = {
    "concat", "concatf", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp", "tedcaptions", "webm_dash_manifest"
}  # fmt: skip
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0\n", b"v=0\r\n")  # how files begin that name others
_HEAD = 512  # bytes in which a playlist shows
# Options of a decoder. Damage must raise an error: by default FFmpeg conceals it and goes on.
STRICT = {"err_detect": "explode", "max_pixels": str(max_pixels())}


def open_alone(path: str) -> InputContainer:
    """Open a file, and no other one, for reading.

    Raises:
        MediaError: It is a pipe or a device, or its pictures are too large.
        av.error.FFmpegError: FFmpeg does not know the file or may not read it.
        ValueError: It is no media file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise MediaError(f"{path} is a pipe or a device, and it is read more than once", "write it to a file first")
    options = {"protocol_whitelist": "file", "format_whitelist": _formats(), "max_pixels": str(max_pixels())}
    if Path(path).suffix.lower() in IMAGES:
        options["pattern_type"] = "none"
    container = av.open(os.path.abspath(path), metadata_errors="replace", options=options)
    for stream in container.streams.video:
        width, height = (stream.width, stream.height) if stream.codec_context else (0, 0)
        refuse_too_large(path, width * height or _stated_pixels(path))
    return container


def _stated_pixels(path: str) -> int:
    """Return how many pixels an image file says it has, of one that FFmpeg found too large or did not understand."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            return picture.width * picture.height
    except Image.DecompressionBombError as error:
        return int(next(iter(re.findall(r"(\d+) pixels", str(error))), max_pixels() + 1))
    except (OSError, ValueError, SyntaxError):
        return 0


@cache
def _formats() -> str:
    """The demuxers that are allowed, as FFmpeg takes them."""
    return ",".join(sorted(av.formats_available - _OPENS_OTHERS))


def open_input(path: str) -> InputContainer:
    """Open a file for reading.

    Raises:
        MediaError: It names other files, or FFmpeg does not know it or may not read it.
    """
    try:
        return open_alone(path)
    except av.error.FFmpegError as error:
        if _is_playlist(path):
            raise MediaError(f"{path} is a playlist: it names other files", "give the video file itself") from error
        raise unreadable(path, error) from error
    except ValueError as error:
        raise MediaError(f"{path} cannot be opened ({error})", "check that it is a video file") from error


@contextmanager
def open_output(
    target: Path | io.BytesIO, container: str, options: dict[str, str] | None = None
) -> Iterator[OutputContainer]:
    """Open a file for writing; it is closed when the block ends.

    Args:
        target: Path of the file, or memory.
        container: FFmpeg's name of the muxer.
        options: Options of the muxer.

    Raises:
        av.error.FFmpegError: If the muxer cannot write the file. After an error of the block, errors of closing the
            unfinished file are dropped.
    """
    output = av.open(str(target) if isinstance(target, Path) else target, "w", format=container, options=options or {})
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


def unreadable(path: str, error: Exception) -> MediaError:
    """Return the error for a file that FFmpeg cannot read.

    Raises:
        MemoryError: The file is not to blame.
    """
    if is_out_of_memory(error):
        raise MemoryError from error
    if isinstance(error, PermissionError) and not os.access(path, os.R_OK):
        return MediaError(f"no permission to read {path}", "change its permissions, or copy it")
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(
        f"{path} cannot be read as a video ({reason})",
        "it may be damaged or cut off: play it to the end, or copy it again from its source",
    )


def codec_name(stream: Stream) -> str:
    """Return FFmpeg's name of a stream's codec, or an attachment's MIME type; empty where FFmpeg knows neither."""
    if isinstance(stream, AttachmentStream):
        return stream.mimetype or ""
    if stream.codec_context is not None:
        return str(stream.codec_context.name)
    return (stream.name or "") if stream.type == "data" else ""


def codec_tag(context: av.CodecContext) -> str:
    """Return a codec's four-character code; empty where it is no text, such as a stream type in MPEG-TS."""
    try:
        return str(context.codec_tag).strip("\0 ")
    except UnicodeDecodeError:
        return ""


def read_image(path: Path) -> av.VideoFrame:
    """Decode the first frame of an image file.

    Raises:
        MediaError: It cannot be read or holds no picture.
    """
    frame = read_tiff(path)
    if frame is not None:
        return frame
    try:
        with open_alone(str(path)) as container:
            context = container.streams.video[0].codec_context
            if context.name == "mjpeg":  # the others refuse half a picture anyway, and TIFF for less
                context.options = STRICT
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
