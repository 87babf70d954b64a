"""The tasks that make masks: from a tracker or from the user's file; and the masks as the other tasks see them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vremove_cli.geometry import Placed
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.folder import WorkFolder
from vremove_cli.job.patches import load_masks, save_masks
from vremove_cli.job.plan import Plan, Task
from vremove_cli.masks.base import Clicks, State, Tracked, Tracker
from vremove_cli.masks.files import MaskFile
from vremove_cli.masks.flow import FlowTracker
from vremove_cli.masks.morphology import tidy
from vremove_cli.media.read import Clip

UNSURE = 0.35


def import_masks(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Read the user's masks of a segment."""
    assert plan.mask is not None
    source = MaskFile(plan.mask, plan.clip, invert=plan.request.invert_mask)
    masks, full = [], 0
    for i, mask in enumerate(source.read(*task.run)):
        masks.append(Placed.tight(mask))
        full += bool(mask.all())
        emit(Progress("track", task.run[0] - plan.run[0] + i + 1, plan.run[1] - plan.run[0]))
    where = save_masks(folder.file("masks", f"{task.id}.mkv"), masks)
    return {"masks": where, "full": full, "remarks": {}}


def track_segment(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Follow one object through a segment: from its first prompt both ways, or on from the neighbouring segment."""
    clip, clicks = Clip(plan.clip), plan.clicks[task.target]
    tracker: Tracker = FlowTracker()
    start, stop = task.run
    origin = task.origin
    assert origin is not None
    found: dict[int, tuple[Placed, float, str]] = {}
    done = _tracked_before(plan, task, folder)

    def keep(frame: int, tracked: Tracked) -> None:
        found[frame] = (Placed.tight(tidy(tracked.mask)), tracked.confidence, tracked.remark)
        emit(Progress("track", done + len(found), plan.run[1] - plan.run[0]))

    if start <= origin < stop:
        first, forward = _forward(clip, tracker, clicks, (origin, stop), None, keep)
        backward: State | None = _backward(clip, tracker, (start, origin), first, keep)
    elif start > origin:
        before = _load_state(folder, task.needs[0], "forward")
        _, forward = _forward(clip, tracker, clicks, (start, stop), before, keep)
        backward = None
    else:
        after = _load_state(folder, task.needs[0], "backward")
        forward, backward = None, _backward(clip, tracker, (start, stop), after, keep)
    _save_state(folder, task.id, "forward", forward)
    _save_state(folder, task.id, "backward", backward)
    where = save_masks(folder.file("masks", f"{task.id}.mkv"), [found[t][0] for t in range(start, stop)])
    sure = [round(found[t][1], 3) for t in range(start, stop)]
    remarks = {str(t): found[t][2] for t in range(start, stop) if found[t][2]}
    return {"masks": where, "confidence": sure, "remarks": remarks}


def _tracked_before(plan: Plan, task: Task, folder: WorkFolder) -> int:
    """Frames that finished tasks of the same object have done, for the progress bar."""
    same = [t for t in plan.tasks if t.kind == "track" and t.target == task.target and t.id != task.id]
    return sum(t.run[1] - t.run[0] for t in same if folder.finished(t.id))


def _forward(
    clip: Clip, tracker: Tracker, clicks: dict[int, Clicks], run: tuple[int, int], state: State | None, keep: Any
) -> tuple[State, State]:
    """Follow the object through a run; gives the states after its first and its last frame."""
    first = None
    for frame in clip.frames(*run):
        rgb = frame.rgb8()
        here = clicks.get(frame.index)
        if here is not None:
            state, tracked = tracker.begin(rgb, here)
        else:
            assert state is not None
            state, tracked = tracker.step(rgb, state)
        first = first or state
        keep(frame.index, tracked)
    assert first is not None
    assert state is not None
    return first, state


def _backward(clip: Clip, tracker: Tracker, run: tuple[int, int], state: State, keep: Any) -> State:
    for frame in _reversed(clip, run):
        state, tracked = tracker.step(frame[1], state)
        keep(frame[0], tracked)
    return state


def _reversed(clip: Clip, run: tuple[int, int], chunk: int = 16) -> Iterator[tuple[int, Any]]:
    """Frames of a run from the last to the first, a few in memory at a time."""
    for high in range(run[1], run[0], -chunk):
        low = max(run[0], high - chunk)
        frames = [(f.index, f.rgb8()) for f in clip.frames(low, high)]
        yield from reversed(frames)


def _save_state(folder: WorkFolder, task: str, way: str, state: State | None) -> None:
    if state is not None:
        arrays: dict[str, Any] = state.arrays
        np.savez(folder.file("states", f"{task}.{way}.npz"), **arrays)


def _load_state(folder: WorkFolder, task: str, way: str) -> State:
    with np.load(folder.file("states", f"{task}.{way}.npz")) as stored:
        return State({k: stored[k] for k in stored.files})


def object_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """What was found of all objects together, binary, for frames low <= t < high; frames without any are left out."""
    return stored_masks(plan, folder, "masks", ("track", "mask"), low, high)


def stored_masks(
    plan: Plan, folder: WorkFolder, room: str, kinds: tuple[str, ...], low: int, high: int
) -> dict[int, Placed]:
    """Masks that tasks of some kinds left in a room of the folder, united, for frames low <= t < high."""
    out: dict[int, Placed] = {}
    for task in plan.tasks:
        if task.kind not in kinds or task.run[0] >= high or task.run[1] <= low:
            continue
        result = folder.result(task.id)
        assert result is not None
        first, last = max(low, task.run[0]), min(high, task.run[1])
        where = folder.file(room, f"{task.id}.mkv")
        stored = load_masks(where, result[room], first - task.run[0], last - task.run[0])
        for t, mask in enumerate(stored, first):
            if not mask.empty:
                out[t] = out[t].united(mask) if t in out else mask
    return out


def uncertain(plan: Plan, folder: WorkFolder) -> list[str]:
    """Sentences that name the frames whose mask a person should look at."""
    out = []
    for task in plan.tasks:
        result = folder.result(task.id)
        if task.kind != "track" or result is None:
            continue
        name = f"{task.target}: " if task.target else ""
        for t, remark in sorted(result["remarks"].items(), key=lambda kv: int(kv[0])):
            if remark.startswith("the first"):
                out.append(f"{name}{remark}: look at frame {t}, and give a box or more points if it is wrong")
        low = [task.run[0] + i for i, c in enumerate(result["confidence"]) if c < UNSURE]
        if low:
            spans = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans_of(low))
            out.append(f"{name}frames {spans} are uncertain: look at the preview, and add a point or a box there")
    return out


def spans_of(numbers: list[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers as (first, last)."""
    out: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1] = (out[-1][0], n)
        else:
            out.append((n, n))
    return out
