"""Workers that share jobs: which tasks they do, when they end, and what they say."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from support.clips import same_frames, write_clip, write_masks
from support.command import Vremove
from support.reports import report_of, reports_of
from vremove_cli.errors import ExitCode, Interrupted
from vremove_cli.job.events import silent
from vremove_cli.job.plan import InputWatch, Plan
from vremove_cli.job.stages import kinds
from vremove_cli.job.stages.base import Rest
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.working import Assignment, do_tasks


@pytest.fixture
def job(vremove: Vremove, tmp_path: Path) -> Path:
    """A planned job of two shots: two tasks of each kind, for a mask, the background and the plate."""
    clip, masks = write_clip(tmp_path / "clip.mp4"), write_masks(tmp_path / "masks")
    work = tmp_path / "job"
    planned = vremove("plan", clip, "--mask", masks, "--cuts", 5, "--work", work, "-o", tmp_path / "out.mp4")
    assert planned.status == 0, planned.stderr
    return work


@pytest.fixture
def jobs(vremove: Vremove, tmp_path: Path) -> Path:
    """A list of three planned jobs, of which the second one has an empty mask."""
    masks = write_masks(tmp_path / "masks")
    Image.new("L", (96, 64)).save(tmp_path / "empty.png")
    drawn = write_clip(tmp_path / "drawn.mp4")
    for name, mask in (("a", masks), ("b", tmp_path / "empty.png"), ("c", masks)):
        clip = shutil.copy(drawn, tmp_path / f"{name}.mp4")  # x264 may encode the same pictures in two ways
        assert vremove("plan", clip, "--mask", mask, "--work", tmp_path / f"job {name}").status == 0
    places = tmp_path / "clips.jobs"
    places.write_text("job a\n\n" + f"{tmp_path / 'job b'}\r\n" + "job c\njob a\n")
    return places


def start(*arguments: object) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "vremove_cli", *map(str, arguments), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(job: Path) -> list[str]:
    return sorted(WorkFolder(job).finished_tasks())


def test_a_worker_that_does_not_wait_ends_when_nothing_is_ready(vremove: Vremove, job: Path) -> None:
    outcome = vremove("work", job, "--only", "plate", "--no-wait", "--json")
    assert outcome.status == ExitCode.NOT_READY
    assert "2 tasks are left, and none is ready: other workers have them, or must do others first" in outcome.stderr
    assert reports_of(outcome.stdout)[0]["left"] == 2
    with WorkFolder(job).lease("mask-0000"), WorkFolder(job).lease("mask-0001"):
        assert vremove("work", job, "--no-wait").status == ExitCode.NOT_READY
    assert finished(job) == []


def test_a_worker_does_only_the_kinds_that_it_is_given(vremove: Vremove, job: Path) -> None:
    assert vremove("work", job, "--only", "gpu").status == 0, "without a network nothing is for a GPU"
    assert vremove("work", job, "--only", "mask,background").status == 0
    assert finished(job) == ["background-0000", "background-0001", "mask-0000", "mask-0001"]
    assert vremove("work", job, "--only", "cpu").status == 0
    assert vremove("finish", job).status == 0


def test_after_its_time_a_worker_begins_no_task(vremove: Vremove, job: Path) -> None:
    outcome = vremove("work", job, "--time-limit", "0s")
    assert outcome.status == ExitCode.NOT_READY
    assert "6 tasks are left, and the time limit is over: run the same command again" in outcome.stderr
    assert vremove("work", job, "--time-limit", "1.5h").status == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "plates"], "there is no kind of task 'plates': choose among mask, track, correct, background"),
        (["--time-limit", "soon"], "the time limit 'soon' cannot be read: write it as 90s, 30m or 2h"),
        (
            ["--task", "plate-0000", "--only", "mask"],
            "the task plate-0000 is none of those that --only names",
        ),
    ],
)
def test_what_cannot_be_read_is_told(vremove: Vremove, job: Path, arguments: list[str], says: str) -> None:
    outcome = vremove("work", job, *arguments)
    assert outcome.status == ExitCode.USAGE
    assert says in outcome.stderr


def test_a_job_that_cannot_be_done_does_not_stop_the_others_of_a_list(
    vremove: Vremove, jobs: Path, tmp_path: Path
) -> None:
    outcome = vremove("work", jobs, "--json")
    assert outcome.status == ExitCode.BATCH
    assert "the mask is empty on every frame" in outcome.stderr
    assert [r["work"] for r in reports_of(outcome.stdout) if r["type"] == "work"] == [
        str(tmp_path / "job a"), str(tmp_path / "job c"),
    ]  # fmt: skip
    outcome = vremove("finish", jobs)
    assert outcome.status == ExitCode.BATCH
    assert "1 of 3 inputs failed" in outcome.stderr
    assert (tmp_path / "a.clean.mp4").exists()
    assert (tmp_path / "c.clean.mp4").exists()


def test_later_workers_leave_a_job_alone_that_was_given_up(vremove: Vremove, jobs: Path) -> None:
    assert vremove("work", jobs, "--only", "mask,background", "--keep-going").status == 0
    outcome = vremove("work", jobs, "--only", "plate", "--keep-going")
    assert outcome.status == 0, "it does not wait for the second job's tasks"
    assert "the mask is empty on every frame" in outcome.stderr
    assert vremove("finish", jobs).status == ExitCode.BATCH


def test_results_that_are_there_are_left_and_stand_in_the_table(vremove: Vremove, jobs: Path, tmp_path: Path) -> None:
    two = [tmp_path / "job a", tmp_path / "job c"]
    assert vremove("work", *two).status == 0
    assert vremove("finish", two[0]).status == 0
    written = (tmp_path / "a.clean.mp4").stat().st_mtime_ns
    assert vremove("finish", two[0]).status == ExitCode.USAGE, "it is there already"
    outcome = vremove("finish", *two, "--skip-existing")
    assert outcome.status == 0, outcome.stderr
    assert (tmp_path / "a.clean.mp4").stat().st_mtime_ns == written
    assert outcome.stderr.count("a.clean.mp4") == 1
    assert "c.clean.mp4" in outcome.stderr


def test_processes_that_finish_the_same_list_write_each_result_once(
    vremove: Vremove, jobs: Path, tmp_path: Path
) -> None:
    assert vremove("work", jobs).status == ExitCode.BATCH
    two = [tmp_path / "job a", tmp_path / "job c"]
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: start("finish", *two, "--skip-existing").wait(), range(2)))
    assert ended == [0, 0]
    assert same_frames(tmp_path / "a.clean.mp4", tmp_path / "c.clean.mp4")


@pytest.fixture
def slow_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first task of the background leaves a rest that takes long; the second one is interrupted."""
    begun: list[str] = []

    def run(_plan: object, task: object, _folder: object, _emit: object) -> Rest[None]:
        if begun:
            raise Interrupted
        begun.append(str(task))
        return Rest(lambda: time.sleep(30))

    stage = kinds.STAGES["background"]
    monkeypatch.setitem(kinds.STAGES, "background", type(stage)(**{**vars(stage), "run": run}))


def test_an_interrupted_worker_gives_its_tasks_back_at_once(vremove: Vremove, job: Path, slow_rest: None) -> None:
    assert vremove("work", job, "--only", "mask").status == 0
    plan, folder, began = Plan.load(job / "plan.json"), WorkFolder(job), time.monotonic()
    with pytest.raises(Interrupted):
        do_tasks(plan, folder, Assignment(), silent, InputWatch(plan))
    assert time.monotonic() - began < 20, "it does not wait for the rest of the first task"
    assert folder.leased_tasks() == set()


@pytest.mark.slow
def test_a_worker_that_is_asked_to_end_gives_its_task_back(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=120, size=(640, 360))
    mask = write_masks(tmp_path / "masks", frames=120, size=(640, 360))
    work = tmp_path / "job"
    assert vremove("plan", clip, "--mask", mask, "--work", work).status == 0
    process = start("work", work)
    while not WorkFolder(work).leased_tasks() & {"background-0000", "plate-0000"}:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, said
    assert WorkFolder(work).leased_tasks() == set()
    report = report_of(vremove("work", work, "--only", "mask", "--json").stdout)
    assert (report["done"], report["left"]) == ([], 0)
    assert os.listdir(work / "leases") == []
