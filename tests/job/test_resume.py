"""Killed runs go on where they were; processes that share a folder do not hurt each other."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.clips import Frames, planes_of, write_clip, write_masks
from support.process import run_main
from vremove_cli import erase
from vremove_cli.errors import MediaError, UsageError, VremoveError
from vremove_cli.job import events, planner
from vremove_cli.job.events import Note, TaskDone
from vremove_cli.job.runner import run_finish, run_plan, run_work
from vremove_cli.job.workdir import lease
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.working import Assignment
from vremove_cli.media.read import open_clip

FRAMES, CUT = 36, 6
KILLS = Path(__file__).parents[1] / "benchmarks/kills.py"
SHORT_SEGMENTS = (
    f"import vremove_cli.job.planner as p; p.PLATE_SEGMENT = {CUT}; from vremove_cli.__main__ import main; main()"
)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Frames]:
    """A clip of six segments, its masks, and the frames of an unbroken run."""
    place = tmp_path_factory.mktemp("job")
    clip = write_clip(place / "clip.mkv", codec="ffv1", frames=FRAMES, size=(96, 64), audio="flac")
    masks = write_masks(place / "masks", frames=FRAMES)
    run_here(clip, masks, place / "whole.mkv")
    return clip, masks, planes_of(place / "whole.mkv")


def command_of(clip: Path, masks: Path, output: Path) -> list[str]:
    return ["erase", str(clip), "--mask", str(masks), "-o", str(output), "--json", "--progress", "none"]


def run(clip: Path, masks: Path, output: Path, *more: str) -> "subprocess.Popen[str]":
    """The real command in a process of its own, with short segments."""
    command = [sys.executable, "-c", SHORT_SEGMENTS, *command_of(clip, masks, output), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_here(clip: Path, masks: Path, output: Path) -> dict[str, Any]:
    """The same command in this process; gives its report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "PLATE_SEGMENT", CUT)
        status, out, err = run_main(*command_of(clip, masks, output))
    assert status == 0, err
    report: dict[str, Any] = json.loads(out)
    return report


def same(a: Frames, b: Frames) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


