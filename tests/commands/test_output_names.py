"""What -o may name: a file by its ending, a folder by its slash, and never standard output."""

from pathlib import Path

import pytest

from support.clips import write_clip, write_masks, write_sequence
from support.command import Vremove
from support.refusals import POINT


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


@pytest.mark.parametrize("extra", [(), ("--dry-run",)])
def test_a_name_without_an_ending_is_not_guessed(
    vremove: Vremove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = vremove("erase", clip, *POINT, "-o", "p", *extra)
    assert refused.status == 2
    assert "write p.mp4 for a video, or p/ for a folder of pictures" in refused.stderr
    assert not (tmp_path / "p").exists()


def test_a_new_folder_with_a_slash_gets_pictures(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks")
    assert vremove("erase", clip, "--mask", masks, "-o", f"{tmp_path}/p/").status == 0
    assert len(list((tmp_path / "p").glob("*.png"))) == 10
    again = vremove("erase", clip, "--mask", masks, "-o", f"{tmp_path}/p/")
    assert again.status == 2
    assert "holds pictures of an earlier job" in again.stderr


def test_a_folder_that_exists_takes_the_clip(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    done = vremove("erase", clip, "--mask", write_masks(tmp_path / "masks"), "-o", tmp_path / "p")
    assert done.stdout.strip() == str(tmp_path / "p" / "clip.clean.mp4")


def test_pictures_need_no_slash(vremove: Vremove, tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot", frames=4)
    masks = write_masks(tmp_path / "masks", frames=4)
    assert vremove("erase", shot, "--mask", masks, "-o", tmp_path / "p").stdout.strip() == str(tmp_path / "p")


@pytest.mark.parametrize(
    "words",
    [
        ("erase", "clip.mp4", *POINT, "-o", "-"), ("erase", "clip.mp4", *POINT, "-o", "-", "--dry-run"),
        ("plan", "clip.mp4", *POINT, "-o", "-"), ("mask", "clip.mp4", *POINT, "-o", "-"),
        ("frame", "clip.mp4", "-o", "-"), ("erase", "clip.mp4", *POINT, "--write-matte", "-"),
        ("erase", "clip.mp4", *POINT, "--write-preview", "-"),
    ],
)  # fmt: skip
def test_nothing_is_written_to_standard_output(
    vremove: Vremove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = vremove(*words)
    assert refused.status == 2
    assert "standard output" in refused.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_finish_names_its_output_by_the_same_rules(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    work = tmp_path / "job"
    vremove("plan", clip, "--mask", write_masks(tmp_path / "masks"), "--work", work)
    vremove("work", work)
    assert "standard output" in vremove("finish", work, "-o", "-").stderr
    assert "no ending" in vremove("finish", work, "-o", tmp_path / "q").stderr
