"""The task that recovers what other frames show of a segment's holes, and its patches as other tasks read them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from vremove_cli.geometry import NOWHERE, Array, Box, Placed, bounds
from vremove_cli.job.erase_mask import effect_masks, erase_masks
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task, frames_in_reach
from vremove_cli.job.workdir.artifacts import PatchWriter, load_with
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.read import Clip
from vremove_cli.plate.confidence import NEVER, halved, recovered, unseen
from vremove_cli.plate.hole import hole_box
from vremove_cli.plate.recover import affordable, recover
from vremove_cli.plate.reference import clean_planes

Patch = tuple[Box, tuple[Array, ...], Array]


def run_plate(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Recover what other frames show of a segment's holes."""
    reach = frames_in_reach(task.span, plan.span, plan.clip)
    masks = erase_masks(plan, folder, *reach)
    reach = affordable(plan.clip, task.span, reach, masks)
    boxes = [hole_box(masks[t], plan.clip, plan.request.feather) if t in masks else NOWHERE for t in range(*task.span)]
    counts, asked = Counter[str](), NOWHERE
    steps, length, done = reach.length + task.span.length, task.span.length, 0
    before = sum(t.span.length for t in plan.tasks if t.kind == "plate" and t.span.start < task.span.start)

    def tick() -> None:
        nonlocal done
        done += 1
        emit(Progress("plate", before + round(done / steps * length), plan.span.length))

    nothing = np.zeros((0, 0), np.uint8)
    path = folder.file("plate", f"{task.id}.mkv")
    clean = _clean(plan, *reach, masks)
    clear = bool(clean) or all((folder.result(n) or {}).get("clear", True) for n in task.needs)
    with PatchWriter(path, plan.clip.layout, boxes, ("matte", "sure")) as patches:
        wary = not clear or plan.request.effects == "off" or bool(effect_masks(plan, folder, *task.span))
        for _, found in recover(
            Clip(plan.clip), task.span, reach, masks, plan.request.feather, clean, wary=wary, tick=tick
        ):
            if found is None:
                patches.write((), nothing, nothing)
                continue
            sure = found.sure if clear else halved(found.sure)
            asked = asked.union(
                bounds(pixels_to_fill(found.matte, sure, plan.request.recover)).moved(found.box.x0, found.box.y0)
            )
            patches.write(found.planes, found.matte, sure)
            counts += _counted(sure)
    counted = {key: counts[key] for key in ("recovered", "doubtful", "unseen")}
    return {"where": patches.where, "asked": [asked.x0, asked.y0, asked.x1, asked.y1], **counted}


def pixels_to_fill(matte: Array, sure: Array, recovered_kept: bool) -> Array:
    """The pixels of a hole that a remover is asked for, (h, w) bool."""
    return np.asarray(unseen(sure) if recovered_kept else matte > 0)


def _clean(plan: Plan, low: int, high: int, masks: dict[int, Placed]) -> dict[int, tuple[Array, ...]]:
    """Components of the frames that the user gave a clean picture of."""
    clip, out = Clip(plan.clip), {}
    for t, picture in plan.references.items():
        if low <= t < high and t in masks:
            (frame,) = clip.frames(t, t + 1)
            out[t] = clean_planes(Clip(picture), clip, frame, masks[t])
    return out


def _counted(sure: Array) -> Counter[str]:
    """Pixels of a hole by how they were found."""
    good, never = int(recovered(sure).sum()), int((sure == NEVER).sum())
    return Counter(recovered=good, doubtful=int((sure > 0).sum()) - good - never, unseen=never)


def _plate_files(
    plan: Plan, folder: WorkFolder, task: Task, start: int, stop: int
) -> Iterator[tuple[int, Patch | None, Array]]:
    """(frame, patch, how sure) of a plate task's frames start <= t < stop."""
    result = folder.result(task.id)
    assert result is not None
    low, high = start - task.span.start, stop - task.span.start
    path, where = folder.file("plate", f"{task.id}.mkv"), result["where"]
    for t, patch in enumerate(load_with(path, where, plan.clip.layout, ["matte", "sure"], low, high), start):
        if patch is None:
            yield t, None, np.zeros((0, 0), np.uint8)
        else:
            box, parts, (matte, sure) = patch
            yield t, (box, parts, matte), sure


def plate_patches(plan: Plan, folder: WorkFolder, start: int, stop: int) -> Iterator[tuple[int, Patch | None, Array]]:
    """(frame, patch, how sure) of every planned frame in start <= t < stop, in order."""
    for task in plan.tasks:
        if task.kind == "plate":
            low, high = max(start, task.span.start), min(stop, task.span.stop)
            if low < high:
                yield from _plate_files(plan, folder, task, low, high)
