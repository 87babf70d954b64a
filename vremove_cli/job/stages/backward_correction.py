"""The stage that carries a correction of a later segment back through this one, until both agree."""

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.events import Emit
from vremove_cli.job.mask_store import MaskResult
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.base import StageKind
from vremove_cli.job.stages.propagation import (
    correct_backward,
    drop_state,
    finish_masks,
    has_state,
    load_state,
    open_segment,
    small_mask,
    store_result,
)
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import load_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.tracking.base import TrackResult


def run_backward_correction(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> MaskResult:
    """Carry a correction back through a segment that was tracked before; without one, change nothing."""
    assert task.origin is not None
    own, later = task.needs
    drop_state(folder, task.id, "correction")
    if not has_state(folder, later, "correction"):
        return MaskResult(None)
    state = load_state(folder, later, "correction")
    segment = open_segment(plan, task, folder, emit, state)
    tracked = folder.result(own, MaskResult)
    assert tracked is not None
    masks = dict(enumerate(load_masks(folder.existing("masks", f"{own}.mkv"), tracked.table), task.span.start))
    before = {
        t: TrackResult(small_mask(segment, masks[t]), confidence, tracked.remark(t))
        for t, confidence in enumerate(tracked.confidence, task.span.start)
    }
    path = dict(before)
    correct_backward(segment, state, task.span.stop, task.origin, path)
    first = min((t for t in path if path[t] is not before[t]), default=task.span.stop)
    masks |= finish_masks(segment, path, FrameRange(first, task.span.stop))
    return store_result(segment, masks, path)


STAGE = StageKind(
    "backward_correction", MaskResult, run_backward_correction, depends_on=(), tracker=True, prompts="frames"
)
