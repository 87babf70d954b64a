"""Machines with clocks two minutes apart share a job: no task is done twice at once, none is lost."""

import json
import time
from collections import Counter
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from support import machines
from support.clips import Frames, planes_of, write_clip, write_masks
from vremove_cli.job import planner
from vremove_cli.job.runner import run_finish, run_plan, run_work

FRAMES, CUT = 12, 3
TASKS = 3 * FRAMES // CUT


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Frames]:
    """A clip, its masks, and the frames of a result that one worker made."""
    machines.required()
    place = tmp_path_factory.mktemp("alone")
    clip = write_clip(place / "clip.mkv", codec="ffv1", frames=FRAMES)
    masks = write_masks(place / "masks", frames=FRAMES)
    work = planned(clip, masks, place)
    run_work(str(work))
    return clip, masks, finished(work, place)


def planned(clip: Path, masks: Path, place: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "PLATE_SEGMENT", CUT)
        return run_plan(str(clip), str(place / "out.mkv"), mask=str(masks), work=str(place / "w"))[1]


def finished(work: Path, place: Path) -> Frames:
    run_finish(str(work))
    return planes_of(place / "out.mkv")


def held(log: Path) -> dict[str, list[tuple[str, str, float]]]:
    """(machine, take or give, seconds) in order, by task."""
    lines = sorted((line.split() for line in log.read_text().splitlines()), key=lambda words: words[2])
    events = {name: [(w[0], w[1], float(w[3])) for w in group] for name, group in groupby(lines, lambda w: w[2])}
    return {name: story for name, story in events.items() if name.split("-")[0] in ("mask", "background", "plate")}


def once_at_a_time(story: list[tuple[str, str, float]]) -> bool:
    """Whether a lease was given back by the machine that had taken it before another one took it."""
    takes, gives = story[::2], story[1::2]
    return all(t[1] == "take" for t in takes) and [(m, "give") for m, _, _ in takes] == [g[:2] for g in gives]


def same(a: Frames, b: Frames) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)
    )


def test_two_machines_with_clocks_apart_do_each_task_once(alone: tuple[Path, Path, Frames], tmp_path: Path) -> None:
    clip, masks, whole = alone
    work, log = planned(clip, masks, tmp_path), tmp_path / "log"
    slow = dict.fromkeys(("mask", "background", "plate"), 0.05)
    log.touch()
    both = [
        machines.start(name, log, "work", work, "--json", host=name, ahead=ahead, slow=slow, after=("north", "south"))
        for name, ahead in (("north", -60), ("south", 60))
    ]
    said = [machine.communicate(timeout=60) for machine in both]
    assert [machine.returncode for machine in both] == [0, 0], said
    done = [json.loads(out)["done"] for out, _ in said]
    assert all(done), "one machine did everything"
    assert set(Counter(done[0] + done[1]).values()) == {1}
    assert len(done[0] + done[1]) == TASKS
    assert all(once_at_a_time(story) for story in held(log).values())
    clocks = [int(word.removeprefix("at-")) for word in log.read_text().split() if word.startswith("at-")]
    assert 100 < abs(clocks[0] - clocks[1]) < 140
    assert same(finished(work, tmp_path), whole)


def test_a_killed_machines_task_is_taken_over_and_a_living_ones_is_not(
    alone: tuple[Path, Path, Frames], tmp_path: Path
) -> None:
    """Both have one host name, and their processes the same numbers: only the heartbeat tells that one is dead."""
    clip, masks, whole = alone
    work, log = planned(clip, masks, tmp_path), tmp_path / "log"
    stale = 1.2
    log.touch()
    first = machines.start("first", log, "work", work, host="node", ahead=-60, stale=stale, slow={"plate": 600})
    while "first take plate-0000" not in log.read_text():
        assert first.poll() is None, first.communicate()
        time.sleep(0.02)
    second = machines.start("second", log, "work", work, "--json", host="node", ahead=60, stale=stale)
    while "second take plate-0001" not in log.read_text():
        assert second.poll() is None, second.communicate()
        time.sleep(0.02)
    time.sleep(2 * stale)
    first.kill()
    killed = time.clock_gettime(time.CLOCK_MONOTONIC)
    first.communicate()
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "plate-0000" in json.loads(out)["done"]
    (_, _, _), (machine, event, when), _ = held(log)["plate-0000"]
    assert (machine, event) == ("second", "take")
    assert when > killed + stale / 2  # a heartbeat before the kill, and the time after which it counts as abandoned
    assert same(finished(work, tmp_path), whole)
