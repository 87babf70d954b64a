"""Patches of each frame: the remover's where it made one, else the plate's; and all effects."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from vremove_cli.geometry import Array, Placed
from vremove_cli.job.attempts import Attempts
from vremove_cli.job.erase_mask import effect_masks
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import CropTable, Patch, gray_path, load_masks, load_patches
from vremove_cli.job.workdir.folder import WorkFolder


@dataclass(frozen=True)
class PlateResult:
    """What a task of the plate stage leaves.

    Attributes:
        patches: Where the patches lie.
        to_fill: Box around all pixels that a remover should fill: x0, y0, x1, y1.
        recovered: Pixels recovered from other frames.
        doubtful: Pixels that may be wrong.
        unseen: Pixels that no frame shows.
    """

    patches: CropTable
    to_fill: tuple[int, int, int, int]
    recovered: int
    doubtful: int
    unseen: int


@dataclass(frozen=True)
class FillResult:
    """What a task of the fill stage leaves.

    Attributes:
        patches: Where the patches lie; None for keyframes, and for a task without pixels to fill.
        generated: Whether the remover made anything.
        phases: Seconds by phase: read, load, text, encode, warm-up, steps, decode, restore.
        attempts: What was filled more than once, with all scores.
    """

    patches: CropTable | None
    generated: bool
    phases: dict[str, float] = field(default_factory=dict)
    attempts: tuple[Attempts, ...] = ()


@dataclass(frozen=True)
class PlatePatch:
    """The plate's patch of one frame.

    Attributes:
        patch: What is blended into the frame.
        confidence: How certain each pixel is (h, w) uint8; see `plate.confidence`.
    """

    patch: Patch
    confidence: Array


def plate_patches(plan: Plan, folder: WorkFolder, start: int, stop: int) -> Iterator[tuple[int, PlatePatch | None]]:
    """Yield frame and plate patch of every planned frame start <= t < stop, in order."""
    for task in plan.tasks_of("plate"):
        low, high = max(start, task.span.start), min(stop, task.span.stop)
        if low >= high:
            continue
        result = folder.result(task.id, PlateResult)
        assert result is not None
        path, names = folder.existing("plate", f"{task.id}.mkv"), ["matte", "sure"]
        found = load_patches(
            path, result.patches, plan.clip.layout, names, low - task.span.start, high - task.span.start
        )
        for t, patch in enumerate(found, low):
            if patch is None:
                yield t, None
            else:
                box, planes, (matte, confidence) = patch
                yield t, PlatePatch(Patch(box, planes, matte), confidence)


def patches(plan: Plan, folder: WorkFolder, start: int, stop: int) -> Iterator[tuple[int, Patch | None]]:
    """Yield frame and patch of start <= t < stop: the remover's patch where it made one, else the plate's.

    Where stages of the remover overlap, the earlier one wins unless the later depends on it.
    """
    shown = _shown_fills(plan, folder, start, stop)
    for filled, group in groupby(range(start, stop), shown.get):
        frames = list(group)
        if filled is None:
            for t, plate in plate_patches(plan, folder, frames[0], frames[-1] + 1):
                yield t, None if plate is None else plate.patch
        else:
            yield from _fill_patches(plan, folder, *filled, frames[0], frames[-1] + 1)


def _shown_fills(plan: Plan, folder: WorkFolder, start: int, stop: int) -> dict[int, tuple[Task, CropTable]]:
    """Return which of the remover's finished tasks is shown on each frame start <= t < stop that has a patch."""
    shown: dict[int, tuple[Task, CropTable]] = {}
    for task in plan.tasks_of("fill"):
        if task.span.start >= stop or task.span.stop <= start:
            continue
        result = folder.result(task.id, FillResult)
        if result is None or result.patches is None:
            continue
        for t in range(max(start, task.span.start), min(stop, task.span.stop)):
            if t not in shown or shown[t][0].id in task.needs:
                shown[t] = (task, result.patches)
    return shown


def _fill_patches(
    plan: Plan, folder: WorkFolder, task: Task, table: CropTable, start: int, stop: int
) -> Iterator[tuple[int, Patch | None]]:
    path = folder.existing("fill", f"{task.id}.mkv")
    low, high = start - task.span.start, stop - task.span.start
    for t, patch in enumerate(load_patches(path, table, plan.clip.layout, ["matte"], low, high), start):
        yield t, None if patch is None else Patch(patch[0], patch[1], patch[2][0])


def by_frame(changes: Iterator[tuple[int, Patch | None]], count: int) -> Iterator[Patch | None]:
    """Yield the patch of each of a clip's `count` frames, None where `changes` has none."""
    upcoming = next(changes, None)
    for t in range(count):
        patch = None
        if upcoming is not None and upcoming[0] == t:
            patch, upcoming = upcoming[1], next(changes, None)
        yield patch


def all_effects(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Return shadows, reflections and the like (0 or 255) of frames low <= t < high that have any.

    They are the effects that the effects stage found, and the remover's difference masks.
    """
    out = effect_masks(plan, folder, low, high)
    shown = _shown_fills(plan, folder, low, high)
    for (task, table), group in groupby(sorted(shown), shown.__getitem__):
        frames = list(group)
        path = gray_path(folder.existing("fill", f"{task.id}.mkv"), "changed")
        masks = load_masks(path, table, frames[0] - task.span.start, frames[-1] + 1 - task.span.start)
        for t, mask in enumerate(masks, frames[0]):
            if not mask.empty:
                out[t] = out[t].union(mask) if t in out else mask
    return out
