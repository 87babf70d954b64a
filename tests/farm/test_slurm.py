"""Scripts for Slurm, carried out by a stand-in for `sbatch` that honours arrays and dependencies."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.clips import same_frames, write_clip, write_masks
from support.command import Vremove
from support.plans import plate_plan, with_network
from support.programs import program
from vremove_cli.farm.export import export
from vremove_cli.farm.steps import Submission


@dataclass
class Cluster:
    """Jobs that were submitted, and what their tasks printed."""

    place: Path

    def submit(self, script: Path, *options: str, vremove: Path | None = None) -> list[dict[str, Any]]:
        """Run a script; gives its jobs."""
        path = f"{self.place}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "SBATCH_STAND_IN": str(self.place)}
        env |= {"VREMOVE": str(vremove)} if vremove else {}
        done = subprocess.run(["sh", str(script), *options], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        jobs = sorted(self.place.glob("*.json"))
        assert done.stdout.startswith(f"submitted: {' '.join(job.stem for job in jobs)};")
        return [json.loads(job.read_text()) for job in jobs]

    def printed(self) -> str:
        return "".join(out.read_text() for out in sorted(self.place.glob("*.out")))


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    place = tmp_path / "cluster"
    place.mkdir()
    program(place, "sbatch", "support.sbatch")
    return Cluster(place)


def ends_with(status: int, folder: Path) -> Path:
    """A program in place of `vremove`."""
    path = folder / "vremove"
    path.write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n')
    path.chmod(0o755)
    return path


@pytest.mark.slow  # five processes for two clips
def test_slurm_carries_out_a_batch_to_the_same_frames(vremove: Vremove, cluster: Cluster, tmp_path: Path) -> None:
    place = tmp_path / 'it\'s $HOME "b" `c`'
    place.mkdir()
    write_masks(place / "masks")
    for name in ("a", "b b"):
        write_clip(place / f"{name}.mkv", codec="ffv1")
    rows = [f"{place / name}.mkv,{place}/masks,{place / name} farm.mkv".replace('"', '""') for name in ("a", "b b")]
    quoted = "\n".join(",".join(f'"{cell}"' for cell in row.split(",")) for row in rows)
    (tmp_path / "jobs.csv").write_text(f"input,mask,output\n{quoted}\n")
    script = place / "it's a.sh"
    assert vremove("plan", "--batch", tmp_path / "jobs.csv", "--export", "slurm", "--export-to", script).status == 0
    jobs = cluster.submit(script, vremove=program(tmp_path))
    assert [j["state"] for j in jobs] == ["COMPLETED"] * 3, cluster.printed()
    assert [j["array"] for j in jobs] == ["1-2", "1-2", "1-1"]
    for name in ("a", "b b"):
        alone = tmp_path / f"{name}.mkv"
        assert vremove("erase", place / f"{name}.mkv", "--mask", place / "masks", "-o", alone).status == 0
        assert same_frames(place / f"{name} farm.mkv", alone)


def exported(tmp_path: Path, clips: int, gpu_type: str | None = None) -> Path:
    """A script for clips whose fill runs on a GPU."""
    plan, submission = with_network(plate_plan(tmp_path), "cuda"), Submission()
    for number in range(clips):
        submission.add(plan, tmp_path / f"work {number}")
    return export("slurm", tmp_path / "t.sh", submission, None, gpu_type).path


def test_a_failed_worker_stops_what_depends_on_it(cluster: Cluster, tmp_path: Path) -> None:
    jobs = cluster.submit(exported(tmp_path, 1), vremove=ends_with(1, tmp_path))
    assert [j["state"] for j in jobs] == ["FAILED", "CANCELLED", "CANCELLED"]


def test_of_several_clips_those_that_are_done_are_written(cluster: Cluster, tmp_path: Path) -> None:
    jobs = cluster.submit(exported(tmp_path, 2), vremove=ends_with(7, tmp_path))
    assert [(j["job_name"], j["state"]) for j in jobs[1:]] == [
        ("vremove-fill", "CANCELLED"), ("vremove-finish", "FAILED"), ("vremove-report", "FAILED")
    ]  # fmt: skip


def test_a_gpu_is_asked_for_by_its_type_and_by_the_phase_that_needs_it(cluster: Cluster, tmp_path: Path) -> None:
    jobs = cluster.submit(exported(tmp_path, 1, "a100"), vremove=ends_with(0, tmp_path))
    assert [j["gres"] for j in jobs] == [None, "gpu:a100:1", None]
    assert all(j["signal"] == "B:TERM@60" and j["requeue"] and int(j["mem"].removesuffix("M")) >= 1024 for j in jobs)
    assert all(j["wrap"].startswith("exec ") for j in jobs)  # vremove itself gets the signal
    work = [line for line in cluster.printed().splitlines() if line.startswith("work")]
    assert work == [f"work {tmp_path}/t.sh.jobs --only {kinds}" for kinds in ("mask,background,plate", "fill")]


def test_options_of_the_user_count_more(cluster: Cluster, tmp_path: Path) -> None:
    jobs = cluster.submit(exported(tmp_path, 1), "--mem=9G", "--time=1:00:00", vremove=ends_with(0, tmp_path))
    assert {(j["mem"], j["time"]) for j in jobs} == {("9G", "1:00:00")}
