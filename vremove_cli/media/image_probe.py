"""Scan an image sequence: size, pixel format, cuts, and whether it can be edited."""

import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from vremove_cli.errors import MediaError
from vremove_cli.media import sequence
from vremove_cli.media.clip import SEQUENCE, ClipInfo
from vremove_cli.media.container import open_alone, read_image
from vremove_cli.media.frame_metadata import colour_of, display_matrix
from vremove_cli.media.jpeg import refuse_jpeg
from vremove_cli.media.pixel_format import PALETTE, SIBLINGS, layout_of, palette_model
from vremove_cli.media.shots import CutDetector
from vremove_cli.media.tiff_image import refuse_tiff
from vremove_cli.media.timing import FrameTimes

SEQUENCE_RATE = 24  # frames a second of an image sequence
_OF_CAMERAS = (".jpg", ".jpeg")  # a folder of them may be photos, even if they are numbered and of one size
_SEVERAL = ("PNG", "TIFF", "WEBP")  # Pillow's names of formats that may hold an animation, or pages
_SUBFILE_TYPE, _REDUCED = 254, 1  # TIFF 6.0: a tag, and the bit of a picture's smaller copy


def scan_sequence(path: str, progress: Callable[[int, int], None] | None) -> ClipInfo:
    """Decode an image sequence once and describe it.

    Args:
        path: An image, a folder of images or a pattern.
        progress: Called after every image with the images done and their number.

    Raises:
        MediaError: The images cannot be read or edited, differ in size or pixel format, or one holds several pictures.
    """
    found = sequence.find(path)
    detector = CutDetector()
    first = None
    models = set[str]()
    for i, file in enumerate(found.files):
        _refuse_several(file)
        refuse_jpeg(file)
        refuse_tiff(file)
        frame = read_image(file)
        first = first or frame
        if frame.format.name == PALETTE:
            models.add(palette_model(frame))
        if _shape_of(frame) != _shape_of(first):
            raise MediaError(
                f"{file} differs from {found.files[0]} in size or pixel format",
                "convert the files to one size and pixel format first; for photos, each of its own, give their names",
            )
        detector.add(frame)
        if progress:
            progress(i + 1, len(found.files))
    assert first is not None
    edit_fmt = SIBLINGS.get(first.format.name, first.format.name)
    if models:
        edit_fmt = next(iter(models)) if len(models) == 1 else edit_fmt
    layout_of(edit_fmt)  # raises for a format that cannot be edited
    count, codec = len(found.files), _image_codec(found.files[0])
    return ClipInfo(
        path=str(path),
        container=SEQUENCE,
        codec=codec,
        profile="",
        tag="",
        width=first.width,
        height=first.height,
        pix_fmt=first.format.name,
        edit_fmt=edit_fmt,
        colour=colour_of(first),
        matrix=display_matrix(first, path, codec),
        aspect=Fraction(0),
        hdr={},
        dynamic_hdr=False,
        side_data=(),
        stream=0,
        streams=(),
        restarts=(),
        chapters=0,
        bit_rate=0,
        timecode="",
        times=FrameTimes(tuple(range(count)), Fraction(1, SEQUENCE_RATE), 1),
        cuts=detector.cuts,
        keyframes=tuple(range(count)),
        repeated=(),
        files=tuple(str(f) for f in found.files),
        file_numbers=found.numbers,
        notes=_notes(path, found, len(detector.cuts)),
    )


def _notes(path: str, found: sequence.Sequence, cuts: int) -> tuple[str, ...]:
    """Return what is unusual about a sequence."""
    notes = []
    if found.gaps:
        notes.append(f"the sequence skips {found.gaps} number(s); the files keep their numbers")
    suffix = found.files[0].suffix
    if Path(path).is_dir() and len(found.files) > 1 and (cuts or suffix.lower() in _OF_CAMERAS):
        notes.append(f"taken as one sequence: for photos, each of its own, give '{Path(path) / f'*{suffix}'}'")
    return tuple(notes)


def _image_codec(path: Path) -> str:
    with open_alone(str(path)) as container:
        return str(container.streams.video[0].codec_context.codec.canonical_name)


def _shape_of(frame: av.VideoFrame) -> tuple[int, int, str]:
    return frame.width, frame.height, frame.format.name


def _refuse_several(path: Path) -> None:
    """Raise `MediaError` for a file with more pictures than the one that would be read."""
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),  # nothing is decoded
            Image.open(path, formats=_SEVERAL) as image,
        ):
            count, kind = _pictures(image), image.format
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return  # FFmpeg has the last word on what it can read
    if count > 1 and kind == "TIFF":
        raise MediaError(f"{path} has {count} pages", "save each page as a file of its own, and give their folder")
    if count > 1:
        raise MediaError(
            f"{path} is an animation of {count} pictures",
            "save them as numbered images, or as a video such as .mkv, and give that",
        )


def _pictures(image: Image.Image) -> int:
    """Return how many pictures a file holds; smaller copies of a TIFF's page do not count."""
    frames = getattr(image, "n_frames", 1)
    if not isinstance(image, TiffImageFile):
        return int(frames)
    count = 0
    for i in range(frames):
        image.seek(i)
        count += not image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED
    return count
