"""--strict: the result is written, and the exit status says that it is doubtful and where."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from support.clips import background, write_clip, write_masks
from support.command import Vremove
from support.reports import report_of, reports_of
from vremove_cli.frame_ranges import ranges_of, ranges_text
from vremove_cli.job import doubts as rules
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.doubts import doubts
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.folder import WorkFolder

BESIDE = ("--box", "@3:60,2,90,20")  # nothing stands out there


def still(t: int, width: int, height: int) -> np.ndarray:
    """A square that never moves: no frame shows what is behind it."""
    out = background(width, height).copy()
    out[20:44, 30:60] = (230, 30, 40)
    return out


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


def test_a_doubtful_first_mask(vremove: Vremove, clip: Path) -> None:
    done = vremove("erase", clip, *BESIDE, "--strict", "--json", "-q")
    report = report_of(done.stdout)
    assert done.status == 8
    assert clip.with_name("clip.clean.mp4").exists()
    assert {"kind": "first_mask", "frames": [[3, 3]]}.items() <= report["doubts"][0].items()
    (line,) = done.stderr.splitlines()
    assert "is written and doubtful, since the first mask is doubtful (frame 3)" in line


def test_most_of_the_fill_is_guessed(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", picture=still)
    mask = write_masks(tmp_path / "m", frames=1)
    done = vremove("erase", clip, "--mask", mask / "0000.png", "--strict")
    assert done.status == 8
    assert done.stdout.strip() == str(clip.with_name("clip.clean.mp4"))
    assert "100% of the erased pixels are guessed (frames 0-9)" in done.stderr


def test_what_is_well_passes(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "m")
    done = vremove("erase", clip, "--mask", masks, "--strict", "--json")
    assert done.status == 0
    assert report_of(done.stdout)["doubts"] == []


def test_without_it_doubts_are_told_and_no_failure(vremove: Vremove, clip: Path) -> None:
    done = vremove("erase", clip, *BESIDE, "--json")
    assert done.status == 0
    assert report_of(done.stdout)["doubts"]


def test_masks_and_finished_plans_may_be_doubtful_too(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    assert vremove("mask", clip, *BESIDE, "-o", tmp_path / "m.mkv", "--strict").status == 8
    assert (tmp_path / "m.mkv").exists()
    vremove("plan", clip, *BESIDE, "--work", tmp_path / "w", "-o", tmp_path / "o.mp4")
    vremove("work", tmp_path / "w")
    assert vremove("finish", tmp_path / "w", "--strict").status == 8
    assert (tmp_path / "o.mp4").exists()


def test_a_batch_with_a_doubtful_clip(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.mp4")
    arguments = ("erase", clip, other, *BESIDE, "--strict", "--json", "--overwrite")
    done = vremove(*arguments)
    assert done.status == 8
    assert [r["type"] for r in reports_of(done.stdout)] == ["result", "result"]
    assert "2 of 2 inputs are written and doubtful" in done.stderr
    (tmp_path / "bad.mp4").write_bytes(b"x")
    assert vremove(*arguments, tmp_path / "bad.mp4").status == 7, "a failure counts more"


def test_many_uncertain_frames(vremove: Vremove, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vremove("mask", clip, "--box", "4,24,20,40", "-o", tmp_path / "m.mkv", "--work", tmp_path / "w")
    plan, folder = Plan.load(tmp_path / "w" / "plan.json"), WorkFolder(tmp_path / "w")
    for low, expected in ((4, []), (5, ["50% of the masks are uncertain or empty (frames 0-4)"])):
        sure = {t: 0.3 if t < low else 0.9 for t in range(10)}
        monkeypatch.setattr(rules, "confidences", lambda plan, folder, sure=sure: sure)
        assert [d.text for d in doubts(plan, folder) if d.kind == "uncertain"] == expected


def test_what_a_remover_generates_is_not_guessed(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "m")
    vremove("plan", clip, "--mask", masks, "--work", tmp_path / "w", "-o", tmp_path / "o.mp4")
    vremove("work", tmp_path / "w")
    plan, folder = Plan.load(tmp_path / "w" / "plan.json"), WorkFolder(tmp_path / "w")
    (task,) = plan.tasks_of("plate")
    result = folder.result(task.id, PlateResult)
    assert result is not None
    folder.finish(task.id, replace(result, recovered=1, doubtful=1, unseen=1), 0.0)
    assert [d.text for d in doubts(plan, folder)] == ["67% of the erased pixels are guessed (frames 0-9)"]
    generated = replace(plan, tasks=(*plan.tasks, replace(task, id="fill-x-0000", kind="fill")))
    assert doubts(generated, folder) == ()


def test_frames_are_told_as_ranges() -> None:
    assert ranges_of([5, 3, 4, 9, 9]) == ((3, 5), (9, 9))
    assert ranges_text(((3, 5), (9, 9))) == "3-5, 9"
