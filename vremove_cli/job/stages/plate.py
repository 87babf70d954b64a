"""The plate stage: what other frames show of a segment's holes."""

from collections import Counter

import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import NOWHERE, Array, Placed, bounds
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.erase_mask import BackgroundResult, effect_masks, erase_masks
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.background import load_model
from vremove_cli.job.stages.base import StageKind
from vremove_cli.job.task_graph import Task, frames_in_reach
from vremove_cli.job.workdir.artifacts import PatchWriter
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.read import Clip
from vremove_cli.plate.confidence import NEVER_SEEN, recovered_mask, unrecovered_mask
from vremove_cli.plate.hole import hole_box
from vremove_cli.plate.recover import affordable_reach, recover
from vremove_cli.plate.reference import clean_planes


def run_plate(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> PlateResult:
    """Recover what other frames show of a segment's holes."""
    reach = frames_in_reach(task.span, plan.span, plan.clip)
    masks = erase_masks(plan, folder, *reach)
    reach = affordable_reach(plan.clip, task.span, reach, masks)
    boxes = [hole_box(masks[t], plan.clip, plan.request.feather) if t in masks else NOWHERE for t in range(*task.span)]
    pictures = _clean_pictures(plan, reach, masks)
    (background,) = (t for t in plan.tasks_of("background") if t.span == task.span)
    model = load_model(plan, folder, background, frames_in_reach(task.span, plan.span, plan.clip))
    distrust_rim = (
        not (pictures or _effects_clear(plan, folder, task))
        or plan.request.effects == "off"
        or bool(effect_masks(plan, folder, *task.span))
    )
    progress = _Progress(plan, task, reach, emit)
    counts, to_fill = Counter[str](), NOWHERE
    nothing = np.zeros((0, 0), np.uint8)
    with PatchWriter(folder.file("plate", f"{task.id}.mkv"), plan.clip.layout, boxes, ("matte", "sure")) as writer:
        for _, found in recover(
            Clip(plan.clip),
            task.span,
            reach,
            masks,
            plan.request.feather,
            model,
            pictures,
            distrust_rim=distrust_rim,
            tick=progress.tick,
        ):
            if found is None:
                writer.write((), nothing, nothing)
                continue
            wanted = bounds(pixels_to_fill(found.matte, found.confidence, recovers=plan.request.recover == "on"))
            to_fill = to_fill.union(wanted.moved(found.box.x0, found.box.y0))
            writer.write(found.planes, found.matte, found.confidence)
            counts += _count(found.confidence[found.matte == 255])
    return PlateResult(
        writer.table,
        (to_fill.x0, to_fill.y0, to_fill.x1, to_fill.y1),
        recovered=counts["recovered"],
        doubtful=counts["doubtful"],
        unseen=counts["unseen"],
    )


class _Progress:
    """Turns steps of recovery into frames of the whole range."""

    def __init__(self, plan: Plan, task: Task, reach: FrameRange, emit: Emit) -> None:
        self._plan, self._emit = plan, emit
        self._steps, self._length, self._done = reach.length + task.span.length, task.span.length, 0
        self._before = sum(t.span.length for t in plan.tasks_of("plate") if t.span.start < task.span.start)

    def tick(self) -> None:
        """Count one step."""
        self._done += 1
        frames = self._before + round(self._done / self._steps * self._length)
        self._emit(Progress("plate", frames, self._plan.span.length))


def pixels_to_fill(matte: Array, confidence: Array, *, recovers: bool) -> Array:
    """Return the pixels of a hole that a remover fills, (h, w) bool: those that no frame shows, or the whole hole."""
    return np.asarray(unrecovered_mask(confidence) if recovers else matte > 0)


def _effects_clear(plan: Plan, folder: WorkFolder, task: Task) -> bool:
    """Return whether the effects in reach were decided with certainty."""
    ids = {t.id for t in plan.tasks_of("background")} & set(task.needs)
    results = (folder.result(name, BackgroundResult) for name in sorted(ids))
    return all(result is None or result.clear for result in results)


def _clean_pictures(plan: Plan, reach: FrameRange, masks: dict[int, Placed]) -> dict[int, tuple[Array, ...]]:
    """Return components of the frames that the user gave a clean picture of."""
    clip, out = Clip(plan.clip), {}
    for t, picture in plan.references.items():
        if reach.holds(t) and t in masks:
            (frame,) = clip.frames(t, t + 1)
            out[t] = clean_planes(Clip(picture), clip, frame, masks[t])
    return out


def _count(confidence: Array) -> Counter[str]:
    """Return the erased pixels by how they were found."""
    good, never = int(recovered_mask(confidence).sum()), int((confidence == NEVER_SEEN).sum())
    return Counter(recovered=good, doubtful=int((confidence > 0).sum()) - good - never, unseen=never)


STAGE = StageKind(
    "plate",
    PlateResult,
    run_plate,
    depends_on=("effects", "feather", "grow", "recover", "reference", "skip_errors"),
    reads=("clip", "reference"),
)
