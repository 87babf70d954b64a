"""Mark pictures that this tool wrote with what they are: a tag of a Matroska file, or a text chunk of PNG files.

Other programs drop the mark when they save a picture anew, as they should: it is then no longer what this tool made.
"""

from pathlib import Path

import av
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.container import open_input

KEY = "VREMOVE"  # of the tag and of the chunk
TRACKED = "tracked mask"  # its edge is where a tracker put it


def png_mark(mark: str) -> PngInfo:
    """Return the text chunk that marks a PNG file; without a mark it is empty."""
    chunks = PngInfo()
    if mark:
        chunks.add_text(KEY, mark)
    return chunks


def mark_of(info: ClipInfo) -> str:
    """Return the mark of a scanned clip, of the first file of a sequence; empty without one."""
    try:
        if info.is_sequence:
            with Image.open(Path(info.files[0])) as picture:
                return str(picture.info.get(KEY, ""))
        with open_input(info.path) as container:
            return container.metadata.get(KEY, "")
    except (OSError, UnidentifiedImageError, av.error.FFmpegError):
        return ""
