"""A person's slips: what was probably meant is said."""

from pathlib import Path

import pytest

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.refusals import assert_refused
from vremove_cli.errors import UsageError
from vremove_cli.prompts import check_inside, parse_prompt


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_clip(tmp_path / "clip.mp4")


PROMPTS = {
    "outside": ("--point", "200,300", "read coordinates off"),
    "x and y swapped": ("--point", "10,80", "x comes before y: did you mean 80,10?"),
    "swapped, with a name and a frame": ("--point", "ball=@2:10,80", "did you mean ball=@2:80,10?"),
    "swapped box": ("--box", "10,70,50,90", "x comes before y: did you mean 70,10,90,50?"),
    "box of a larger picture": ("--box", "10,10,900,50", "did you mean 10,10,96,50?"),
    "width and height": ("--box", "40,30,20,15", "no width or height"),
    "shares": ("--point", "0.2,0.6", "write 20%,60% if these are shares"),
    "shares without a zero": ("--point", ".25,.5", "write 25%,50%"),
    "shares of a box": ("--box", "0.1,0.2,0.5,1", "write 10%,20%,50%,100%"),
    "whole frame in shares": ("--box", "0,0,1,1", "write 0%,0%,100%,100%"),
    "two units": ("--point", "20%,30", "mixes pixels and percent"),
    "more than all": ("--point", "120%,30%", "percent run from 0 to 100"),
    "below zero": ("--point", "-5,10", "coordinates begin at 0"),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_coordinates(vremove: Vremove, clip: Path, name: str) -> None:
    option, text, says = PROMPTS[name]
    assert_refused(vremove, clip.parent, 2, says, "erase", clip, option, text)


@pytest.mark.parametrize("text", ["50%,25%", "ball=@2:50%,25%", "12.5%,92.5%"])
def test_percent_are_of_the_frame_that_is_shown(text: str) -> None:
    prompt = parse_prompt(text, "point")
    assert str(prompt) == text
    x, y = prompt.in_pixels(200, 100).xy
    assert (x, y) == (prompt.xy[0] * 2, prompt.xy[1])


def test_a_hundred_percent_is_the_last_pixel_and_a_boxs_end() -> None:
    point = parse_prompt("100%,100%", "point").in_pixels(96, 64)
    assert point.xy == (95, 63)
    check_inside(point, 96, 64)
    assert parse_prompt("0%,0%,100%,100%", "box").in_pixels(96, 64).xy == (0, 0, 96, 64)


@pytest.mark.parametrize("text", ["0,0", "1,1", "0,1"])
def test_the_first_pixels_are_points(text: str) -> None:
    assert not parse_prompt(text, "point").percent


def test_a_box_may_end_within_a_pixel_of_the_edge() -> None:
    check_inside(parse_prompt("10,10,96.5,64", "box"), 96, 64)
    with pytest.raises(UsageError, match="outside the frame"):
        check_inside(parse_prompt("10,10,97.5,64", "box"), 96, 64)


def test_percent_point_at_the_same_place_as_pixels(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    for name, box in (("a", "4.1667%,37.5%,20.8333%,62.5%"), ("b", "4,24,20,40")):
        assert vremove("mask", clip, "--box", box, "-o", tmp_path / f"{name}.mkv").status == 0
    assert (tmp_path / "a.mkv").read_bytes()[-2000:] == (tmp_path / "b.mkv").read_bytes()[-2000:]


WORDS = {
    "split point": (("erase", "clip.mp4", "--point", "64", "108"), "'108' is no file: write --point 64,108"),
    "split box": (("erase", "clip.mp4", "--box", "1", "2", "30", "30"), "'2' is no file: write --box 1,2,30,30"),
    "no quotes": (("erase", "my", "clip.mp4", "--point", "1,1"), "'my' is no file: write 'my clip.mp4' in quotes"),
    "no command": (("clip.mp4",), "did you mean `vremove erase clip.mp4`?"),
    "a command nearly": (("eras", "clip.mp4"), "there is no command 'eras': did you mean 'erase'?"),
    "preset": (("erase", "clip.mp4", "--point", "1,1", "--preset", "quick"), "choose ultrafast, superfast"),
    "prores": (("erase", "clip.mp4", "--point", "1,1", "--codec", "prores"), "write to .mov"),
    "effects": (
        ("erase", "clip.mp4", "--point", "1,1", "--effects", "maybe"),
        "--effects maybe is unknown: choose auto",
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_words(vremove: Vremove, clip: Path, name: str) -> None:
    arguments, says = WORDS[name]
    if name == "no quotes":
        write_clip(clip.with_name("my clip.mp4"))
        clip.unlink()
    assert_refused(vremove, clip.parent, 2, says, *arguments)


def test_the_plate_cannot_but_recover(vremove: Vremove, clip: Path) -> None:
    arguments = ("erase", clip, "--box", "4,24,20,40", "--recover", "off")
    assert_refused(vremove, clip.parent, 2, "plate does nothing but recover", *arguments)


def test_an_address_is_no_file(vremove: Vremove, clip: Path) -> None:
    says = "is an address, and these are not read: download the file"
    assert_refused(vremove, clip.parent, 3, says, "erase", "http://host/x.mp4", "--point", "1,1")


@pytest.mark.parametrize("option", ["--mask", "--effects", "--key-mask", "--reference"])
def test_a_picture_of_another_shape_is_not_stretched(vremove: Vremove, clip: Path, tmp_path: Path, option: str) -> None:
    masks = write_masks(tmp_path / "square", frames=1, size=(80, 80))
    point = () if option in ("--mask", "--key-mask") else ("--box", "4,24,20,40")
    says = "is 80x80 and the clip 96x64, which is another shape"
    assert_refused(vremove, clip.parent, 2, says, "erase", clip, *point, option, masks / "0000.png")


def test_a_scaled_mask_is_named_and_used(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "half", frames=1, size=(48, 32))
    done = vremove("erase", clip, "--mask", masks / "0000.png", "--dry-run")
    assert done.status == 0
    assert "the mask is 48x32 and was scaled to the clip's 96x64" in done.stderr
