"""What the commands say and write for one picture: no frames, no tracking, no time."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clips import mask_of, scene
from support.command import Vremove

FRAMES = ("frame", "track", "recover", "hardly moves", "seconds")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.fromarray(scene(0, 320, 240)).save(path, quality=90)
    return path


def point() -> str:
    return "34,120"


def said(text: str) -> list[str]:
    """The words about video in a text; the tracker's name is one of its option."""
    lines = [line for line in text.splitlines() if not line.startswith("tracker:")]
    return [word for word in FRAMES if any(word in line for line in lines)]


def test_erase_speaks_of_a_picture(vremove: Vremove, photo: Path) -> None:
    done = vremove("erase", photo, "--point", point())
    assert done.status == 0
    assert "1 picture, 320x240, jpeg 4:2:0" in done.stderr
    assert not said(done.stderr)


def test_a_rehearsal_speaks_of_a_picture(vremove: Vremove, photo: Path) -> None:
    done = vremove("erase", photo, "--point", point(), "--dry-run")
    assert done.stdout.startswith("1 picture, 320x240\n")
    assert not said(done.stdout + done.stderr)


def test_info_says_what_a_picture_is(vremove: Vremove, photo: Path) -> None:
    done = vremove("info", photo)
    assert "size: 320x240" in done.stdout
    assert not said(done.stdout)
    assert json.loads(vremove("info", photo, "--json").stdout)["frames"] == 1


def test_one_picture_is_not_doubtful_because_it_is_made_up(vremove: Vremove, photo: Path) -> None:
    """Nothing but the surroundings can fill it, as everyone knows who asks for it."""
    Image.fromarray(mask_of(0, 320, 240)).save(photo.parent / "mask.png")
    assert vremove("erase", photo, "--mask", photo.parent / "mask.png", "--strict").status == 0


def test_the_mask_of_a_picture_is_a_picture(vremove: Vremove, photo: Path) -> None:
    mask = photo.parent / "mask.png"
    done = vremove("mask", photo, "--point", point(), "-o", mask)
    assert done.status == 0
    assert "1 picture, 320x240" in done.stderr
    with Image.open(mask) as written:
        assert (written.size, written.mode) == ((320, 240), "L")
        hit = (np.asarray(written) > 0) & (mask_of(0, 320, 240) > 0)
    assert hit.sum() > 0.9 * (mask_of(0, 320, 240) > 0).sum()
    assert vremove("erase", photo, "--mask", mask).status == 0


def test_layers_of_a_picture_are_pictures(vremove: Vremove, photo: Path) -> None:
    plate, cutout = photo.parent / "plate.png", photo.parent / "cutout.png"
    done = vremove("erase", photo, "--point", point(), "--write-plate", plate, "--write-cutout", cutout)
    assert done.status == 0, done.stderr
    with Image.open(plate) as written, Image.open(cutout) as alone:
        assert (written.mode, alone.mode) == ("RGB", "RGBA")


def test_the_mask_of_a_video_is_no_picture(vremove: Vremove, photo: Path) -> None:
    folder = photo.parent / "shot"
    folder.mkdir()
    for t in range(2):
        Image.fromarray(scene(t, 96, 64)).save(folder / f"a{t}.png")
    done = vremove("mask", folder, "--point", "10,32", "-o", photo.parent / "mask.png")
    assert done.status == 2
    assert "no place for pictures" in done.stderr


def test_a_point_on_nothing_is_refused_without_a_frame(vremove: Vremove, tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), (90, 120, 140)).save(tmp_path / "flat.png")
    done = vremove("erase", tmp_path / "flat.png", "--point", "40,30")
    assert done.status == 4
    assert "frame" not in done.stderr
