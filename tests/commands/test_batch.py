"""Many clips: folders, patterns, lists of jobs, several at once, and what is said of each at the end."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.clips import write_clip, write_masks
from support.command import Vremove
from support.refusals import assert_refused
from support.reports import report_of, reports_of
from vremove_cli.batch.jobs import Job, clips_of, filled
from vremove_cli.errors import UsageError


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """One picture for all frames."""
    return write_masks(tmp_path / "masks") / "0000.png"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder of two clips."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b"):
        write_clip(folder / f"{name}.mp4")
    return folder


def results(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.mp4"))


def test_a_folder_of_clips_is_its_clips(vremove: Vremove, clips: Path, mask: Path) -> None:
    (clips / "notes.txt").write_text("mine")
    done = vremove("erase", clips, "--mask", mask)
    assert done.status == 0, done.stderr
    assert results(clips) == ["a.clean.mp4", "a.mp4", "b.clean.mp4", "b.mp4"]
    assert clips_of(str(clips)) == [str(clips / "a.mp4"), str(clips / "b.mp4")], "results are no clips of the folder"


def test_a_pattern_is_what_it_matches(vremove: Vremove, clips: Path, mask: Path, tmp_path: Path) -> None:
    done = vremove("erase", clips / "*.mp4", "--mask", mask, "-o", tmp_path / "{stem}_{name}")
    assert done.status == 0, done.stderr
    assert results(tmp_path) == ["a_a.mp4", "b_b.mp4"]
    (clips / "a.clean.mp4").touch()
    assert clips_of(str(clips / "*.mp4")) == [str(clips / "a.mp4"), str(clips / "b.mp4")]
    assert_refused(vremove, tmp_path, 3, "no file matches", "erase", clips / "*.mov", "--mask", mask)


def test_a_folder_of_pictures_stays_one_clip(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "shot")
    write_clip(masks / "sound.mp4")
    assert clips_of(str(masks)) == [str(masks)]


def test_clips_that_are_done_are_skipped(vremove: Vremove, clips: Path, mask: Path) -> None:
    (clips / "a.clean.mp4").write_bytes(b"precious")
    done = vremove("erase", clips, "--mask", mask, "--skip-existing", "--json")
    assert done.status == 0
    assert [r["type"] for r in reports_of(done.stdout)] == ["skipped", "result"]
    assert (clips / "a.clean.mp4").read_bytes() == b"precious"
    assert_refused(vremove, clips, 2, "contradict", "erase", clips, "--mask", mask, "--skip-existing", "--overwrite")


def test_a_single_clip_is_skipped_too(vremove: Vremove, clips: Path, mask: Path) -> None:
    arguments = ("erase", clips / "a.mp4", "--mask", mask, "--skip-existing", "--json")
    assert report_of(vremove(*arguments).stdout)["type"] == "result"
    assert report_of(vremove(*arguments).stdout)["type"] == "skipped"


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("{nam}.mp4", "unknown placeholder {nam}: known are {stem}, {name}, {ext}"),
        ("{stem!r}.mp4", "unknown placeholder"),
        ("{.mp4", "stands alone"),
        ("a}.mp4", "stands alone"),
    ],
)
def test_placeholders_are_checked(vremove: Vremove, clips: Path, mask: Path, pattern: str, says: str) -> None:
    target = str(clips / "x") + pattern
    assert_refused(vremove, clips, 2, says, "erase", clips, "--mask", mask, "-o", target)
    assert_refused(vremove, clips, 2, says, "erase", clips / "a.mp4", "--mask", mask, "-o", target)


def test_a_doubled_brace_is_a_brace() -> None:
    assert filled("{{{stem}}}.mp4", "clips/a.mov") == "{a}.mp4"
    assert filled("{stem}{ext} of {name}", "clips/a.mov") == "a.mov of a.mov"


def test_exports_of_many_clips_take_placeholders(vremove: Vremove, clips: Path, mask: Path, tmp_path: Path) -> None:
    done = vremove("erase", clips, "--mask", mask, "--write-mask", tmp_path / "{stem}.mask.mkv")
    assert done.status == 0, done.stderr
    assert (tmp_path / "a.mask.mkv").exists()
    assert (tmp_path / "b.mask.mkv").exists()
    assert_refused(
        vremove, tmp_path, 2, "put {stem} in its name", "erase", clips, "--mask", mask, "--overwrite", "--write-mask",
        tmp_path / "m.mkv",
    )  # fmt: skip


def test_a_table_says_what_became_of_each(vremove: Vremove, clips: Path, mask: Path) -> None:
    (clips / "c.mp4").write_bytes(b"no video")
    (clips / "b.clean.mp4").write_bytes(b"done")
    done = vremove("erase", clips, "--mask", mask, "--skip-existing")
    assert done.status == 7
    *_, head, a, b, c, last = done.stderr.splitlines()
    assert head.split() == ["input", "output", "frames", "recovered", "doubtful", "unseen", "seconds"]
    assert a.split()[:3] == [str(clips / "a.mp4"), "a.clean.mp4", "10"]
    assert b.split() == [str(clips / "b.mp4"), "skipped"]
    assert c.split() == [str(clips / "c.mp4"), "failed"]
    assert "1 of 3 inputs failed" in last
    assert str(clips / "c.mp4") in last


def test_a_list_of_jobs_in_csv(vremove: Vremove, clips: Path, mask: Path, tmp_path: Path) -> None:
    rows = f"input,output,mask,crf,box\n{clips / 'a.mp4'},{tmp_path}/{{stem}}_x.mp4,{mask},30,\n"
    rows += f'{clips / "b.mp4"},{tmp_path / "y.mp4"},,,"one=4,24,20,40;two=40,5,60,20"\n'
    (tmp_path / "jobs.csv").write_text(rows)
    done = vremove("erase", "--batch", tmp_path / "jobs.csv", "--json", "--crf", "12")
    first, second = reports_of(done.stdout)
    assert (first["output"], first["encoder"]) == (str(tmp_path / "a_x.mp4"), "libx264 yuv420p crf 30")
    assert (second["output"], second["encoder"]) == (str(tmp_path / "y.mp4"), "libx264 yuv420p crf 12")
    plan = json.loads((tmp_path / "y.vremove.json").read_text())["plan"]
    assert plan["request"]["box"] == ["one=4,24,20,40", "two=40,5,60,20"]


def test_a_list_of_jobs_in_jsonl(vremove: Vremove, clips: Path, mask: Path, tmp_path: Path) -> None:
    rows = [
        {"input": str(clips / "a.mp4"), "mask": str(mask), "write-mask": str(tmp_path / "m.mkv")},
        {"input": str(clips / "b.mp4"), "box": [[4, 24, 20, 40]], "overwrite": True, "crf": 20},
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert vremove("erase", "--batch", tmp_path / "jobs.jsonl").status == 0
    assert results(clips) == ["a.clean.mp4", "a.mp4", "b.clean.mp4", "b.mp4"]
    assert (tmp_path / "m.mkv").exists()


WRONG = {
    "unknown column": ("j.csv", "input,maskk\nA,m.png\n", "line 2: there is no option 'maskk': did you mean 'mask'?"),
    "wrong value": ("j.csv", 'input,point,crf\nA,"1,1",99\n', "line 2: --crf 99 is out of range"),
    "wrong prompt": ("j.csv", "input,point\nA,zzz\n", "line 2: 'zzz' is not a point"),
    "no prompt": ("j.csv", "input,crf\nA,12\n", "line 2: nothing says what to erase"),
    "unknown placeholder": ("j.csv", 'input,output,point\nA,{x}.mp4,"1,1"\n', "line 2: '{x}.mp4' has the unknown"),
    "cells": ("j.csv", "input,point\nA,1,1\n", "line 2 has another number of cells"),
    "no input": ("j.jsonl", '{"point": "1,1"}', "line 1: the row has no input"),
    "no JSON": ("j.jsonl", '{"input": "A", "point": "1,1"}\n{', "line 2 is no JSON"),
    "no object": ("j.jsonl", "[1]", "line 1 is no JSON object"),
    "empty": ("j.jsonl", "\n", "holds no jobs"),
    "another kind": ("j.txt", "A", "neither .csv nor .jsonl"),
    "one output": ("j.csv", 'input,output,point\nA,o.mp4,"1,1"\nB,o.mp4,"1,1"\n', "would be written to one output"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_list_is_refused_before_any_work(vremove: Vremove, clips: Path, name: str) -> None:
    file, text, says = WRONG[name]
    text = text.replace("A", str(clips / "a.mp4")).replace("B", str(clips / "b.mp4"))
    (clips / file).write_text(text)
    assert_refused(vremove, clips, 2, says, "erase", "--batch", clips / file)


def test_inputs_and_a_list_are_too_much(vremove: Vremove, clips: Path) -> None:
    assert_refused(vremove, clips, 2, "inputs and --batch", "erase", clips, "--batch", "jobs.csv")
    assert_refused(vremove, clips, 2, "there is no input", "erase", "--point", "1,1")


def test_several_clips_at_once(vremove: Vremove, clips: Path, mask: Path) -> None:
    (clips / "c.mp4").write_bytes(b"no video")
    done = vremove("erase", clips, "--mask", mask, "--jobs", "2", "--json", "--progress", "json")
    assert done.status == 7
    reports = {r["input"]: r for r in reports_of(done.stdout)}
    assert [reports[str(clips / f"{n}.mp4")]["type"] for n in "abc"] == ["result", "result", "error"]
    assert reports[str(clips / "c.mp4")]["exit"] == 3
    lines = [r for r in reports_of(done.stderr) if r["type"] == "progress"]
    assert {line["input"] for line in lines} == {str(clips / "a.mp4"), str(clips / "b.mp4")}
    assert {line["clips"] for line in lines} == {3}
    assert results(clips) == ["a.clean.mp4", "a.mp4", "b.clean.mp4", "b.mp4", "c.mp4"]
    assert not list(clips.glob("*.vremove"))


@pytest.mark.slow
def test_an_interrupted_batch_ends_its_processes(tmp_path: Path) -> None:
    folder = tmp_path / "long"
    folder.mkdir()
    for name in ("a", "b"):
        write_clip(folder / f"{name}.mp4", size=(640, 360), frames=200)
    command = [sys.executable, "-m", "vremove_cli", "erase", str(folder), "--box", "4,135,94,225", "--jobs", "2"]
    with subprocess.Popen(
        [*command, "--progress", "json"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if '"track"' in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
        assert process.wait(60) == 130
    size = {p: p.stat().st_mtime for p in folder.rglob("*")}
    time.sleep(1)
    assert {p: p.stat().st_mtime for p in folder.rglob("*")} == size, "nothing works on"
    assert results(folder) == ["a.mp4", "b.mp4"]


def test_a_jobs_target_is_where_its_result_goes(tmp_path: Path) -> None:
    source = str(tmp_path / "a.mp4")
    assert Job(source).target == tmp_path / "a.clean.mp4"
    assert Job(source, str(tmp_path)).target == tmp_path / "a.clean.mp4"
    assert Job(source, f"{tmp_path}/new/").target == tmp_path / "new"  # a folder of pictures
    assert Job(source, str(tmp_path / "x.mov")).target == tmp_path / "x.mov"
    with pytest.raises(UsageError, match="known are"):
        filled("{}", source)
