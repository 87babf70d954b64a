"""Find and name numbered images: `shot.%04d.png`, `shot.####.png`, a folder of them, or one image."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vremove_cli.errors import MediaError

IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".dpx", ".exr", ".tga", ".webp")
_PLACEHOLDER = re.compile(r"%0?(\d*)d|#+")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters at least: C:/ is a drive
_LOOKED_AT = 16  # images of a folder whose sizes are compared: a scan compares all of them
_SLIPS = 2  # sizes that the images of a sequence may have by mistake
_UNKNOWN = (0, 0)
_LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")


@dataclass(frozen=True)
class Sequence:
    """The files of an image sequence.

    Attributes:
        files: Paths in the order of their numbers.
        numbers: The last number in each file's name; 0 for a single image.
    """

    files: tuple[Path, ...]
    numbers: tuple[int, ...]

    @property
    def gaps(self) -> int:
        """How many numbers between the first and the last have no file."""
        return self.numbers[-1] - self.numbers[0] + 1 - len(self.numbers)


def missing(path: str) -> MediaError:
    """Return the error for a file that is not there."""
    if _ADDRESS.match(path):
        return MediaError(f"{path} is an address, and these are not read", "download the file, then give its path")
    return MediaError(f"{path} does not exist", "check the path")


def is_sequence(path: str) -> bool:
    """Return whether a path is a folder or has the suffix of an image."""
    return Path(path).is_dir() or Path(path).suffix.lower() in IMAGES


def is_picture(path: str) -> bool:
    """Return whether a path is one image file."""
    return Path(path).is_file() and Path(path).suffix.lower() in IMAGES


def find(path: str) -> Sequence:
    """Find the images of a sequence.

    Args:
        path: A folder, a pattern with one placeholder for the number, or an image.

    Raises:
        MediaError: There are none, they are of several sequences or kinds, or the folder is not readable.
    """
    try:
        return _find(path, Path(path))
    except PermissionError as error:
        raise MediaError(
            f"no permission to look into {error.filename}", "change its permissions, or copy it"
        ) from error


def _find(path: str, source: Path) -> Sequence:
    if source.is_dir():
        files = [p for p in source.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
        return _numbered(files, path)
    if has_number(path) and not source.exists():
        pattern = _file_pattern(source.name)
        folder = source.parent
        files = [p for p in folder.iterdir() if pattern.match(p.name)] if folder.is_dir() else []
        return _numbered(files, path)
    if not source.exists():
        raise missing(path)
    return Sequence((source,), (0,))


def are_photos(paths: list[Path]) -> bool:
    """Return whether the images of a folder are photos, each of its own, and no sequence.

    They are if none of them may be frames of one sequence, which would be torn apart: of those that are named and
    numbered alike, some must be in portrait and some in landscape format, or of many sizes. Two sizes may be a slip.
    """
    alike: dict[tuple[str, str], list[Path]] = {}
    for path in paths:
        match = _LAST_NUMBER.match(path.stem)
        alike.setdefault((match.group(1) if match else path.stem, path.suffix.lower()), []).append(path)
    groups = [group for group in alike.values() if len(group) > 1]
    return len(paths) > 1 and not any(_may_be_frames(group) for group in groups)


def _may_be_frames(paths: list[Path]) -> bool:
    """Return whether images may be of one sequence, by the sizes of some of them, evenly chosen."""
    sizes = {_size_of(path) for path in paths[:: max(1, len(paths) // _LOOKED_AT)]} - {_UNKNOWN}
    turned = any(width != height and (height, width) in sizes for width, height in sizes)
    return not turned and len(sizes) <= _SLIPS


def _size_of(path: Path) -> tuple[int, int]:
    """Return the width and height that an image says it has; `_UNKNOWN` where Pillow cannot tell."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return _UNKNOWN


def picture_name(index: int, suffix: str = ".png") -> str:
    """Return the name of a frame's image in a folder, where the source is a video."""
    return f"{index:06d}{suffix}"


def output_name(pattern: str, source: Path, number: int) -> Path:
    """Return the path of a frame's image.

    Args:
        pattern: The user's output: a folder, or a pattern with a placeholder for the number.
        source: The frame's source file, whose name is kept in a folder.
        number: The frame's number.
    """
    target = Path(pattern)
    placeholder = _PLACEHOLDER.search(target.name) if has_number(pattern) else None
    if placeholder is None:
        return target / source.name
    text = placeholder.group(0)
    digits = int(placeholder.group(1) or 0) if text.startswith("%") else len(text)
    before, after = target.name[: placeholder.start()], target.name[placeholder.end() :]
    return target.with_name(before + str(number).rjust(digits, "0") + after)


def has_number(pattern: str) -> bool:
    """Return whether a path has the suffix of an image and a placeholder for the frame's number."""
    return Path(pattern).suffix.lower() in IMAGES and bool(_PLACEHOLDER.search(Path(pattern).name))


def _file_pattern(name: str) -> re.Pattern[str]:
    """Return the regular expression of the file names that a name with a placeholder stands for."""
    placeholder = _PLACEHOLDER.search(name)
    assert placeholder is not None
    before, after = name[: placeholder.start()], name[placeholder.end() :]
    return re.compile(f"{re.escape(before)}(\\d+){re.escape(after)}$")


def _numbered(paths: list[Path], source: str) -> Sequence:
    """Sort files by their number; raises `MediaError` unless they are one sequence of one kind."""
    if not paths:
        raise MediaError(f"{source} holds no images", f"name a folder or a pattern of {', '.join(IMAGES[:5])} files")
    found = []
    for path in paths:
        match = _LAST_NUMBER.match(path.stem)
        found.append((int(match.group(2)) if match else 0, path))
    found.sort()
    numbers = [n for n, _ in found]
    names = {m.group(1) if (m := _LAST_NUMBER.match(p.stem)) else p.stem for p in paths}
    if len(set(numbers)) != len(numbers) or len(names) > 1:
        raise MediaError(
            f"{source} holds more than one sequence",
            "name one of them with a pattern such as shot.%04d.png, or, if they are photos, "
            f"name them as '{source}/*{paths[0].suffix}'",
        )
    if len({p.suffix.lower() for _, p in found}) > 1:
        raise MediaError(f"{source} mixes kinds of images", "name one kind with a pattern such as shot.%04d.png")
    return Sequence(tuple(p for _, p in found), tuple(numbers))
