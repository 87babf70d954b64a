"""Pictures for compositors: R'G'B' or R'G'B'A, 8 or 16 bits a channel, as lossless video or PNG files."""

import shutil
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.ffv1 import LosslessWriter

_VIDEO = {(3, 1): ("rgb24", "bgr0"), (4, 1): ("rgba", "bgra"), (3, 2): ("rgb48le",) * 2, (4, 2): ("rgba64le",) * 2}


def write_layers(output: str, pictures: Iterable[Array], info: ClipInfo) -> None:
    """Write displayed pictures (H, W, 3 or 4) uint8 or uint16, one for every frame of the clip, alpha straight.

    `.mkv` gives FFV1 at the clip's own times, any other name a folder of PNG files named by frame number. It appears
    whole or not at all; raises `MediaError` when it cannot be written.
    """
    target = Path(output)
    try:
        if target.suffix.lower() == ".mkv":
            _video(target, pictures, info)
        else:
            into_folder(target, pictures, info, _write_png)
    except (OSError, av.error.FFmpegError) as error:
        advice = "check the disk, or choose another place"
        raise MediaError(f"{target} could not be written ({error})", advice) from error


def into_folder(target: Path, pictures: Iterable[Array], info: ClipInfo, write: Callable[[Path, Array], None]) -> None:
    """Write a picture for every frame of the clip with `write`, as PNG files named by frame number.

    They are made in a hidden folder and moved when all of them are there; raises `OSError`.
    """
    hidden = target.with_name(f".{target.name}.part")
    shutil.rmtree(hidden, ignore_errors=True)  # a killed run's
    hidden.mkdir(parents=True)
    try:
        for i, picture in enumerate(pictures):
            number = info.file_numbers[i] if info.file_numbers else i
            write(hidden / f"{number:06d}.png", picture)
        if target.is_dir():
            for file in sorted(hidden.iterdir()):
                file.replace(target / file.name)
        else:
            hidden.replace(target)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def _video(path: Path, pictures: Iterable[Array], info: ClipInfo) -> None:
    rest = iter(pictures)
    first = next(rest)
    source, stored = _VIDEO[first.shape[2], first.itemsize]
    with LosslessWriter(path, stored, *info.shown_size, times=info.times) as writer:
        for picture in chain((first,), rest):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=source)
            writer.encode(frame.reformat(format=stored))


def _write_png(path: Path, picture: Array) -> None:
    code = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    whole, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(picture), code))
    if not whole:
        raise OSError(f"{path.name} could not be encoded")
    path.write_bytes(data.tobytes())
