"""Write pictures for viewers and compositors: PNG files, folders of them, and lossless video.

Colour samples are R'G'B' in the clip's own primaries and transfer curve, 8 or 16 bits a channel, alpha straight (not
premultiplied).
"""

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from vremove_cli.atomic import replace_file, replace_folder
from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.ffv1 import LosslessWriter
from vremove_cli.media.provenance import png_mark
from vremove_cli.media.sequence import picture_name

# (channels, bytes a channel) -> (pixel format of the array, format that FFV1 stores without loss).
_VIDEO_FORMATS = {
    (3, 1): ("rgb24", "bgr0"),
    (4, 1): ("rgba", "bgra"),
    (3, 2): ("rgb48le", "rgb48le"),
    (4, 2): ("rgba64le", "rgba64le"),
}
_PNG_LEVEL = 3  # zlib level, 0 to 9


def write_rgb_image(path: Path, rgb: Array) -> None:
    """Write a picture (H, W, 3) uint8 as a PNG file, whole or not at all; missing folders are made."""
    _write_pillow(path, Image.fromarray(rgb, "RGB"))


def write_gray_image(path: Path, gray: Array, mark: str = "") -> None:
    """Write a picture (H, W) uint8 as a PNG file, whole or not at all; missing folders are made.

    `mark` says what the picture is, see `provenance`.
    """
    _write_pillow(path, Image.fromarray(gray, "L"), mark)


def _write_pillow(path: Path, picture: Image.Image, mark: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as hidden:
        picture.save(hidden, "PNG", compress_level=_PNG_LEVEL, pnginfo=png_mark(mark))


def write_layers(output: str, pictures: Iterable[Array], info: ClipInfo) -> None:
    """Write one picture for every frame of a clip, whole or not at all.

    Args:
        output: `.mkv` for FFV1 at the clip's own times, `.png` for a single picture's, any other name for a folder of
            PNG files named by frame number.
        pictures: Displayed pictures (H, W, 3) or (H, W, 4), uint8 or uint16, all of one kind.
        info: The clip.

    Raises:
        MediaError: The output cannot be written.
    """
    target = Path(output)
    try:
        if target.suffix.lower() == ".mkv":
            _write_video(target, pictures, info)
        elif target.suffix.lower() == ".png":
            with replace_file(target) as hidden:
                _write_png(hidden, next(iter(pictures)))
        else:
            write_folder(target, pictures, info, _write_png)
    except (OSError, av.error.FFmpegError) as error:
        advice = "check the disk, or choose another place"
        raise MediaError(f"{target} could not be written ({error})", advice) from error


def write_folder(target: Path, pictures: Iterable[Array], info: ClipInfo, write: Callable[[Path, Array], None]) -> None:
    """Write one PNG file for every frame of a clip into a folder, all of them or none.

    Args:
        target: Path of the folder. An existing one keeps its other files.
        pictures: Arrays that `write` takes.
        info: The clip. A file is named by the number of the frame's source file, or by its index.
        write: Writes one picture to a path.

    Raises:
        OSError: The folder or a file cannot be written.
    """
    with replace_folder(target) as hidden:
        for i, picture in enumerate(pictures):
            number = info.file_numbers[i] if info.file_numbers else i
            write(hidden / picture_name(number), picture)


def _write_video(path: Path, pictures: Iterable[Array], info: ClipInfo) -> None:
    remaining = iter(pictures)
    first = next(remaining)
    source, stored = _VIDEO_FORMATS[first.shape[2], first.itemsize]
    with LosslessWriter(path, stored, *info.shown_size, times=info.times) as writer:
        for picture in chain((first,), remaining):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=source)
            writer.encode(frame.reformat(format=stored))


def _write_png(path: Path, picture: Array) -> None:
    """Write (H, W, 3) or (H, W, 4), uint8 or uint16, as a PNG file. Pillow has no 16-bit RGB."""
    code = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    encoded, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(picture), code))
    if not encoded:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(data.tobytes())
