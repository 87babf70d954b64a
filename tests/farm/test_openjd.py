"""Job templates of OpenJD, checked and run by OpenJD's own command."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.clips import same_frames, write_clip, write_masks
from support.command import Vremove
from support.plans import plate_plan, with_network
from support.programs import program
from vremove_cli.farm.export import export
from vremove_cli.farm.steps import Submission


def openjd(*arguments: object) -> str:
    """Run OpenJD's command, which must succeed; gives what it prints."""
    command = [sys.executable, "-m", "openjd", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_network_on_a_gpu_asks_for_it_and_for_its_memory(tmp_path: Path) -> None:
    submission = Submission()
    plan = with_network(plate_plan(tmp_path), "cuda")
    submission.add(plan, tmp_path / "work")
    made = export("openjd", tmp_path / "t.json", submission, None, None)
    openjd("check", made.path)
    before, fill, finish = json.loads(made.path.read_text())["steps"]
    assert fill["script"]["actions"]["onRun"]["cancelation"]["mode"] == "NOTIFY_THEN_TERMINATE"
    asked = [{a["name"].removeprefix("amount.worker."): a["min"] for a in s["hostRequirements"]["amounts"]}
             for s in (before, fill, finish)]  # fmt: skip
    assert [set(a) for a in asked] == [{"vcpu", "memory"}, {"vcpu", "memory", "gpu", "gpu.memory"}, {"vcpu", "memory"}]
    assert asked[1]["gpu"] == 1
    (needs,) = [p.needs for p in submission.phases() if p.needs.gpu]
    assert needs.gpu_memory < asked[1]["gpu.memory"] << 20 < 1.1 * needs.gpu_memory + 500e6
    assert [s.get("dependencies") for s in (fill, finish)] == [[{"dependsOn": before["name"]}], [{"dependsOn": "Fill"}]]


def test_a_name_that_no_template_may_hold_is_made_one(tmp_path: Path) -> None:
    """Double braces would be an expression, and a job's name has at most 128 characters, none of control."""
    submission = Submission()
    plan = plate_plan(tmp_path)
    odd = replace(plan, request=replace(plan.request, input=str(tmp_path / f"{{{{x}}}}\t\n'\"{'a' * 200}.mkv")))
    submission.add(odd, tmp_path / "{{Param.Jobs}} 'a' \"b\"")
    made = export("openjd", tmp_path / "{{x}} it's.yaml", submission, None, None)
    openjd("check", made.path)
    assert made.jobs.read_text() == f"{tmp_path}/{{{{Param.Jobs}}}} 'a' \"b\"\n"


@pytest.mark.slow  # four processes, one after another
def test_openjd_carries_out_a_job_to_the_same_frames(vremove: Vremove, tmp_path: Path) -> None:
    place = tmp_path / 'it\'s {{a}} "job"'
    place.mkdir()
    clip, masks = write_clip(place / "clip.mkv", codec="ffv1"), write_masks(place / "masks")
    done = vremove("plan", clip, "--mask", masks, "--export", "openjd", "--export-to", place / "t.json")
    assert (done.status, done.stdout.splitlines()[-1]) == (0, str(place / "t.json"))
    openjd("check", place / "t.json")
    for step in json.loads((place / "t.json").read_text())["steps"]:
        openjd("run", place / "t.json", "--step", step["name"], "-p", f"Vremove={program(tmp_path)}")
    assert vremove("erase", clip, "--mask", masks, "-o", tmp_path / "alone.mkv").status == 0
    assert same_frames(place / "clip.clean.mkv", tmp_path / "alone.mkv")
