"""What is erased: the objects, grown, and their shadows and reflections; and the task that finds the latter."""

from typing import Any

import cv2
import numpy as np

from vremove_cli.detection.contact import extend_down
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Placed, bounds
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.mask_store import consecutive_spans, object_masks, union_of_masks
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task, frames_in_reach
from vremove_cli.job.workdir.artifacts import save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.masks.morphology import auto_grow, blur_grow, grow
from vremove_cli.media.read import Clip
from vremove_cli.plate.effects import WIDTH, find_effects
from vremove_cli.removers.void.quadmask import CHANGED

_FRINGE = 2  # small pixels round the object that are not looked at: its soft border


def run_effects(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> dict[str, Any]:
    """Find the shadows and reflections of a segment's objects, or read them from the user's file."""
    start, stop = task.span

    def tick(done: int) -> None:
        emit(Progress("effects", start - plan.span.start + min(done, stop - start), plan.span.length))

    if plan.effects is not None:
        source = MaskFile(plan.effects, plan.clip)
        found = [Placed.tight(mask) for mask in source.read(start, stop)]
        verdict, clear = "shadows and reflections are those of the file given", True
    else:
        found, verdict, clear = _found(plan, task, folder, tick)
    where = save_masks(folder.file("effects", f"{task.id}.mkv"), found)
    tick(stop - start)
    return {"effects": where, "found": any(not m.empty for m in found), "verdict": verdict, "clear": clear}


def _found(plan: Plan, task: Task, folder: WorkFolder, tick: Any) -> tuple[list[Placed], str, bool]:
    low, high = frames_in_reach(task.span, plan.span, plan.clip)
    objects = _grown_objects(plan, folder, low, high)
    clip = plan.clip
    scale = min(1.0, WIDTH / max(clip.width, clip.height))
    size = (max(1, round(clip.width * scale)), max(1, round(clip.height * scale)))
    rgb = np.empty((high - low, size[1], size[0], 3), np.uint8)
    masks = np.zeros(rgb.shape[:3], bool)
    for frame in Clip(clip).frames(low, high):
        rgb[frame.index - low] = frame.rgb8(size)
        if frame.index in objects:
            masks[frame.index - low] = _shrunk(objects[frame.index].full(clip.width, clip.height), size)
    start, stop = task.span
    effects = find_effects(rgb, masks, FrameRange(start - low, stop - low), tick)
    empty = Placed.nothing()
    found = [_enlarged(effects.masks[t], clip.width, clip.height) if t in effects.masks else empty
             for t in range(start - low, stop - low)]  # fmt: skip
    return found, effects.verdict, effects.clear


def _shrunk(mask: Array, size: tuple[int, int]) -> Array:
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grow((small > 0).astype(np.uint8), _FRINGE) > 0)


def _enlarged(mask: Array, width: int, height: int) -> Placed:
    soft = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return Placed.tight((soft > 127).astype(np.uint8) * 255)


def affected_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """What will change once the object is gone, binary, for frames low <= t < high that have any: as the user's file
    says, or what was followed, and where it will fall, down to where the object stood."""
    if plan.affected is None:
        followed = object_masks(plan, folder, low, high, affected=True)
        objects = object_masks(plan, folder, low, high) if followed else {}
        return {t: _falling(plan, mask.inside(), objects.get(t)) for t, mask in followed.items()}
    levels = CHANGED if plan.request.quadmask else ()
    masks = enumerate(MaskFile(plan.affected, plan.clip, what="affected", levels=levels).read(low, high), low)
    return {t: Placed.tight(mask) for t, mask in masks if mask.any()}


def _falling(plan: Plan, moved: Placed, gone: Placed | None) -> Placed:
    """What will move with the way it falls, down to the lowest pixel of the object that is gone: 0 or 255."""
    if gone is None or moved.empty:
        return moved
    size, turn = (plan.clip.width, plan.clip.height), plan.clip.orientation
    lowest = bounds(turn.display(gone.inside().full(*size))).y1 - 1
    return Placed.tight(turn.store(extend_down(turn.display(moved.full(*size)), lowest)))


def effect_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Shadows and reflections, binary, for frames low <= t < high; frames without any are left out."""
    done = ((t, r) for t in plan.tasks if t.kind == "effects" and (r := folder.result(t.id)) is not None)
    return union_of_masks(folder, "effects", done, low, high)


def effect_notes(plan: Plan, folder: WorkFolder) -> list[str]:
    """What was decided about shadows and reflections, with the frames it is true of."""
    said: dict[str, list[int]] = {}
    for task in plan.tasks:
        result = folder.result(task.id) if task.kind == "effects" else None
        if result is not None:
            said.setdefault(result["verdict"], []).extend(range(*task.span))
    if len(said) == 1:
        return [f"effects: {verdict}" for verdict in said]
    return [
        f"effects, frames {', '.join(f'{a}-{b}' for a, b in consecutive_spans(frames))}: {verdict}"
        for verdict, frames in said.items()
    ]


def unused_reference_notes(plan: Plan, folder: WorkFolder) -> list[str]:
    """Sentences about clean pictures of frames in which nothing is erased."""
    return [
        f"the reference {picture.path} is for frame {t}, where nothing is erased: it was not used (add @WHEN)"
        for t, picture in plan.references.items()
        if t not in erase_masks(plan, folder, t, t + 1)
    ]


def _grow_by(plan: Plan, masks: dict[int, Placed]) -> dict[int, int]:
    """Pixels that each frame's mask is grown by: as asked, or from the object's usual size and its motion blur."""
    if plan.request.grow is not None:
        return dict.fromkeys(masks, plan.request.grow)
    tracked = plan.request.mask is None
    areas = [np.count_nonzero(m.values) for m in masks.values()]
    base = auto_grow(float(np.median(areas)), tracked=tracked) if areas else 0
    return {t: base + px for t, px in blur_grow({t: m.box for t, m in masks.items()}).items()}


def _grown_objects(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Objects' masks (0 or 255), grown, for frames low <= t < high."""
    found = {t: mask.inside() for t, mask in object_masks(plan, folder, low, high).items()}
    px = _grow_by(plan, found)
    size = (plan.clip.width, plan.clip.height)
    out = {}
    for t in list(found):
        mask = found.pop(t)
        box = mask.box.grow(max(px[t], 1)).clip(*size)  # a rim of nothing, for a mask that is shrunk
        grown = Placed(box, grow(mask.on(box), px[t]))
        if not grown.empty:
            out[t] = grown
    return out


def erase_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """All that is erased in frames low <= t < high, inside the frame: grown objects and their effects."""
    out = _grown_objects(plan, folder, low, high)
    for t, effect in effect_masks(plan, folder, low, high).items():
        out[t] = out[t].united(effect) if t in out else effect
    return out
