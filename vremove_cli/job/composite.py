"""What is blended into each frame: the plate's patches, and over them what a remover made."""

from collections.abc import Iterator
from itertools import groupby

from vremove_cli.geometry import Placed
from vremove_cli.job.erase_mask import effect_masks
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.plate import Patch, plate_patches
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import gray_path, load_masks, load_with
from vremove_cli.job.workdir.folder import WorkFolder


def patches(plan: Plan, folder: WorkFolder, start: int, stop: int) -> Iterator[tuple[int, Patch | None]]:
    """What is blended into each frame start <= t < stop: the remover's patch where it made one, else the plate's.

    Where runs of the remover overlap the earlier one counts, but for one that went on from it.
    """
    made = _shown(plan, folder, start, stop)
    for filled, frames in groupby(range(start, stop), made.get):
        shown_on = list(frames)
        if filled is None:
            yield from ((t, p) for t, p, _ in plate_patches(plan, folder, shown_on[0], shown_on[-1] + 1))
        else:
            yield from _filled(plan, folder, filled, shown_on[0], shown_on[-1] + 1)


def _shown(plan: Plan, folder: WorkFolder, start: int, stop: int) -> dict[int, Task]:
    """Which of a remover's finished tasks is shown on each frame start <= t < stop that any left a patch of."""
    made: dict[int, Task] = {}
    for task in plan.tasks:
        if task.kind == "fill" and task.span.start < stop and task.span.stop > start:
            if "where" not in (folder.result(task.id) or {}):
                continue
            for t in range(max(start, task.span.start), min(stop, task.span.stop)):
                if t not in made or made[t].id in task.needs:
                    made[t] = task
    return made


def _filled(plan: Plan, folder: WorkFolder, task: Task, start: int, stop: int) -> Iterator[tuple[int, Patch | None]]:
    result = folder.result(task.id)
    assert result is not None
    low, high = start - task.span.start, stop - task.span.start
    path, where = folder.file("fill", f"{task.id}.mkv"), result["where"]
    for t, patch in enumerate(load_with(path, where, plan.clip.layout, ["matte"], low, high), start):
        yield t, None if patch is None else (patch[0], patch[1], patch[2][0])


def by_frame(changes: Iterator[tuple[int, Patch | None]], count: int) -> Iterator[Patch | None]:
    """The patch of each of a clip's `count` frames, None where `changes` has none."""
    upcoming = next(changes, None)
    for t in range(count):
        patch = None
        if upcoming is not None and upcoming[0] == t:
            patch, upcoming = upcoming[1], next(changes, None)
        yield patch


def all_effects(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Shadows, reflections and the like, binary, for frames low <= t < high that have any: what was found, and where a
    remover changed the picture beside the object."""
    out = effect_masks(plan, folder, low, high)
    shown = _shown(plan, folder, low, high)
    for task, frames in groupby(sorted(shown), shown.__getitem__):
        times, where = list(frames), (folder.result(task.id) or {})["where"]
        path = gray_path(folder.file("fill", f"{task.id}.mkv"), "changed")
        for t, mask in enumerate(
            load_masks(path, where, times[0] - task.span.start, times[-1] + 1 - task.span.start), times[0]
        ):
            if not mask.empty:
                out[t] = out[t].united(mask) if t in out else mask
    return out
