"""A JPEG file comes back coded as it was: the same tables, chroma and scans, so that blocks without an edit stay."""

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from support.clips import mask_of, planes_of, scene, write_clip, write_masks
from vremove_cli import erase
from vremove_cli.errors import MediaError
from vremove_cli.geometry import Array
from vremove_cli.job.render import Summary
from vremove_cli.media import jpeg
from vremove_cli.media.pixel_format import layout_of
from vremove_cli.media.read import open_clip

FLAT = [[1] * 64] * 2  # tables that lose next to nothing
ODD = [[3 + i % 7 for i in range(64)], [5 + i % 11 for i in range(64)]]  # tables of no known program
FACTORS = {"4:2:0": 0x221111, "4:2:2": 0x211111, "4:4:0": 0x121111, "4:1:1": 0x411111, "4:4:4": 0x111111}


def draw(path: Path, size: tuple[int, int] = (96, 64), mode: str = "RGB", **options: Any) -> Path:
    Image.fromarray(scene(0, *size)).convert(mode).save(path, **options)
    return path


def erased(source: Path, size: tuple[int, int] = (96, 64), output: str | None = None) -> Summary:
    Image.fromarray(mask_of(0, *size)).save(source.parent / "mask.png")
    return erase(str(source), output, mask=str(source.parent / "mask.png"), effects="off")


def coding(path: Path | str) -> tuple[Any, ...]:
    with JpegImageFile(path) as picture:
        factors = [component[1:3] for component in picture.layer]
        tables = [list(picture.quantization[component[3]]) for component in picture.layer]
        return factors, tables, bool(picture.info.get("progressive")), picture.size


@pytest.mark.parametrize("size", [(96, 64), (95, 63)])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_tables_chroma_and_scans_are_the_sources(
    tmp_path: Path, sampling: str, progressive: bool, size: tuple[int, int]
) -> None:
    source = draw(tmp_path / "a.jpg", size, subsampling=sampling, qtables=ODD, progressive=progressive)
    result = erased(source, size)
    assert coding(result.output) == coding(source)
    assert result.encoder == f"jpeg {sampling}"


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_gray_and_rgb_stay_what_they_are(tmp_path: Path, mode: str) -> None:
    source = draw(tmp_path / "a.jpg", mode=mode, quality=90, keep_rgb=True)
    result = erased(source).output
    assert coding(result) == coding(source)
    with Image.open(source) as before, Image.open(result) as after:
        assert after.mode == mode
        difference = np.asarray(after)[:, 40:].astype(int) - np.asarray(before)[:, 40:]
    assert np.abs(difference).max() <= 4


def test_three_tables_stay_three(tmp_path: Path) -> None:
    source = draw(tmp_path / "a.jpg", qtables=[*ODD, [9] * 64])
    assert coding(erased(source).output) == coding(source)


