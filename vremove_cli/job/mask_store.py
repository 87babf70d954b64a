"""Masks in the work folder, as the other tasks see them, and what should be said about them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from vremove_cli.frame_ranges import FrameRange, ranges_of, ranges_text
from vremove_cli.geometry import Placed
from vremove_cli.job.events import Note
from vremove_cli.job.object_prompts import is_affected
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import CropTable, load_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.tracking.base import ABSENT, DOUBTFUL, FOUND_AGAIN, NO_OBJECT

_IF_OTHER = "if that is something else, add a point on the object, or --not-point on it"
_IF_THERE = "nothing is erased there; if the object is there, add a point"
_OF_A_PICTURE = {
    "uncertain": "the mask is uncertain: look at it, and add a point or a box if it is wrong",
    "found_again": f"found again: {_IF_OTHER}",
    "not_found": f"not found: {_IF_THERE}",
}  # what is said, by kind of note, where there is one frame alone
UNCERTAIN = 0.77  # expected IoU with the truth below which a frame should be looked at: see docs/masks.md


@dataclass(frozen=True)
class MaskResult:
    """What a task that made an object's masks leaves.

    Attributes:
        masks: Where the masks lie; None of a backward correction that changed nothing.
        confidence: Expected IoU with the truth (0 to 1), frame by frame; empty for the user's own mask.
        remarks: Remarks of the tracker, by frame.
        full: Frames on which everything is masked.
        areas: Pixels inside the mask, frame by frame.
    """

    masks: CropTable | None
    confidence: tuple[float, ...] = ()
    remarks: dict[int, str] | None = None
    full: int = 0
    areas: tuple[int, ...] = ()

    @property
    def table(self) -> CropTable:
        """Where the masks lie, of a task that has some."""
        assert self.masks is not None
        return self.masks

    def remark(self, frame: int) -> str:
        """Return the tracker's remark on a frame; "" without one."""
        return (self.remarks or {}).get(frame, "")


def mask_results(
    plan: Plan, folder: WorkFolder, target: str | None = None, *, affected: bool = False, span: FrameRange | None = None
) -> Iterator[tuple[Task, MaskResult]]:
    """Yield the finished tasks that hold masks and their results, one for each segment and object.

    Args:
        plan: The plan.
        folder: The work folder.
        target: Name of the only object that is wanted.
        affected: Whether objects that will move are wanted, and not those that are erased.
        span: The only frames that are wanted.
    """
    corrections = {t.needs[0]: t for t in plan.tasks_of("backward_correction")}
    for task in plan.tasks_of("track", "mask"):
        wanted = task.target == target if target is not None else is_affected(task.target) == affected
        if not wanted or (span is not None and not task.span.overlaps(span)):
            continue
        corrected = corrections.get(task.id)
        if corrected is not None:
            result = folder.result(corrected.id, MaskResult)
            if result is not None and result.masks is not None:
                yield corrected, result
                continue
        result = folder.result(task.id, MaskResult)
        if result is not None:
            yield task, result


def object_masks(
    plan: Plan, folder: WorkFolder, low: int, high: int, target: str | None = None, *, affected: bool = False
) -> dict[int, Placed]:
    """Return masks of all objects together.

    Args:
        plan: The plan.
        folder: The work folder.
        low: First frame.
        high: Frame after the last.
        target: Name of the only object that is wanted.
        affected: Whether objects that will move are wanted, and not those that are erased.

    Returns:
        Soft masks uint8, 128 and more inside, by frame; frames without any are left out.
    """
    results = mask_results(plan, folder, target, affected=affected, span=FrameRange(low, high))
    return union_of_masks(folder, "masks", ((t, r.table) for t, r in results), FrameRange(low, high))


def union_of_masks(
    folder: WorkFolder, subfolder: str, tables: Iterator[tuple[Task, CropTable]], span: FrameRange
) -> dict[int, Placed]:
    """Return the union (larger value) of masks that tasks left in a subfolder, uint8, by frame of `span`."""
    out: dict[int, Placed] = {}
    for task, table in tables:
        if not task.span.overlaps(span):
            continue
        first, last = max(span.start, task.span.start), min(span.stop, task.span.stop)
        path = folder.existing(subfolder, f"{task.id}.mkv")
        for t, mask in enumerate(load_masks(path, table, first - task.span.start, last - task.span.start), first):
            if not mask.empty:
                out[t] = out[t].union(mask) if t in out else mask
    return out


def confidences(plan: Plan, folder: WorkFolder) -> dict[int, float]:
    """Return the least confidence of any object on each tracked frame."""
    out: dict[int, float] = {}
    for task, result in mask_results(plan, folder):
        for t, confidence in enumerate(result.confidence, task.span.start):
            out[t] = min(confidence, out.get(t, 1.0))
    return out


def first_mask_note(plan: Plan, task: Task, frame: int, remark: str) -> Note | None:
    """Return what to say about the mask on a prompted frame; None when all is well."""
    if remark not in (DOUBTFUL, NO_OBJECT):
        return None
    where = "the mask" if plan.clip.frames == 1 else f"frame {frame}"
    text = f"{_label(task.target)}{remark}: look at {where}, and give a box or more points if it is wrong"
    return Note(text, "first_mask", ((frame, frame),), task.target)


def mask_notes(plan: Plan, folder: WorkFolder) -> list[Note]:
    """Return notes that name the frames whose mask a person should check, object by object."""
    notes: list[Note] = []
    uncertain: dict[str, list[int]] = {}
    again: dict[str, list[int]] = {}
    absent: dict[str, list[int]] = {}
    for task, result in chain(mask_results(plan, folder), mask_results(plan, folder, affected=True)):
        name, remarks = task.target, result.remarks or {}
        notes += filter(None, (first_mask_note(plan, task, t, remark) for t, remark in remarks.items()))
        again.setdefault(name, []).extend(t for t, r in remarks.items() if r == FOUND_AGAIN)
        absent.setdefault(name, []).extend(t for t, r in remarks.items() if r == ABSENT)
        low = (t for t, c in enumerate(result.confidence, task.span.start) if c < UNCERTAIN)
        if plan.clip.frames == 1 and set(remarks.values()) & {DOUBTFUL, NO_OBJECT}:
            continue  # that was said of the only mask there is
        uncertain.setdefault(name, []).extend(t for t in low if remarks.get(t) != ABSENT)
    for name, doubted in uncertain.items():
        for kind, frames, text in (
            ("uncertain", doubted, "frames {} are uncertain: add a point there, or a box"),
            ("found_again", again[name], f"found again at frame {{}}: {_IF_OTHER}"),
            ("not_found", absent[name], f"not found in frames {{}}: {_IF_THERE}"),
        ):
            if frames:
                ranges = ranges_of(frames)
                said = _OF_A_PICTURE[kind] if plan.clip.frames == 1 else text.format(ranges_text(ranges))
                notes.append(Note(_label(name) + said, kind, ranges, name))
    return notes


def _label(name: str) -> str:
    return f"{name}: " if name else ""
