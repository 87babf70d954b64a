"""--dry-run refuses what the run would refuse, in the same words, and claims no more than was measured."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.refusals import contents
from support.reports import report_of
from vremove_cli.job import estimate
from vremove_cli.job.speeds import measured

BOX = ("--box", "4,24,20,40")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


def gray(folder: Path, level: int) -> Path:
    folder.mkdir()
    for t in range(10):
        Image.fromarray(np.full((64, 96), level, np.uint8)).save(folder / f"{t:04d}.png")
    return folder


REFUSED: dict[str, tuple[object, ...]] = {
    "existing output": (*BOX, "-o", "THERE"),
    "existing report": (*BOX, "-o", "REPORTED"),
    "output is the input": (*BOX, "-o", "CLIP", "--overwrite"),
    "output is the mask": ("--mask", "VIDEO", "-o", "VIDEO", "--overwrite"),
    "folder missing": (*BOX, "-o", "nowhere/o.mp4"),
    "empty mask": ("--mask", "EMPTY"),
    "full mask": ("--mask", "FULL"),
    "mask shrunk to nothing": ("--mask", "MASKS", "--grow", "-100"),
    "mask of another shape": ("--mask", "SQUARE"),
    "mask export as mp4": (*BOX, "--write-mask", "m.mp4"),
    "preview as jpg": (*BOX, "--write-preview", "p.jpg"),
    "two exports of one name": (*BOX, "--write-mask", "m.mkv", "--write-matte", "m.mkv"),
    "export in no folder": (*BOX, "--write-mask", "nowhere/m.mkv"),
    "existing export": (*BOX, "--write-mask", "THERE.mkv"),
    "work folder that is none": (*BOX, "--work", "OTHER"),
    "work folder of another job": (*BOX, "--work", "PLANNED"),
    "licence": (*BOX, "--remover", "minimax"),
    "weights by hand": (*BOX, "--remover", "undereraser", "--accept-license", "undereraser"),
    "point outside": ("--point", "500,10"),
    "unknown placeholder": (*BOX, "-o", "{nam}.mp4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_refusal_of_the_run(
    vremove: Vremove, clip: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.chdir(tmp_path)
    places = {"CLIP": clip, "MASKS": write_masks(tmp_path / "masks"), "SQUARE": tmp_path / "square.png"}
    places |= {"THERE": tmp_path / "there.mp4", "THERE.mkv": tmp_path / "there.mkv", "OTHER": tmp_path / "other"}
    places |= {"EMPTY": gray(tmp_path / "empty", 0), "FULL": gray(tmp_path / "full", 255), "PLANNED": tmp_path / "w"}
    places |= {"REPORTED": tmp_path / "reported.mp4", "VIDEO": write_clip(tmp_path / "video.mp4")}
    Image.fromarray(np.full((50, 50), 255, np.uint8)).save(places["SQUARE"])
    for file in ("there.mp4", "there.mkv", "reported.vremove.json"):
        (tmp_path / file).write_text("[1]")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    assert vremove("plan", clip, "--point", "10,32", "--work", tmp_path / "w").status == 0
    words = [places.get(str(word), word) for word in REFUSED[name]]
    before = contents(tmp_path)
    rehearsed = vremove("erase", clip, *words, "--dry-run")
    assert contents(tmp_path) == before
    done = vremove("erase", clip, *words)
    assert rehearsed.status == done.status != 0, rehearsed.stderr
    assert rehearsed.stderr.splitlines()[-1] == done.stderr.splitlines()[-1]
    assert "Traceback" not in rehearsed.stderr


def test_a_run_that_would_go_on_is_no_refusal(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    assert vremove("plan", clip, *BOX, "--work", tmp_path / "w").status == 0
    digest = hashlib.sha256((tmp_path / "w" / "plan.json").read_bytes()).digest()
    assert vremove("erase", clip, *BOX, "--work", tmp_path / "w", "--dry-run").status == 0
    assert hashlib.sha256((tmp_path / "w" / "plan.json").read_bytes()).digest() == digest


def test_time_is_that_of_the_measured_speeds(vremove: Vremove, clip: Path) -> None:
    report = report_of(vremove("erase", clip, *BOX, "--dry-run", "--json").stdout)
    assert report["seconds"] == pytest.approx(sum(report["stages"].values()))
    assert report["stages"]["background"] == pytest.approx(10 / measured().frames_per_second["background"])
    said = vremove("erase", clip, *BOX, "--dry-run").stdout
    assert re.search(rf"^time: about \d+ s on {measured().machine}$", said, re.MULTILINE)


def test_what_was_not_measured_is_unknown(vremove: Vremove, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    report = report_of(vremove("erase", clip, *BOX, "--dry-run", "--json", "--remover", "rose").stdout)
    assert report["seconds"] is None
    assert report["stages"]["fill"] is None
    assert report["stages"]["track"] > 0
    assert {d["name"]: d["megabytes"] for d in report["downloads"]} == {"rose": 3100, "wan-fun-1b": 11900}
    said = vremove("erase", clip, *BOX, "--dry-run", "--remover", "rose").stdout
    assert "time: unknown (fill: not measured)" in said
    assert "rose (3.1 GB), wan-fun-1b (11.9 GB)" in said


def test_memory_is_compared_with_the_machines(vremove: Vremove, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report_of(vremove("erase", clip, *BOX, "--dry-run", "--json").stdout)["fits"]
    monkeypatch.setattr(estimate, "memory_here", lambda: 1 << 20)
    assert not report_of(vremove("erase", clip, *BOX, "--dry-run", "--json").stdout)["fits"]
    assert "this machine has 1.0 MB: it cannot hold that" in vremove("erase", clip, *BOX, "--dry-run").stdout


def test_a_container_has_the_memory_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = estimate.memory_here()
    for text, expected in (("max\n", whole), ("1000000\n", 1_000_000)):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(estimate, "_LIMITS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
        assert estimate.memory_here() == expected or text == "max\n"


def test_a_batch_is_rehearsed_clip_by_clip(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    other = write_clip(tmp_path / "other.mp4")
    other.with_name("other.clean.mp4").write_bytes(b"there")
    done = vremove("erase", clip, other, *BOX, "--dry-run", "--json")
    assert done.status == 7
    assert [report_of(line)["type"] for line in done.stdout.splitlines()] == ["estimate", "error"]
