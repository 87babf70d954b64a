"""The tags of a file and of its streams, by the names that FFmpeg's muxers take, and how mp4 and mov store them."""

import io
from fractions import Fraction

import av
from av.container import InputContainer
from av.container.core import Container
from av.stream import Stream

# Tags that describe the source's encoding and not its content.
_ENCODING_TAGS = (
    "encoder",
    "software",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "bps",
    "vendor_id",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "modification_date",
)
# Tags that FFmpeg reads by one name and writes by another, by demuxer: an album in AVI, a track's title in mp4 and mov.
_FILE_NAMES = {"avi": {"product": "album"}}
_STREAM_NAMES = {"mov": {"name": "title"}, "mp4": {"name": "title"}}
_PLAIN: dict[str, str] = {}
_KEYS = {"movflags": "+use_metadata_tags"}
_SIDE = 16  # pixels, of a picture that makes a file


def file_tags(container: InputContainer) -> dict[str, str]:
    """Return the tags of a file, without those that describe its encoding."""
    return _tags(container.metadata, _FILE_NAMES.get(_demuxer(container), {}))


def stream_tags(stream: Stream) -> dict[str, str]:
    """Return the tags of a stream of a file that is read, without those that describe its encoding."""
    return _tags(stream.metadata, _STREAM_NAMES.get(_demuxer(stream.container), {}))


def _demuxer(container: Container) -> str:
    return str(container.format.name).split(",")[0]


def _tags(tags: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    content = {k: v for k, v in tags.items() if k.lower() not in _ENCODING_TAGS and not k.startswith("_STATISTICS")}
    return {names.get(k, k): v for k, v in content.items()}


def needs_keys(container: str, tags: dict[str, str]) -> bool:
    """Return whether a list of keys keeps tags that the known fields lose; both ways are tried.

    Args:
        container: "mp4" or "mov".
        tags: The file's tags.
    """
    return bool(tags) and len(_kept(container, tags, _PLAIN)) < len(_kept(container, tags, _KEYS))


def _kept(container: str, tags: dict[str, str], options: dict[str, str]) -> set[str]:
    """Return the names of the tags that are in a file after they were written to it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as target:
        video = target.add_stream("mjpeg", rate=25, width=_SIDE, height=_SIDE, pix_fmt="yuvj420p")
        video.codec_context.time_base = Fraction(1, 25)
        target.metadata.update(tags)
        target.mux(video.encode(av.VideoFrame(_SIDE, _SIDE, "yuvj420p")))
        target.mux(video.encode())
    file.seek(0)
    with av.open(file, metadata_errors="replace") as result:
        return set(tags) & set(result.metadata)
