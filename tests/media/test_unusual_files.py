"""Files that are legal and that FFmpeg or PyAV describe in an unusual way, or read in part."""

from pathlib import Path

import av
import pytest
from PIL import Image, ImageOps

from support.clips import scene, write_clip, write_sequence
from support.command import Vremove
from vremove_cli.errors import MediaError
from vremove_cli.media.read import open_clip


def crc(data: bytes | bytearray) -> bytes:
    """CRC-32 of a table of MPEG-TS (ISO 13818-1, annex A)."""
    register = 0xFFFFFFFF
    for byte in data:
        for k in range(7, -1, -1):
            register = register << 1 ^ (0x04C11DB7 if (register >> 31 ^ byte >> k) & 1 else 0)
            register &= 0xFFFFFFFF
    return register.to_bytes(4, "big")


@pytest.mark.parametrize("stream_type", [0xDB, 0xEA, 0xD2])
def test_a_stream_type_that_is_no_text_is_no_error(tmp_path: Path, vremove: Vremove, stream_type: int) -> None:
    clip = write_clip(tmp_path / "clip.ts", audio="aac")
    data = bytearray(clip.read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x40 and data[at + 4 : at + 6] == b"\x00\x02":  # a program map
            table = at + 5
            end = table + 3 + ((data[table + 1] & 15) << 8 | data[table + 2])
            first = table + 12 + ((data[table + 10] & 15) << 8 | data[table + 11])
            data[first] = stream_type
            data[end - 4 : end] = crc(data[table : end - 4])
    clip.write_bytes(bytes(data))
    done = vremove("info", clip)
    assert "internal error" not in done.stderr
    assert done.status in (0, 3)
    if stream_type == 0xDB:
        assert "frames: 10" in done.stdout


def pictures(count: int = 4) -> list[Image.Image]:
    return [Image.fromarray(scene(t, 48, 32)) for t in range(count)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.png", "is an animation of 4 pictures: save them as numbered images"),
        ("a.webp", "is an animation of 4 pictures: save them as numbered images"),
        ("a.tif", "has 4 pages: save each page as a file of its own"),
    ],
)
def test_a_file_of_several_pictures_is_refused(tmp_path: Path, name: str, says: str) -> None:
    first, *rest = pictures()
    first.save(tmp_path / name, save_all=True, append_images=rest)
    with pytest.raises(MediaError, match=says):
        open_clip(str(tmp_path / name))


def test_one_of_many_files_with_several_pictures_is_refused(tmp_path: Path) -> None:
    folder = write_sequence(tmp_path / "shot", suffix=".tif", frames=3)
    first, *rest = [Image.fromarray(scene(t, 96, 64)) for t in range(2)]
    first.save(folder / "shot.1003.tif", save_all=True, append_images=rest)
    with pytest.raises(MediaError, match=r"shot\.1003\.tif has 2 pages"):
        open_clip(str(folder))


def test_a_smaller_copy_in_a_tiff_is_no_page(tmp_path: Path) -> None:
    picture, small = Image.fromarray(scene(0, 48, 32)), Image.fromarray(scene(0, 24, 16))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    picture.save(tmp_path / "a.tif", save_all=True, append_images=[small])
    assert open_clip(str(tmp_path / "a.tif")).info.frames == 1


def test_a_picture_of_one_frame_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "a.webp", "a.tif"):
        pictures(1)[0].save(tmp_path / name)
        assert open_clip(str(tmp_path / name)).info.frames == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mirrored_jpeg_is_shown_as_its_orientation_says(tmp_path: Path, orientation: int) -> None:
    """Side data of an unknown kind, here the EXIF block, must not hide the display matrix."""
    exif = Image.Exif()
    exif[274] = orientation
    upright = Image.fromarray(scene(0, 48, 32))
    upright.save(tmp_path / "a.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "a.jpg") as image:
        wanted = ImageOps.exif_transpose(image)
    reader = open_clip(str(tmp_path / "a.jpg"))
    shown = reader.info.orientation.display(next(iter(reader.frames())).rgb8())
    assert shown.shape[1::-1] == wanted.size
    assert abs(shown.astype(int) - av.VideoFrame.from_image(wanted).to_ndarray(format="rgb24")).mean() < 4


@pytest.mark.parametrize(("name", "says"), [("clip", "has no ending"), ("clip.wmv", "'.wmv' files cannot be written")])
def test_a_name_that_gives_no_kind_of_file_asks_for_one(tmp_path: Path, vremove: Vremove, name: str, says: str) -> None:
    write_clip(tmp_path / "a.mkv").rename(tmp_path / name)
    done = vremove("erase", tmp_path / name, "--point", "10,32")
    assert done.status == 2
    assert f"{says}: name the result with -o, for example -o clip.clean.mkv" in done.stderr
