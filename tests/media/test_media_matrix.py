"""Every legal cell of codec x feature, through the real command: what was not to be touched is not."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from support.clips import packets_of, planes_of, write_clip, write_masks, write_sequence
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip

VFR = [0, 40, 73, 140, 150, 233, 300, 301, 400, 520]


class Kind(NamedTuple):
    """How a codec's clips are made; `rich` is its 4:4:4 (or 16-bit) pixel format."""

    suffix: str
    codec: str
    pix_fmt: str
    rich: str
    sound: str = ""
    text: str = ""


CODECS = {
    "h264": Kind(".mp4", "libx264", "yuv420p", "yuv444p", "aac", "mov_text"),
    "hevc10": Kind(".mp4", "libx265", "yuv420p10le", "yuv444p10le", "aac", "mov_text"),
    "prores": Kind(".mov", "prores_ks", "yuv422p10le", "yuv444p10le", "pcm_s16le", "mov_text"),
    "ffv1": Kind(".mkv", "ffv1", "yuv420p", "yuv444p", "flac", "srt"),
    "vp9": Kind(".webm", "libvpx-vp9", "yuv420p", "yuv444p", "libopus", "webvtt"),
    "png": Kind("", "png", "rgb24", "rgb48be"),
}
FEATURES = ["cfr", "vfr", "ntsc", "rotated", "odd", "rich", "audio", "subtitles", "chapters"]
# What cannot exist: pictures have no times or streams; 4:2:0 and 4:2:2 in these codecs have no odd sizes; Matroska's
# and WebM's clock is a millisecond, so 30000/1001 is rounded there (that cell is still run, with rounded times).
ILLEGAL = {
    *((c, f) for c in ("png",) for f in ("vfr", "ntsc", "rotated", "audio", "subtitles", "chapters")),
    ("h264", "odd"), ("hevc10", "odd"), ("prores", "odd"),
}  # fmt: skip
CELLS = [(c, f) for c in CODECS for f in FEATURES if (c, f) not in ILLEGAL]


def build(folder: Path, codec: str, feature: str) -> Path:
    kind = CODECS[codec]
    pix_fmt = kind.rich if feature == "rich" else kind.pix_fmt
    size = (95, 63) if feature == "odd" else (96, 64)
    if codec == "png":
        return write_sequence(folder / "shot", pix_fmt=pix_fmt, size=size)
    base, pts = Fraction(1, 1000), list(range(0, 400, 40))
    if feature == "vfr":
        pts = VFR
    elif feature == "ntsc":
        base, pts = Fraction(1, 30000), [1001 * i for i in range(10)]
        if kind.suffix in (".mkv", ".webm"):
            base, pts = Fraction(1, 1000), [round(1001 * i / 30) for i in range(10)]
    return write_clip(
        folder / f"clip{kind.suffix}",
        codec=kind.codec,
        pix_fmt=pix_fmt,
        size=size,
        pts=pts,
        time_base=base,
        rotation=90 if feature == "rotated" else 0,
        audio=kind.sound if feature in ("audio", "subtitles") else None,
        subtitle=kind.text if feature == "subtitles" else None,
        chapters=feature == "chapters",
        options={"bf": "2"} if codec == "h264" else None,
    )


@pytest.fixture(scope="module", params=CELLS, ids="-".join)
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path, Path, Path]:
    """A clip and the result of erasing the square from it."""
    from vremove_cli import erase

    codec, feature = request.param
    folder = tmp_path_factory.mktemp(f"{codec}-{feature}")
    source = build(folder, codec, feature)
    size = (95, 63) if feature == "odd" else (96, 64)
    masks = write_masks(folder / "masks", size=size)
    if feature == "rotated":
        _turn(masks)
    matte = str(folder / "matte.mkv")
    summary = erase(str(source), mask=str(masks), write_matte=matte, overwrite=True)
    result = Path(summary.output)
    return codec, feature, source, result, folder / "matte.mkv"


def _turn(masks: Path) -> None:
    """Masks as the rotated clip is displayed."""
    import cv2

    for file in masks.iterdir():
        shown = cv2.rotate(cv2.imread(str(file), 0), cv2.ROTATE_90_COUNTERCLOCKWISE)
        cv2.imwrite(str(file), shown)


def test_frame_count_and_times_are_equal(cell: tuple[str, str, Path, Path, Path]) -> None:
    _, _, source, result, _ = cell
    before, after = open_clip(str(source)).info, open_clip(str(result)).info
    assert [p * after.times.time_base for p in after.times.pts] == [
        p * before.times.time_base for p in before.times.pts
    ]


def test_size_format_and_tags_are_equal(cell: tuple[str, str, Path, Path, Path]) -> None:
    _, _, source, result, _ = cell
    before, after = open_clip(str(source)).info, open_clip(str(result)).info
    assert (after.width, after.height, after.matrix) == (before.width, before.height, before.matrix)
    assert after.pix_fmt == before.pix_fmt
    assert after.colour == before.colour
    assert after.codec == before.codec
    assert after.chapters == before.chapters


def test_other_streams_are_copied_byte_for_byte(cell: tuple[str, str, Path, Path, Path]) -> None:
    _, feature, source, result, _ = cell
    if source.is_dir():
        assert sorted(p.name for p in result.iterdir()) == sorted(p.name for p in source.iterdir())
        return
    for kind in ("audio", "subtitle"):
        assert packets_of(result, kind) == packets_of(source, kind)
    assert bool(packets_of(source, "audio")) == (feature in ("audio", "subtitles"))


def test_the_square_is_gone(cell: tuple[str, str, Path, Path, Path]) -> None:
    codec, _, source, result, matte = cell
    before, after = planes_of(source), planes_of(result)
    inside = _stored_mattes(source, matte)
    channel = 0
    change = [
        np.abs(a[channel].astype(int) - b[channel])[m == 255].mean()
        for a, b, m in zip(before, after, inside, strict=True)
    ]
    depth = open_clip(str(source)).info.layout.bits
    assert np.mean(change) > 12 * 2 ** (depth - 8), codec


def test_lossless_codecs_keep_every_other_sample(cell: tuple[str, str, Path, Path, Path]) -> None:
    codec, _, source, result, matte = cell
    if codec not in ("ffv1", "png"):
        pytest.skip("a lossy encoder changes every sample a little")
    layout = open_clip(str(source)).info.layout
    for old, new, weight in zip(planes_of(source), planes_of(result), _stored_mattes(source, matte), strict=True):
        for a, b, part in zip(old, new, layout.components, strict=True):
            untouched = _untouched(weight, part.sub_x, part.sub_y)
            np.testing.assert_array_equal(a[untouched], b[untouched])
            assert untouched.mean() > 0.5


def _stored_mattes(source: Path, matte: Path) -> list[np.ndarray]:
    orientation = open_clip(str(source)).info.orientation
    return [orientation.store(m) for m in read_gray(matte)]


def _untouched(weight: np.ndarray, sub_x: int, sub_y: int) -> np.ndarray:
    padded = np.pad(weight, ((0, -weight.shape[0] % (1 << sub_y)), (0, -weight.shape[1] % (1 << sub_x))))
    rows, columns = padded.shape[0] >> sub_y, padded.shape[1] >> sub_x
    return padded.reshape(rows, 1 << sub_y, columns, 1 << sub_x).max(axis=(1, 3)) == 0
