"""Numbered images on disk: `shot.%04d.png`, `shot.####.png`, a folder of them, or one picture."""

import re
from dataclasses import dataclass
from pathlib import Path

from vremove_cli.errors import MediaError

IMAGES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".dpx", ".exr", ".tga", ".webp")
_HOLE = re.compile(r"%0?(\d*)d|#+")
_LAST_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")


@dataclass(frozen=True)
class Sequence:
    """The files of a sequence in the order of their numbers."""

    files: tuple[Path, ...]
    numbers: tuple[int, ...]

    @property
    def gaps(self) -> int:
        return self.numbers[-1] - self.numbers[0] + 1 - len(self.numbers)


def is_sequence(path: str) -> bool:
    """Whether a path means images rather than a video file."""
    return Path(path).is_dir() or Path(path).suffix.lower() in IMAGES


def find(path: str) -> Sequence:
    """The images that a folder, a pattern or a single picture means; raises `MediaError` when there are none."""
    try:
        return _find(path, Path(path))
    except PermissionError as error:
        raise MediaError(
            f"no permission to look into {error.filename}", "change its permissions, or copy it"
        ) from error


def _find(path: str, place: Path) -> Sequence:
    if place.is_dir():
        names = [p for p in place.iterdir() if p.suffix.lower() in IMAGES and not p.name.startswith(".")]
        return _numbered(names, path)
    if has_number(path) and not place.exists():
        form = re.compile("".join(_pattern_piece(p) for p in _split(place.name)) + "$")
        folder = place.parent
        names = [p for p in folder.iterdir() if form.match(p.name)] if folder.is_dir() else []
        return _numbered(names, path)
    if not place.exists():
        raise MediaError(f"{path} does not exist", "check the path")
    return Sequence((place,), (0,))


def output_name(pattern: str, source: Path, number: int) -> Path:
    """The file that a frame goes to: into a folder under the source's own name, or where a pattern says."""
    place = Path(pattern)
    hole = _HOLE.search(place.name) if has_number(pattern) else None
    if hole is None:
        return place / source.name
    digits = int(hole.group(1) or 0) if hole.group(0).startswith("%") else len(hole.group(0))
    return place.with_name(place.name[: hole.start()] + str(number).rjust(digits, "0") + place.name[hole.end() :])


def has_number(pattern: str) -> bool:
    """Whether a path is an image's and has a place for a frame's number."""
    return Path(pattern).suffix.lower() in IMAGES and bool(_HOLE.search(Path(pattern).name))


def _split(name: str) -> list[str]:
    hole = _HOLE.search(name)
    assert hole is not None
    return [name[: hole.start()], hole.group(0), name[hole.end() :]]


def _pattern_piece(piece: str) -> str:
    return r"(\d+)" if piece and _HOLE.fullmatch(piece) else re.escape(piece)


def _numbered(paths: list[Path], what: str) -> Sequence:
    if not paths:
        raise MediaError(f"{what} holds no images", f"name a folder or a pattern of {', '.join(IMAGES[:5])} files")
    found = []
    for path in paths:
        match = _LAST_NUMBER.match(path.stem)
        found.append((int(match.group(2)) if match else 0, path))
    found.sort()
    numbers = [n for n, _ in found]
    names = {m.group(1) if (m := _LAST_NUMBER.match(p.stem)) else p.stem for p in paths}
    if len(set(numbers)) != len(numbers) or len(names) > 1:
        raise MediaError(
            f"{what} holds more than one sequence", "name one of them with a pattern such as shot.%04d.png"
        )
    if len({p.suffix.lower() for _, p in found}) > 1:
        raise MediaError(f"{what} mixes kinds of images", "name one kind with a pattern such as shot.%04d.png")
    return Sequence(tuple(p for _, p in found), tuple(numbers))
