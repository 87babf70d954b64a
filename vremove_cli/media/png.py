"""Pictures for people: PNG files with an RGB or gray array in them."""

import os
from pathlib import Path

from PIL import Image

from vremove_cli.geometry import Array


def write_rgb_image(path: Path, rgb: Array) -> None:
    """Write (H, W, 3) uint8 as PNG, under its name only when it is whole."""
    _write(path, Image.fromarray(rgb, "RGB"))


def write_gray_image(path: Path, gray: Array) -> None:
    """Write (H, W) uint8 as PNG, under its name only when it is whole."""
    _write(path, Image.fromarray(gray, "L"))


def _write(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        picture.save(hidden, "PNG", compress_level=3)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
