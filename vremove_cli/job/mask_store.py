"""Masks in the work folder: imported from the user's file, followed by a tracker, and as the other tasks see them."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Placed
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task, is_affected
from vremove_cli.job.workdir.artifacts import load_masks, save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.removers.void.quadmask import ERASED
from vremove_cli.tracking.base import ABSENT, DOUBTFUL, FOUND_AGAIN, NO_OBJECT

UNSURE = 0.77  # expected overlap with the truth below which a frame should be looked at: see docs/masks.md


def run_mask_import(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Read the user's masks of a segment."""
    assert plan.mask is not None
    levels = ERASED if plan.request.quadmask else ()
    source = MaskFile(plan.mask, plan.clip, invert=plan.request.invert_mask, levels=levels)
    masks, full = [], 0
    for i, mask in enumerate(source.read(*task.span)):
        masks.append(Placed.tight(mask))
        full += bool(mask.all())
        emit(Progress("track", task.span.start - plan.span.start + i + 1, plan.span.length))
    where = save_masks(folder.file("masks", f"{task.id}.mkv"), masks)
    return {"masks": where, "full": full, "remarks": {}}


def mask_results(
    plan: Plan, folder: WorkFolder, target: str | None = None, *, affected: bool = False
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Finished tasks that hold objects' masks, one for each segment (of one object): mended, where that changed any.

    With `affected` those of what is not erased, but will move.
    """
    mended = {}
    for task in plan.tasks:
        if task.kind == "mend" and (result := folder.result(task.id)) is not None and result["masks"]:
            mended[task.needs[0]] = (task, result)
    for task in plan.tasks:
        wanted = target == task.target or (target is None and is_affected(task.target) == affected)
        if task.kind in ("track", "mask") and wanted:
            result = folder.result(task.id)
            if result is not None:
                yield mended.get(task.id, (task, result))


def object_masks(
    plan: Plan, folder: WorkFolder, low: int, high: int, target: str | None = None, *, affected: bool = False
) -> dict[int, Placed]:
    """What was found of all objects together, or of one, or of what will move, for frames low <= t < high: soft, 128
    and more inside. Frames without any are left out."""
    return union_of_masks(folder, "masks", mask_results(plan, folder, target, affected=affected), low, high)


def union_of_masks(
    folder: WorkFolder, room: str, results: Iterator[tuple[Task, dict[str, Any]]], low: int, high: int
) -> dict[int, Placed]:
    """Masks that tasks left in a room of the folder, the larger value of all, for frames low <= t < high."""
    out: dict[int, Placed] = {}
    for task, result in results:
        if task.span.start >= high or task.span.stop <= low:
            continue
        first, last = max(low, task.span.start), min(high, task.span.stop)
        where = folder.file(room, f"{task.id}.mkv")
        kept = load_masks(where, result[room], first - task.span.start, last - task.span.start)
        for t, mask in enumerate(kept, first):
            if not mask.empty:
                out[t] = out[t].united(mask) if t in out else mask
    return out


def tracked_frames(folder: WorkFolder, task: str, span: FrameRange) -> Iterator[tuple[int, Placed, float, str]]:
    """What a task that followed an object left: frame, mask, confidence, remark."""
    result = folder.result(task)
    assert result is not None
    masks = load_masks(folder.file("masks", f"{task}.mkv"), result["masks"])
    for i, (mask, sure) in enumerate(zip(masks, result["confidence"], strict=True)):
        yield span.start + i, mask, sure, result["remarks"].get(str(span.start + i), "")


def confidences(plan: Plan, folder: WorkFolder) -> dict[int, float]:
    """The least confidence of any object on each frame that was followed."""
    out: dict[int, float] = {}
    for task, result in mask_results(plan, folder):
        for t, sure in enumerate(result.get("confidence", ()), task.span.start):
            out[t] = min(sure, out.get(t, 1.0))
    return out


def first_mask_note(task: Task, frame: int, remark: str) -> str:
    """What to tell of the mask on a frame where an object was pointed at; empty when all is well."""
    if remark not in (DOUBTFUL, NO_OBJECT):
        return ""
    return f"{_label(task)}{remark}: look at frame {frame}, and give a box or more points if it is wrong"


def doubt_notes(plan: Plan, folder: WorkFolder) -> list[str]:
    """Sentences that name the frames whose mask a person should look at, object by object."""
    doubts: list[str] = []
    low: dict[str, list[int]] = {}
    again: dict[str, list[int]] = {}
    absent: dict[str, list[int]] = {}
    for task, result in chain(mask_results(plan, folder), mask_results(plan, folder, affected=True)):
        name = _label(task)
        remarks = {int(t): remark for t, remark in result["remarks"].items()}
        doubts += filter(None, (first_mask_note(task, t, remark) for t, remark in remarks.items()))
        for kind, remark in ((again, FOUND_AGAIN), (absent, ABSENT)):
            kind.setdefault(name, []).extend(t for t, r in remarks.items() if r == remark)
        unsure = (t for t, c in enumerate(result.get("confidence", ()), task.span.start) if c < UNSURE)
        low.setdefault(name, []).extend(t for t in unsure if remarks.get(t) != ABSENT)
    for name, frames in low.items():
        if frames:
            doubts.append(f"{name}frames {_spans(frames)} are uncertain: add a point there, or a box")
        if again[name]:
            where = f"{name}found again at frame {_spans(again[name])}"
            doubts.append(f"{where}: if that is something else, add a point on the object, or --not-point on it")
        if absent[name]:
            where = f"{name}not found in frames {_spans(absent[name])}"
            doubts.append(f"{where}: nothing is erased there; if the object is there, add a point")
    return doubts


def _label(task: Task) -> str:
    return f"{task.target}: " if task.target else ""


def _spans(frames: list[int]) -> str:
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in consecutive_spans(frames))


def consecutive_spans(numbers: list[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers as (first, last)."""
    out: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if out and out[-1][1] == n - 1:
            out[-1] = (out[-1][0], n)
        else:
            out.append((n, n))
    return out
