"""Shots: found, or told; nothing crosses a cut."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.clips import write_clip
from support.command import Vremove
from vremove_cli import erase
from vremove_cli.errors import UsageError
from vremove_cli.job.runner import run_plan
from vremove_cli.media.read import open_clip

FRAMES, CUT = 24, 12
SIZE = (96, 64)


def ground(number: int) -> np.ndarray:
    """The background of a shot: gray blocks."""
    blocks = np.random.default_rng(number).integers(40, 200, (SIZE[1] // 4, SIZE[0] // 4), np.uint8)
    return np.repeat(np.kron(blocks, np.ones((4, 4), np.uint8))[..., None], 3, axis=2)


def shot(t: int, width: int, height: int) -> np.ndarray:
    """Two shots; a square crosses each."""
    out = ground(t // CUT)
    out[20:40, 4 * (t % CUT) + 10 : 4 * (t % CUT) + 30] = (250, 20, 20)
    return out


def masks(folder: Path) -> Path:
    import cv2

    folder.mkdir()
    for t in range(FRAMES):
        mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        mask[20:40, 4 * (t % CUT) + 10 : 4 * (t % CUT) + 30] = 255
        cv2.imwrite(str(folder / f"{t:04d}.png"), mask)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("cuts")
    return write_clip(place / "c.mkv", codec="ffv1", frames=FRAMES, size=SIZE, picture=shot), masks(place / "masks")


def planned(files: tuple[Path, Path], place: Path, cuts: Any) -> tuple[int, ...]:
    plan, _ = run_plan(str(files[0]), str(place / "o.mkv"), work=str(place / "w"), mask=str(files[1]), cuts=cuts)
    return plan.clip.cuts


@pytest.mark.parametrize(
    ("cuts", "expected"),
    [
        ("auto", (12,)), ("none", ()), ("8,16", (8, 16)), ("16, 8,8", (8, 16)), ((5, 9), (5, 9)), ((), ()),
        ("0.4s", (10,)),
    ],
)  # fmt: skip
def test_cuts_are_found_or_told(files: tuple[Path, Path], tmp_path: Path, cuts: Any, expected: tuple[int, ...]) -> None:
    assert planned(files, tmp_path, cuts) == expected


@pytest.mark.parametrize(
    "text",
    [
        "8\n16\n", "8, a note\n\n16,\n",
        "Timecode List:,00:00:00.333\nScene Number,Start Frame,Start Timecode\n1,1,x\n2,9,x\n3,17,x\n",
    ],
)  # fmt: skip
def test_cuts_are_read_from_a_file(files: tuple[Path, Path], tmp_path: Path, text: str) -> None:
    (tmp_path / "cuts.csv").write_text(text)
    assert planned(files, tmp_path, str(tmp_path / "cuts.csv")) == (8, 16)


@pytest.mark.parametrize("cuts", ["8,x", "99", "none such.txt", "-3", ""])
def test_cuts_that_are_none_are_refused(files: tuple[Path, Path], tmp_path: Path, cuts: str) -> None:
    with pytest.raises(UsageError):
        planned(files, tmp_path, cuts)


def test_told_cuts_are_forgotten_when_they_are_found_again(
    files: tuple[Path, Path], tmp_path: Path, vremove: Vremove
) -> None:
    asked = ["erase", files[0], "--mask", files[1], "-o", tmp_path / "o.mkv", "--keep-work", "--overwrite"]
    for more, expected in ((["--cuts", "6"], [6]), ([], [12]), (["--cuts", "6"], [6])):
        assert vremove(*asked, *more).status == 0
        plan = json.loads((tmp_path / "o.mkv.vremove" / "plan.json").read_text())
        assert plan["clip"]["cuts"] == expected


def test_a_plate_never_crosses_a_cut(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o.mkv"
    erase(str(files[0]), str(out), mask=str(files[1]), effects="off")
    found = np.stack([frame.rgb8() for frame in open_clip(str(out)).frames()]).astype(int)
    for first in (0, CUT):
        error = np.abs(found[first : first + CUT] - ground(first // CUT).astype(int))[:, 22:38, 4:92].mean()
        assert error < 5  # the other shot's blocks are off by 53
