"""Masks of single frames as prompts: exactly the file on their frame, followed from there, and refused when wrong."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import vremove_cli
from support.command import Vremove
from support.disc import FRAMES, SIZE, centre, drawn, handle, handled_disc, iou, red_disc, truth
from vremove_cli.errors import UsageError
from vremove_cli.job import planner
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.prompts import parse_key_mask


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("disc"), red_disc)


Draw = Callable[..., str]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Writes a mask (H, W) bool as a picture, at a size if one is given, and returns its path."""

    def write(mask: np.ndarray, name: str = "key.png", size: tuple[int, int] = SIZE) -> str:
        picture = cv2.resize(mask.astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(tmp_path / name), picture)
        return str(tmp_path / name)

    return write


def masks(path: Path) -> list[np.ndarray]:
    return [m > 127 for m in read_gray(path)]


def speckled(t: int) -> np.ndarray:
    """The disc with a hole, a speck and a jag, none of which a tracker would leave, (H, W) bool."""
    out = truth(t)
    x, y = centre(t)
    out[y - 2 : y + 2, x - 2 : x + 2] = False
    out[4:7, 4:7] = True
    out[y, x : x + 40] = True
    return out


def test_the_mask_is_followed_in_both_directions_and_kept_on_its_frame(clip: Path, tmp_path: Path, draw: Draw) -> None:
    vremove_cli.mask(clip, tmp_path / "m.mkv", key_mask=f"@12:{draw(speckled(12))}")
    found = masks(tmp_path / "m.mkv")
    assert np.array_equal(found[12], speckled(12))
    assert all(iou(m, truth(t)) > 0.85 for t, m in enumerate(found))


def test_the_first_frame_is_meant_without_a_moment(clip: Path, tmp_path: Path, draw: Draw) -> None:
    vremove_cli.mask(clip, tmp_path / "m.mkv", key_mask=draw(truth(0)))
    assert np.array_equal(masks(tmp_path / "m.mkv")[0], truth(0))


def test_a_mask_of_another_size_is_scaled(clip: Path, tmp_path: Path, draw: Draw) -> None:
    large = (SIZE[0] * 2, SIZE[1] * 2)
    done = vremove_cli.mask(clip, tmp_path / "m.mkv", key_mask=draw(truth(0), size=large))
    assert iou(masks(tmp_path / "m.mkv")[0], truth(0)) > 0.98
    assert any("was scaled to the clip's 320x180" in note for note in done.notes)


def test_a_later_mask_corrects_backwards_half_way_to_the_prompt_before(
    tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "TRACK_SEGMENT", 6)
    clip = drawn(tmp_path, handled_disc)
    both = truth(20) | handle(20)
    vremove_cli.mask(clip, tmp_path / "m.mkv", box="36,71,85,120", not_point="60,45", key_mask=f"@20:{draw(both)}")
    found = masks(tmp_path / "m.mkv")
    assert np.array_equal(found[20], both)
    assert all(found[t][handle(t)].mean() > 0.8 for t in range(12, 24))
    assert all(found[t][handle(t)].mean() < 0.3 for t in range(8))


def test_a_point_corrects_later_and_leaves_the_mask(tmp_path: Path, draw: Draw) -> None:
    clip = drawn(tmp_path, handled_disc)
    x, y = centre(12)
    vremove_cli.mask(clip, tmp_path / "m.mkv", key_mask=draw(truth(0)), point=f"@12:{x},{y - 45}")
    found = masks(tmp_path / "m.mkv")
    assert np.array_equal(found[0], truth(0))
    assert found[14][handle(14)].mean() > 0.8


def test_each_object_may_have_masks_on_several_frames(clip: Path, tmp_path: Path, draw: Draw) -> None:
    given = [f"ball=@{t}:{draw(speckled(t), f'{t}.png')}" for t in (0, 9, 23)]
    vremove_cli.mask(clip, tmp_path / "m.mkv", key_mask=given, per_object=True)
    found = masks(tmp_path / "m.ball.mkv")
    assert all(np.array_equal(found[t], speckled(t)) for t in (0, 9, 23))


