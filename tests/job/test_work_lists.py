"""Lists of work folders, as people and other systems write them."""

from pathlib import Path

import pytest

from support.clips import write_clip, write_masks
from support.command import Vremove
from vremove_cli.errors import UsageError
from vremove_cli.job.work_lists import folders_in


def test_a_list_has_one_folder_a_line(tmp_path: Path) -> None:
    text = f"\ufeffb\r\n\r\n  a \r\n./b\r\n{tmp_path}/a\r\n"
    (tmp_path / "clips.jobs").write_bytes(text.encode())
    assert folders_in([str(tmp_path / "clips.jobs")]) == [str(tmp_path / name) for name in "ba"]


def test_a_folder_that_is_given_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folders_in(["a", str(tmp_path / "a"), "b", "./a", "a/"]) == ["a", "b"]


def test_a_list_that_names_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clips.jobs").write_text("\n \n")
    with pytest.raises(UsageError, match="names no work folder"):
        folders_in([str(tmp_path / "clips.jobs")])


def test_two_results_of_one_clip_are_told_apart(vremove: Vremove, tmp_path: Path) -> None:
    clip, masks = write_clip(tmp_path / "clip.mp4", frames=3), write_masks(tmp_path / "masks", frames=3)
    works = [tmp_path / name for name in "ab"]
    for work in works:
        made = vremove("plan", clip, "--mask", masks, "-o", tmp_path / f"{work.name}.mp4", "--work", work)
        assert made.status == 0, made.stderr
    vremove("work", *works)
    outcome = vremove("finish", *works)
    rows = [line.split()[:2] for line in outcome.stderr.splitlines()[-2:]]
    assert rows == [[str(clip), "a.mp4"], [str(clip), "b.mp4"]]
