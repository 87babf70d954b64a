"""`vremove plan --export`: what is refused, what is told, and a clip that cannot be planned among others."""

import json
from pathlib import Path

import jsonschema
import pytest

from support.clips import write_clip, write_masks
from support.command import Vremove

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_masks(tmp_path / "masks")
    return write_clip(tmp_path / "clip.mkv", codec="ffv1")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--export", "slurm"), "--export slurm writes a file: name it with --export-to"),
        (("--export-to", "a.sh"), "--export-to is about an export"),
        (("--workers", 2), "--workers is about an export"),
        (("--export", "slurm", "--export-to", "a.json"), "does not end in .sh or .slurm or .sbatch"),
        (("--export", "openjd", "--export-to", "a.txt"), "does not end in .json or .yaml or .yml"),
        (("--export", "openjd", "--export-to", "none/a.json"), "none of --export-to does not exist: make it first"),
        (("--export", "openjd", "--export-to", "own.json"), "own.json is there, and is no export of vremove"),
        (("--export", "openjd", "--export-to", "a.json", "--workers", 9), "of at least 1 and of at most 8"),
        (("--export", "slurm", "--export-to", "a.sh", "--gpu-type", "a 100"), "--gpu-type a 100 is no type of GPU"),
    ],
)
def test_an_export_that_cannot_be_is_refused_before_any_work(
    vremove: Vremove, clip: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[object, ...], says: str
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("own.json").write_text("{}")
    done = vremove("plan", clip, "--mask", "masks", *options)
    (line,) = done.stderr.splitlines()
    assert (done.status, done.stdout) == (2, "")
    assert line.startswith("vremove: ")
    assert says in line
    assert not (clip.parent / "clip.vremove").exists()


def test_a_clip_that_cannot_be_planned_does_not_stop_the_others(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    rows = [f"{clip},{tmp_path}/masks", f"{tmp_path}/none.mkv,{tmp_path}/masks"]
    (tmp_path / "jobs.csv").write_text("\n".join(["input,mask", *rows]))
    done = vremove("plan", "--batch", tmp_path / "jobs.csv", "--export", "openjd", "--export-to", tmp_path / "t.yml",
                   "--json")  # fmt: skip
    planned, failed, exported = map(json.loads, done.stdout.splitlines()[:3])
    assert (done.status, planned["type"], failed["type"], failed["exit"]) == (7, "plan", "error", 3)
    jsonschema.validate(exported, json.loads((ROOT / "docs/report.schema.json").read_text()))
    assert Path(exported["jobs"]).read_text() == f"{tmp_path}/clip.vremove\n"
    assert "1 of 2 inputs failed" in done.stderr


def test_two_jobs_with_one_work_folder_are_refused(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "clip.mov")
    done = vremove("plan", clip, other, "--box", "10,10,40,40")
    assert done.status == 2
    assert f"would share the work folder {tmp_path}/clip.vremove" in done.stderr


def test_the_number_of_workers_is_told(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    done = vremove("plan", clip, "--mask", tmp_path / "masks", "--export", "slurm", "--export-to", tmp_path / "t.sh")
    assert "workers at once: at most 1 (chosen; --workers changes it)" in done.stderr
    again = vremove("plan", clip, "--mask", tmp_path / "masks", "--export", "openjd", "--gpu-type", "a100",
                    "--export-to", tmp_path / "t.json", "--workers", 8)  # fmt: skip
    assert "at most 8 (as asked)" in again.stderr
    assert "OpenJD names no types of GPUs" in again.stderr
