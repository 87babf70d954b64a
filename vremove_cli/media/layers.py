"""Pictures for compositors: R'G'B' or R'G'B'A, 8 or 16 bits a channel, as lossless video or PNG files."""

import os
import shutil
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.media.clip import ClipInfo

_VIDEO = {(3, 1): ("rgb24", "bgr0"), (4, 1): ("rgba", "bgra"), (3, 2): ("rgb48le",) * 2, (4, 2): ("rgba64le",) * 2}


def write_layers(output: str, pictures: Iterable[Array], info: ClipInfo) -> None:
    """Write displayed pictures (H, W, 3 or 4) uint8 or uint16, one for every frame of the clip, alpha straight.

    `.mkv` gives FFV1 at the clip's own times, any other name a folder of PNG files named by frame number. It appears
    whole or not at all; raises `MediaError` when it cannot be written.
    """
    target = Path(output)
    hidden = target.with_name(f".{target.name}.part")
    shutil.rmtree(hidden, ignore_errors=True)  # a killed run's
    try:
        if target.suffix.lower() == ".mkv":
            _video(hidden, pictures, info)
            os.replace(hidden, target)
        else:
            _folder(hidden, pictures, info)
            target.mkdir(exist_ok=True)
            for file in sorted(hidden.iterdir()):
                file.replace(target / file.name)
    except (OSError, av.error.FFmpegError) as error:
        raise MediaError(
            f"{target} could not be written ({error})", "check the disk, or choose another place"
        ) from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
        if hidden.is_file():
            hidden.unlink()


def _video(path: Path, pictures: Iterable[Array], info: ClipInfo) -> None:
    base: Fraction = info.times.time_base
    with av.open(str(path), "w", format="matroska") as container:
        stream = None
        for picture, pts in zip(pictures, info.times.pts, strict=True):
            source, stored = _VIDEO[picture.shape[2], picture.itemsize]
            if stream is None:
                stream = container.add_stream("ffv1", rate=25, options={"level": "3", "slicecrc": "1"})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = stored
                stream.time_base = stream.codec_context.time_base = base
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=source).reformat(format=stored)
            frame.pts, frame.time_base = pts, base
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())


def _folder(path: Path, pictures: Iterable[Array], info: ClipInfo) -> None:
    path.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        number = info.file_numbers[i] if info.file_numbers else i
        code = cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
        whole, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(picture), code))
        if not whole:
            raise OSError(f"picture {number} could not be encoded")
        (path / f"{number:06d}.png").write_bytes(data.tobytes())
