"""The effects stage: shadows and reflections of a segment's objects, found or read from the user's file."""

from collections.abc import Callable

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed
from vremove_cli.job.erase_mask import EffectsResult, grown_objects
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.base import StageKind
from vremove_cli.job.task_graph import Task, frames_in_reach
from vremove_cli.job.workdir.artifacts import save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.masks.morphology import grow
from vremove_cli.media.read import Clip
from vremove_cli.plate.effects import WIDTH, find_effects

_FRINGE = 2  # pixels of the small picture around the object that are not looked at: its soft border


def run_effects(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> EffectsResult:
    """Find the shadows and reflections of a segment's objects, or read them from the user's file."""
    start, length = task.span.start, task.span.length

    def tick(done: int) -> None:
        emit(Progress("effects", start - plan.span.start + min(done, length), plan.span.length))

    if plan.effects is not None:
        masks = [Placed.tight(mask) for mask in MaskFile(plan.effects, plan.clip).read(*task.span)]
        verdict, clear = "shadows and reflections are those of the file given", True
    else:
        masks, verdict, clear = _find(plan, task, folder, tick)
    table = save_masks(folder.file("effects", f"{task.id}.mkv"), masks)
    tick(length)
    return EffectsResult(table, verdict=verdict, clear=clear)


def _find(plan: Plan, task: Task, folder: WorkFolder, tick: Callable[[int], None]) -> tuple[list[Placed], str, bool]:
    """Return a segment's effects, the verdict and whether it is clear."""
    low, high = frames_in_reach(task.span, plan.span, plan.clip)
    objects = grown_objects(plan, folder, low, high)
    clip = plan.clip
    scale = min(1.0, WIDTH / max(clip.width, clip.height))
    size = (max(1, round(clip.width * scale)), max(1, round(clip.height * scale)))
    rgb = np.empty((high - low, size[1], size[0], 3), np.uint8)
    masks = np.zeros(rgb.shape[:3], bool)
    for frame in Clip(clip).frames(low, high):
        rgb[frame.index - low] = frame.rgb8(size)
        if frame.index in objects:
            masks[frame.index - low] = _shrink(objects[frame.index].full(clip.width, clip.height), size)
    span = FrameRange(task.span.start - low, task.span.stop - low)
    effects = find_effects(rgb, masks, span, tick)
    found = [
        _enlarge(effects.masks[t], clip.width, clip.height) if t in effects.masks else Placed.nothing()
        for t in range(*span)
    ]
    return found, effects.verdict, effects.clear


def _shrink(mask: Array, size: tuple[int, int]) -> Array:
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grow((small > 0).astype(np.uint8), _FRINGE) > 0)


def _enlarge(mask: Array, width: int, height: int) -> Placed:
    soft = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return Placed.tight((soft > 127).astype(np.uint8) * 255)


STAGE = StageKind(
    "effects", EffectsResult, run_effects, depends_on=("effects", "grow", "skip_errors"), reads=("clip", "effects")
)