def encoded_again(source: Path) -> tuple[Array, ...]:
    """The components of the source, encoded once more without an edit."""
    info = open_clip(str(source)).info
    data = jpeg.encode(planes_of(source)[0], info.layout, jpeg.coding_of(source))
    again = source.with_name("again.jpg")
    again.write_bytes(data)
    return planes_of(again)[0]


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_blocks_without_an_edit_are_those_of_the_source_encoded_again(tmp_path: Path, sampling: str) -> None:
    source = draw(tmp_path / "a.jpg", (200, 104), subsampling=sampling, quality=80)
    after, plain = planes_of(erased(source, (200, 104)).output)[0], encoded_again(source)
    for edited, expected in zip(after, plain, strict=True):
        step = 200 // edited.shape[1]
        np.testing.assert_array_equal(edited[:, 64 // step :], expected[:, 64 // step :])  # the object lies left of it
        assert (edited[:, : 64 // step] != expected[:, : 64 // step]).any()


def test_encoding_again_changes_next_to_nothing(tmp_path: Path) -> None:
    """With the same tables the second encoding finds the same coefficients."""
    source = draw(tmp_path / "a.jpg", quality=75)
    for before, after in zip(planes_of(source)[0], encoded_again(source), strict=True):
        assert np.mean(before != after) < 0.01


@pytest.mark.parametrize("size", [(64, 48), (63, 47), (17, 9), (1, 1)])
@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj422p", "yuvj444p", "gray", "gbrp"])
def test_samples_pass_exactly_up_to_the_transform(tmp_path: Path, pix_fmt: str, size: tuple[int, int]) -> None:
    layout, rng = layout_of(pix_fmt), np.random.default_rng(3)
    shapes = [(-(-size[1] >> c.sub_y), -(-size[0] >> c.sub_x)) for c in layout.components]
    planes = tuple(rng.integers(60, 190, shape).astype(np.uint8) for shape in shapes)
    tables = tuple(tuple(FLAT[0]) for _ in planes)
    (tmp_path / "a.jpg").write_bytes(jpeg.encode(planes, layout, jpeg.Coding(tables, progressive=False), keep_rgb=True))
    assert open_clip(str(tmp_path / "a.jpg")).info.pix_fmt == pix_fmt
    for before, after in zip(planes, planes_of(tmp_path / "a.jpg")[0], strict=True):
        assert np.abs(before.astype(int) - after).max() <= 1  # the transform's rounding


@pytest.mark.parametrize("sampling", ["4:4:0", "4:1:1"])
def test_chroma_that_pillow_does_not_write_is_written_in_full(tmp_path: Path, sampling: str) -> None:
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, FACTORS[sampling], cv2.IMWRITE_JPEG_QUALITY, 90]
    cv2.imwrite(str(tmp_path / "a.jpg"), scene(0, 96, 64)[..., ::-1], options)
    result = erased(tmp_path / "a.jpg")
    assert result.encoder == "jpeg 4:4:4"
    assert coding(result.output)[1] == coding(tmp_path / "a.jpg")[1]
    with Image.open(tmp_path / "a.jpg") as before, Image.open(result.output) as after:
        difference = np.asarray(after)[:, 48:].astype(int) - np.asarray(before)[:, 48:]
    assert (difference**2).mean() < 4


def test_the_colours_of_a_png_stay_in_a_jpeg(tmp_path: Path) -> None:
    """JPEG files have the matrix of BT.601; with that of BT.709, greens and reds come out shifted."""
    Image.fromarray(scene(0, 96, 64)).save(tmp_path / "a.png")
    result = erased(tmp_path / "a.png", output=str(tmp_path / "b.jpg")).output
    with Image.open(tmp_path / "a.png") as before, Image.open(result) as after:
        difference = np.asarray(after)[:, 48:].astype(int) - np.asarray(before)[:, 48:]
    assert (difference**2).mean() < 4
    assert np.abs(difference.mean(axis=(0, 1))).max() < 0.5


def test_pictures_of_a_video_have_its_colours(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", pix_fmt="yuv420p", frames=2)
    masks = write_masks(tmp_path / "masks", frames=2)
    erase(str(clip), str(tmp_path / "out.%02d.jpg"), mask=str(masks), effects="off")
    (frame,) = open_clip(str(clip)).frames(0, 1)
    with Image.open(tmp_path / "out.00.jpg") as after:
        difference = np.asarray(after)[:, 48:].astype(int) - frame.rgb8()[:, 48:]
    assert np.abs(difference.mean(axis=(0, 1))).max() < 1.5


def patched(source: Path, marker: int, **changes: int) -> Path:
    """The file with other facts in its frame header: the marker, the bits, the number of components."""
    found, scans = jpeg.segments(source.read_bytes())
    out = []
    for kind, content in found:
        if kind == 0xC0:
            bits, rest = changes.get("bits", content[0]), content[1:]
            out.append((marker, struct.pack("B", bits) + rest))
        else:
            out.append((kind, content))
    source.write_bytes(jpeg.joined(out, scans))
    return source


@pytest.mark.parametrize(
    ("what", "words"), [("cmyk", "CMYK picture"), ("12", "12-bit JPEG"), ("lossless", "lossless JPEG")]
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, what: str, words: str) -> None:
    source = draw(tmp_path / "a.jpg", mode="CMYK" if what == "cmyk" else "RGB")
    if what != "cmyk":
        patched(source, 0xC3 if what == "lossless" else 0xC1, bits=12 if what == "12" else 8)
    with pytest.raises(MediaError, match=words) as refusal:
        erased(source)
    assert "convert it" in str(refusal.value.advice)


def test_a_file_that_pillow_cannot_read_gets_usual_tables(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    assert jpeg.coding_of(tmp_path / "a.jpg") == jpeg.Coding((), progressive=False)


def test_segments_are_joined_as_they_were() -> None:
    out = io.BytesIO()
    Image.fromarray(scene(0, 32, 32)).save(out, "JPEG", comment=b"words")
    assert jpeg.joined(*jpeg.segments(out.getvalue())) == out.getvalue()


def test_without_tables_the_usual_ones_are_taken(tmp_path: Path) -> None:
    layout = layout_of("gray")
    data = jpeg.encode((scene(0, 32, 32)[..., 0],), layout, jpeg.Coding((), progressive=False))
    usual = io.BytesIO()
    Image.fromarray(scene(0, 32, 32)[..., 0]).save(usual, "JPEG", quality=jpeg.QUALITY)
    assert data == usual.getvalue()