def test_the_object_is_erased(clip: Path, tmp_path: Path, draw: Draw, vremove: Vremove) -> None:
    done = vremove("erase", clip, "--key-mask", f"@3:{draw(truth(3))}", "-o", tmp_path / "out.mkv", "--effects", "off")
    assert done.status == 0, done.stderr


def test_what_stands_still_on_the_screen_may_be_given_by_a_mask(clip: Path, tmp_path: Path, draw: Draw) -> None:
    vremove_cli.mask(clip, tmp_path / "m.mkv", key_mask=draw(truth(0)), static=True)
    assert np.array_equal(masks(tmp_path / "m.mkv")[0], truth(0))


def test_another_picture_under_the_same_name_redoes_the_tracking_that_reads_it(
    clip: Path, tmp_path: Path, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "TRACK_SEGMENT", 6)
    given = {"point": "60,95", "key_mask": f"@20:{draw(truth(20))}"}
    tasks = vremove_cli.mask(clip, tmp_path / "m.mkv", **given).done  # type: ignore[arg-type]
    same = vremove_cli.mask(clip, tmp_path / "m.mkv", overwrite=True, **given)  # type: ignore[arg-type]
    draw(speckled(20))
    again = vremove_cli.mask(clip, tmp_path / "m.mkv", overwrite=True, **given)  # type: ignore[arg-type]
    assert (same.done, same.reused) == (0, tasks)
    assert again.reused == 3, "the segments before the mask's own"
    assert np.array_equal(masks(tmp_path / "m.mkv")[20], speckled(20))


def test_the_text_of_a_key_mask_names_object_moment_and_file(tmp_path: Path) -> None:
    for text, name, when in (
        ("m.png", "", None), ("@12:m.png", "", "12"), ("ball=@4.5s:m.png", "ball", "4.5s"),
        ("@1:02.5:m.png", "", "62.5s"), ("@#1001:m.png", "", "#1001"), ("@3:a:b.png", "", "3"),
    ):  # fmt: skip
        prompt = parse_key_mask(text)
        assert (prompt.name, prompt.when and str(prompt.when)) == (name, when)
        assert Path(prompt.mask).is_absolute()
        assert parse_key_mask(str(prompt)) == prompt
    odd = tmp_path / "a=@1:b.png"
    odd.write_bytes(b"")
    assert parse_key_mask(str(odd)).mask == str(odd)


@pytest.mark.parametrize("text", ["@soon:m.png", "@12", "ball=", "@12:"])
def test_a_text_without_moment_or_file_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"write \[NAME=\]\[@WHEN:\]FILE"):
        parse_key_mask(text)


REFUSED = {
    "missing": (("--key-mask", "nowhere.png"), 3, "nowhere.png"),
    "of several frames": (("--key-mask", "clip"), 2, f"has {FRAMES} frames: give one image"),
    "of another shape": (("--key-mask", "square.png"), 2, "is 100x100 and the clip 320x180, which is another shape"),
    "empty": (("--key-mask", "empty.png"), 2, "is empty: paint the object white"),
    "after the end": (("--key-mask", "@99:disc.png"), 2, "the clip has no frame 99"),
    "outside the range": (("--key-mask", "@2:disc.png", "--start", "5"), 2, "outside the range"),
    "with a mask": (("--key-mask", "disc.png", "--mask", "disc.png"), 2, "key masks or a text were given"),
    "with a point on its frame": (("--key-mask", "disc.png", "--point", "60,95"), 2, "and another prompt on frame 0"),
    "twice on a frame": (("--key-mask", "disc.png", "--key-mask", "@0:disc.png"), 2, "and another prompt on frame 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_key_mask_is_refused_in_one_sentence(
    clip: Path, tmp_path: Path, draw: Draw, vremove: Vremove, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draw(truth(0), "disc.png")
    draw(np.zeros(SIZE[::-1], bool), "empty.png")
    draw(truth(0), "square.png", (100, 100))
    arguments, status, says = REFUSED[case]
    given = (clip if a == "clip" else a for a in arguments)
    done = vremove("erase", clip, *given, "-o", tmp_path / "o.mkv", "--quiet")
    assert done.status == status, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "o.mkv").exists()
