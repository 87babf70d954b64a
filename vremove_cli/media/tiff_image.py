"""Read the TIFF pictures that FFmpeg decodes wrongly and without an error: tiles, JPEG inside.

Pillow and OpenCV both bring libtiff, which reads them: Pillow has no colour of 16 bits, and OpenCV multiplies
8-bit colour with its alpha.
"""

import warnings
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.colour import FULL_RANGE
from vremove_cli.media.limits import refuse_too_large

# Tags of TIFF 6.0, section 8 on, and values of theirs.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _TILE = (
    256, 257, 258, 259, 262, 274, 322,
)  # fmt: skip
_UPRIGHT, _GRAY_OR_RGB, _CMYK, _YCBCR = 1, (0, 1, 2, 3, 4), 5, 6
_ALGORITHMS = {1: "raw", 5: "lzw", 8: "deflate", 32946: "deflate", 32773: "packbits"}  # FFmpeg's names by number
_FAX = (2, 3, 4)  # compressions of 1-bit pictures that FFmpeg reads, and does not write
OTHERWISE = "deflate"  # where the source's compression is no such one
_FORMATS = {
    ("L", 1): "gray", ("LA", 1): "ya8", ("RGB", 1): "rgb24", ("RGBA", 1): "rgba",
    ("L", 2): "gray16le", ("RGB", 2): "rgb48le", ("RGBA", 2): "rgba64le",
}  # fmt: skip


def compression(path: Path) -> str:
    """Return FFmpeg's name of a TIFF file's compression, or the one to use instead."""
    return _ALGORITHMS.get(_tags(path).get(_COMPRESSION, 1), OTHERWISE)


def refuse_tiff(path: Path) -> None:
    """Raise `MediaError` for a TIFF file whose colours FFmpeg would convert: CMYK, Lab."""
    kind = _tags(path).get(_PHOTOMETRIC, 1)
    if kind == _YCBCR or kind in _GRAY_OR_RGB:
        return
    name = "CMYK" if kind == _CMYK else f"TIFF photometric {kind}"
    raise MediaError(f"{path} has colours that cannot be written ({name})", "convert it to RGB first")


def read_tiff(path: Path) -> av.VideoFrame | None:
    """Decode a TIFF file that FFmpeg would read wrongly; None for any other.

    Raises:
        MediaError: It is stored turned, or has samples of a kind that is not supported.
    """
    tags = _tags(path)
    usual = tags.get(_COMPRESSION, 1) in (*_ALGORITHMS, *_FAX)
    if not tags or (usual and _TILE not in tags):
        return None
    if tags.get(_ORIENTATION, _UPRIGHT) != _UPRIGHT:
        raise MediaError(f"{path} is stored in tiles, and turned", "save it again without tiles, in LZW")
    refuse_too_large(str(path), tags.get(_WIDTH, 0) * tags.get(_HEIGHT, 0))
    try:
        samples = _by_opencv(path) if tags.get(_BITS, (1,))[0] == 16 else _by_pillow(path)
    except (OSError, ValueError, SyntaxError, cv2.error) as error:
        raise MediaError(f"{path} cannot be read ({error})", "it may be damaged: copy it again") from error
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(samples.shape[2] if samples.ndim == 3 else 1, "")
    fmt = _FORMATS.get((mode, samples.itemsize))
    if fmt is None:
        raise MediaError(f"{path} has samples of an unusual kind", "save it again as RGB, without tiles")
    frame = _frame(samples, fmt)
    frame.color_range = FULL_RANGE
    return frame


def _frame(samples: Array, fmt: str) -> av.VideoFrame:
    """Return samples (H, W) or (H, W, C), in a pixel's order, as a frame of one plane."""
    height, width = samples.shape[:2]
    frame = av.VideoFrame(width, height, fmt)
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    row_bytes = samples.nbytes // height
    rows[:height, :row_bytes] = np.ascontiguousarray(samples).reshape(height, -1).view(np.uint8)
    return frame


def _by_pillow(path: Path) -> Array:
    with warnings.catch_warnings(action="ignore"), TiffImageFile(path) as picture:
        if picture.mode in ("L", "LA", "RGB", "RGBA"):
            return np.asarray(picture)
        return np.asarray(picture.convert("L" if picture.mode == "1" else "RGB"))


def _by_opencv(path: Path) -> Array:
    samples = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise ValueError("libtiff refuses it")
    if samples.ndim == 3:
        samples = cv2.cvtColor(samples, cv2.COLOR_BGR2RGB if samples.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return np.asarray(samples)


def _tags(path: Path) -> dict[int, Any]:
    """Return the tags of a TIFF file's first picture; none of a file of another kind, which FFmpeg judges."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("TIFF",)) as picture:
            return dict(picture.tag_v2) if isinstance(picture, TiffImageFile) else {}
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
        return {}
