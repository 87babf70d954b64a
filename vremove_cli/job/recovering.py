"""The task that recovers what other frames show of a segment's holes, and its patches as other tasks read them."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from vremove_cli.geometry import NOWHERE, Array, Box, Placed, bounds
from vremove_cli.job.erasing import effect_masks, erase_masks
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.folder import WorkFolder
from vremove_cli.job.graph import Task, reach
from vremove_cli.job.patches import PatchWriter, load_with
from vremove_cli.job.plan import Plan
from vremove_cli.media.read import Clip
from vremove_cli.plate.confidence import NEVER, halved, recovered, unseen
from vremove_cli.plate.hole import hole_box
from vremove_cli.plate.recover import affordable, recover
from vremove_cli.plate.reference import clean_planes

Patch = tuple[Box, tuple[Array, ...], Array]


def plate_segment(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Recover what other frames show of a segment's holes."""
    low, high = reach(task.run, plan.run, plan.clip)
    masks = erase_masks(plan, folder, low, high)
    low, high = affordable(plan.clip, task.run, (low, high), masks)
    boxes = [hole_box(masks[t], plan.clip, plan.request.feather) if t in masks else NOWHERE for t in range(*task.run)]
    counts, asked = Counter[str](), NOWHERE
    steps, length, done = (high - low) + (task.run[1] - task.run[0]), task.run[1] - task.run[0], 0
    before = sum(t.run[1] - t.run[0] for t in plan.tasks if t.kind == "plate" and t.run[0] < task.run[0])

    def tick() -> None:
        nonlocal done
        done += 1
        emit(Progress("plate", before + round(done / steps * length), plan.run[1] - plan.run[0]))

    nothing = np.zeros((0, 0), np.uint8)
    path = folder.file("plate", f"{task.id}.mkv")
    clean = _clean(plan, low, high, masks)
    clear = bool(clean) or all((folder.result(n) or {}).get("clear", True) for n in task.needs)
    with PatchWriter(path, plan.clip.layout, boxes, ("matte", "sure")) as patches:
        wary = not clear or plan.request.effects == "off" or bool(effect_masks(plan, folder, *task.run))
        for _, found in recover(
            Clip(plan.clip), task.run, (low, high), masks, plan.request.feather, clean, wary=wary, tick=tick
        ):
            if found is None:
                patches.write((), nothing, nothing)
                continue
            sure = found.sure if clear else halved(found.sure)
            asked = asked.union(bounds(ask(found.matte, sure, plan.request.recover)).moved(found.box.x0, found.box.y0))
            patches.write(found.planes, found.matte, sure)
            counts += _counted(sure)
    counted = {key: counts[key] for key in ("recovered", "doubtful", "unseen")}
    return {"where": patches.where, "asked": [asked.x0, asked.y0, asked.x1, asked.y1], **counted}


def ask(matte: Array, sure: Array, recovered_kept: bool) -> Array:
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
    low, high = start - task.run[0], stop - task.run[0]
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
            low, high = max(start, task.run[0]), min(stop, task.run[1])
            if low < high:
                yield from _plate_files(plan, folder, task, low, high)