@pytest.mark.slow
def test_kill_at_random_moments_loses_nothing(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, whole = job
    output, workdir = tmp_path / "out.mkv", tmp_path / "out.mkv.vremove"
    chance = random.Random(4)
    finished_before = 0
    for _ in range(6):
        process = run(clip, masks, output)
        time.sleep(chance.uniform(0.2, 2.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        if output.exists() and not list(tmp_path.glob(".out.mkv.*")) and not workdir.exists():
            break
        done = len(list((workdir / "done").glob("*.json"))) if workdir.exists() else 0
        assert done >= finished_before or output.exists()
        finished_before = done
    else:
        assert run_here(clip, masks, output)["reused"] >= finished_before
    assert same(planes_of(output), whole)
    assert not workdir.exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
def test_a_kill_at_any_file_operation_loses_nothing(tmp_path: Path) -> None:
    """Of one command; the script does the same for others, such as plan, work and finish."""
    matrix = [sys.executable, str(KILLS), "exports", str(tmp_path / "kills"), "--short"]
    found = subprocess.run(matrix, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["kills"] > 30


def test_the_target_never_holds_half_a_file(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    output = tmp_path / "out.mkv"
    process = run(clip, masks, output)
    while process.poll() is None:
        if output.exists():
            assert open_clip(str(output)).info.frames == FRAMES
            break
        time.sleep(0.02)
    process.wait()
    assert process.returncode == 0


def test_finished_tasks_are_reused_and_counted(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    made, _ = run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    first = made.tasks[0].id
    run_work(str(tmp_path / "w"), wanted=Assignment(task=first))
    summary = erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    assert summary.reused == 1
    assert summary.done == len(made.tasks) - 1


def test_two_processes_share_the_work(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, whole = job
    output = tmp_path / "out.mkv"
    both = [run(clip, masks, output, "--overwrite") for _ in range(2)]
    reports = [json.loads(p.communicate()[0]) for p in both]
    assert [p.returncode for p in both] == [0, 0]
    assert same(planes_of(output), whole)
    assert all(r["done"] + r["reused"] == 3 * FRAMES // CUT for r in reports)
    assert not (tmp_path / "out.mkv.vremove").exists()


def test_each_of_two_processes_writes_what_it_was_asked_for(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    output = tmp_path / "out.mkv"
    both = [run(clip, masks, output), run(clip, masks, output, "--write-mask", str(tmp_path / "mask.mkv"))]
    for process in both:
        process.communicate()
    assert [p.returncode for p in both] == [0, 0]
    assert (tmp_path / "mask.mkv").exists()


def test_steps_equal_the_one_command(
    job: tuple[Path, Path, Frames], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "PLATE_SEGMENT", CUT)
    clip, masks, whole = job
    made, _ = run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    for task in made.tasks:
        run_work(str(tmp_path / "w"), wanted=Assignment(task=task.id))
    run_finish(str(tmp_path / "w"))
    assert same(planes_of(tmp_path / "out.mkv"), whole)
    assert (tmp_path / "w").exists()


def test_a_planned_folder_is_not_deleted(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    assert (tmp_path / "w" / "plan.json").exists()


def test_an_input_replaced_between_two_calls_of_one_process_is_noticed(
    job: tuple[Path, Path, Frames], tmp_path: Path
) -> None:
    clip = Path(shutil.copy(job[0], tmp_path))
    made, _ = run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(job[1]), work=str(tmp_path / "w"))
    for task in made.tasks:
        run_work(str(tmp_path / "w"), wanted=Assignment(task=task.id))
    write_clip(clip, codec="ffv1", frames=FRAMES, size=(96, 64), picture=lambda t, w, h: np.zeros((h, w, 3), np.uint8))
    with pytest.raises(MediaError, match="has changed since it was planned"):
        run_finish(str(tmp_path / "w"))
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("moment", ["mask-0001", "background-0000", "plate-0001"])
@pytest.mark.parametrize("which", ["clip", "mask"])
def test_an_input_replaced_while_a_job_runs_ends_it(
    job: tuple[Path, Path, Frames], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, which: str
) -> None:
    monkeypatch.setattr(planner, "PLATE_SEGMENT", FRAMES // 2)
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=FRAMES, size=(96, 64))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    other = write_clip(tmp_path / "other.mkv", codec="ffv1", frames=FRAMES, pts=list(range(1, FRAMES + 1)))

    def replace_input(event: Any) -> None:
        if isinstance(event, TaskDone) and event.id == moment:
            if which == "clip":
                os.replace(other, clip)
            else:
                (masks / "0003.png").write_bytes((masks / "0009.png").read_bytes())

    with pytest.raises(MediaError, match="has changed since it was planned"):
        erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), on_event=replace_input)
    assert not (tmp_path / "out.mkv").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.parametrize("file", ["masks/mask-0000.mkv", "plate/plate-0000.sure.mkv", "background/*.camera.npz"])
def test_a_damaged_work_file_is_named_and_made_anew(job: tuple[Path, Path, Frames], tmp_path: Path, file: str) -> None:
    clip, masks, _ = job
    target, work = tmp_path / "out.mkv", tmp_path / "w"
    run_plan(str(clip), str(target), mask=str(masks), work=str(work))
    run_work(str(work))
    (damaged,) = work.glob(file)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 16
    damaged.write_bytes(data)
    with pytest.raises(VremoveError, match=f"the work file {damaged} is damaged"):
        [WorkFolder(work).existing(damaged.parent.name, damaged.name), run_finish(str(work))]
    run_work(str(work))
    run_finish(str(work))
    assert open_clip(str(target)).info.frames == FRAMES


def test_waiting_for_another_process_is_said(
    job: tuple[Path, Path, Frames], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_SILENCE", 0.1)
    clip, masks, _ = job
    run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        held = tmp_path / "w" / "leases" / "mask-0000"
        held.write_text(json.dumps({**asdict(lease._identity()), "pid": other.pid, "born": ""}))

        def end_it(event: Any) -> None:
            if isinstance(event, Note) and event.text.startswith("waiting: another process"):
                other.kill()

        assert "mask-0000" in run_work(str(tmp_path / "w"), on_event=end_it).done


def test_a_task_named_like_a_path_is_refused(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    made, work = run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    evil = replace(made.tasks[0], id="../../evil")
    replace(made, tasks=(evil, *made.tasks[1:])).save(work / "plan.json")
    with pytest.raises(VremoveError, match="is damaged"):
        run_work(str(work))
    assert not list(tmp_path.glob("**/*evil*"))


def test_the_input_must_not_change_under_a_plan(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    _, masks, _ = job
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=FRAMES)
    run_plan(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"))
    write_clip(clip, codec="ffv1", frames=FRAMES, size=(112, 64))
    with pytest.raises(MediaError, match="has changed"):
        run_work(str(tmp_path / "w"))


def test_a_folder_with_other_things_in_it_is_refused_and_kept(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    (tmp_path / "projects" / "precious").mkdir(parents=True)
    (tmp_path / "projects" / "precious" / "x.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a work folder"):
        erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "projects"))
    assert (tmp_path / "projects" / "precious" / "x.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["masks", "plate", "plan.json", "temporary", "leases"])
def test_a_users_folder_with_names_like_ours_is_refused_and_kept(
    job: tuple[Path, Path, Frames], tmp_path: Path, name: str
) -> None:
    clip, masks, _ = job
    mine = tmp_path / "shot" / name
    mine = mine if "." in name or name == "temporary" else mine / "plate-0001.png"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(UsageError, match="is not a work folder"):
        erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "shot"))
    assert mine.read_text() == "mine"


def test_a_link_in_a_work_folder_is_refused_and_not_followed(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, _ = job
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "plate-0001.png").write_text("mine")
    erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"), keep_work=True)
    shutil.rmtree(tmp_path / "w" / "plate")
    (tmp_path / "w" / "plate").symlink_to(pictures)
    with pytest.raises(UsageError, match="is not a work folder"):
        erase(str(clip), str(tmp_path / "out.mkv"), mask=str(masks), work=str(tmp_path / "w"), overwrite=True)
    assert (pictures / "plate-0001.png").read_text() == "mine"


def test_a_users_file_in_a_work_folder_outlives_it(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path / "w")
    folder.claim()
    (tmp_path / "w" / "masks" / "notes.txt").write_text("mine")
    (tmp_path / "w" / "masks" / "track-ball-0000.mkv").write_text("ours")
    folder.discard()
    assert [p.name for p in (tmp_path / "w").rglob("*") if p.is_file()] == ["notes.txt"]


def test_a_corrected_mask_is_a_new_job(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, _, _ = job
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    target = str(tmp_path / "out.mkv")
    erase(str(clip), target, mask=str(masks), keep_work=True)
    (masks / "0000.png").write_bytes((masks / "0005.png").read_bytes())
    summary = erase(str(clip), target, mask=str(masks), overwrite=True)
    assert summary.reused == 0
    assert summary.done == 3


def test_a_kept_job_writes_again_when_asked(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:

    clip, masks, _ = job
    target = tmp_path / "out.mkv"
    erase(str(clip), str(target), mask=str(masks), keep_work=True)
    target.write_bytes(b"something else")
    sheet = tmp_path / "sheet.png"
    erase(str(clip), str(target), mask=str(masks), keep_work=True, overwrite=True, write_preview=str(sheet))
    assert sheet.exists()
    assert open_clip(str(target)).info.frames == FRAMES


def test_clips_that_differ_only_in_their_ending_do_not_meet(tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks")
    for suffix in (".mp4", ".mov"):
        erase(str(write_clip(tmp_path / f"clip{suffix}")), mask=str(masks), keep_work=True)
    assert (tmp_path / "clip.clean.mp4.vremove").is_dir()
    assert (tmp_path / "clip.clean.mov.vremove").is_dir()


def test_an_interrupt_exits_130_and_can_be_gone_on_from(job: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, whole = job
    process = run(clip, masks, tmp_path / "out.mkv")
    while not list(tmp_path.glob("out.mkv.vremove/done/mask*.json")):  # early: a busy machine may end it before we look
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # SIGINT is ignored in a background job
    _, said = process.communicate()
    assert process.returncode == 130
    assert "run the same command again" in said.splitlines()[-1]
    assert run_here(clip, masks, tmp_path / "out.mkv")["reused"] > 0
    assert same(planes_of(tmp_path / "out.mkv"), whole)
