"""Choose how mp4 and mov store tags: in fields that every player knows, or in a list of keys that holds any tag."""

import io
from fractions import Fraction

import av

_PLAIN: dict[str, str] = {}
_KEYS = {"movflags": "+use_metadata_tags"}
_SIDE = 16  # pixels, of a picture that makes a file


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
