"""Erase masks: the objects, grown, with their shadows and reflections. Affected masks: what will move without them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from vremove_cli.detection.contact import extend_down
from vremove_cli.frame_ranges import FrameRange, ranges_of, ranges_text
from vremove_cli.geometry import Box, Placed, bounds
from vremove_cli.job.events import Note
from vremove_cli.job.mask_store import mask_results, object_masks, union_of_masks
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.artifacts import CropTable
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.masks.morphology import auto_grow, blur_grow, grow
from vremove_cli.removers.void.quadmask import is_affected


@dataclass(frozen=True)
class BackgroundResult:
    """What a task of the background stage leaves.

    Attributes:
        effects: Where the masks lie.
        verdict: What was decided, for the summary; empty where nothing was to be decided.
        clear: Whether the decision is certain enough for the plate to trust the rest of the picture.
    """

    effects: CropTable
    verdict: str
    clear: bool


def effect_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Return shadows and reflections (0 or 255) of frames low <= t < high; frames without any are left out."""
    span = FrameRange(low, high)
    results = ((t, folder.result(t.id, BackgroundResult)) for t in plan.tasks_of("background") if t.span.overlaps(span))
    return union_of_masks(folder, "background", ((t, r.effects) for t, r in results if r is not None), span)


def effect_notes(plan: Plan, folder: WorkFolder) -> list[Note]:
    """Return what was decided about shadows and reflections, with the frames that it is true of."""
    verdicts: dict[str, list[int]] = {}
    for task in plan.tasks_of("background"):
        result = folder.result(task.id, BackgroundResult)
        if result is not None and result.verdict:
            verdicts.setdefault(result.verdict, []).extend(range(*task.span))
    notes = []
    for verdict, frames in verdicts.items():
        ranges = ranges_of(frames)
        where = "effects" if len(verdicts) == 1 else f"effects, frames {ranges_text(ranges)}"
        notes.append(Note(f"{where}: {verdict}", "effects", ranges))
    return notes


def unused_reference_notes(plan: Plan, folder: WorkFolder) -> list[Note]:
    """Return notes on clean pictures of frames on which nothing is erased."""
    text = "the reference {} is for frame {}, where nothing is erased: it was not used (add @WHEN)"
    return [
        Note(text.format(picture.path, t), "reference", ((t, t),))
        for t, picture in plan.references.items()
        if t not in erase_masks(plan, folder, t, t + 1)
    ]


def erase_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Return all that is erased (0 or 255) on frames low <= t < high: grown objects and their effects."""
    out = grown_objects(plan, folder, low, high)
    for t, effect in effect_masks(plan, folder, low, high).items():
        out[t] = out[t].union(effect) if t in out else effect
    return out


def grown_objects(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Return the objects' masks (0 or 255), grown, of frames low <= t < high."""
    found = {t: mask.binarize() for t, mask in object_masks(plan, folder, low, high).items()}
    pixels = _growth(plan, folder, FrameRange(low, high))
    size = (plan.clip.width, plan.clip.height)
    out = {}
    for t in list(found):
        mask = found.pop(t)
        box = mask.box.grow(max(pixels[t], 1)).clip(*size)  # one empty pixel around a mask that is shrunk
        grown = Placed(box, grow(mask.on(box), pixels[t]))
        if not grown.empty:
            out[t] = grown
    return out


def _growth(plan: Plan, folder: WorkFolder, span: FrameRange) -> dict[int, int]:
    """Return the pixels that each frame's masks grow by: as requested, or from the objects' size and motion blur.

    Size and motion are those of the whole segments that tracking left, so that a frame grows alike whatever range asks.
    """
    if plan.request.grow != "auto":
        return dict.fromkeys(range(*span), plan.request.grow)
    areas: dict[FrameRange, Counter[int]] = {}
    boxes: dict[FrameRange, dict[int, Box]] = {}
    for task, result in mask_results(plan, folder, span=span):
        for k, t in enumerate(range(*task.span)):
            box = result.table.box(k)
            if not box.empty:
                areas.setdefault(task.span, Counter())[t] += result.areas[k]
                known = boxes.setdefault(task.span, {})
                known[t] = known[t].union(box) if t in known else box
    out: dict[int, int] = {}
    for segment, by_frame in areas.items():
        base = auto_grow(float(np.median(list(by_frame.values()))), tracked=plan.tracked)
        out |= {t: base + px for t, px in blur_grow(boxes[segment]).items()}
    return out


def affected_masks(plan: Plan, folder: WorkFolder, low: int, high: int) -> dict[int, Placed]:
    """Return what will change once the object is gone (0 or 255), on frames low <= t < high that have any.

    The masks are the user's file, or the tracked objects with the pixels below them, down to the erased object's lowest
    row.
    """
    if plan.affected is None:
        tracked = object_masks(plan, folder, low, high, affected=True)
        objects = object_masks(plan, folder, low, high) if tracked else {}
        return {t: _with_fall(plan, mask.binarize(), objects.get(t)) for t, mask in tracked.items()}
    select = is_affected if plan.request.quadmask else None
    masks = enumerate(MaskFile(plan.affected, plan.clip, what="affected", select=select).read(low, high), low)
    return {t: Placed.tight(mask) for t, mask in masks if mask.any()}


def _with_fall(plan: Plan, moved: Placed, erased: Placed | None) -> Placed:
    """Return what will move with the way it falls, down to the lowest pixel of the erased object."""
    if erased is None or moved.empty:
        return moved
    size, orientation = (plan.clip.width, plan.clip.height), plan.clip.orientation
    lowest = bounds(orientation.display(erased.binarize().full(*size))).y1 - 1
    return Placed.tight(orientation.store(extend_down(orientation.display(moved.full(*size)), lowest)))
