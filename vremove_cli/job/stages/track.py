"""The tracking stage: one object through one segment, or the user's own masks of it."""

from vremove_cli.errors import NothingError
from vremove_cli.geometry import Placed
from vremove_cli.job.events import Emit, Progress
from vremove_cli.job.mask_store import MaskResult, first_mask_note
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.base import StageKind
from vremove_cli.job.stages.propagation import (
    Segment,
    correct_backward,
    drop_state,
    finish_masks,
    load_state,
    open_segment,
    store_result,
)
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.artifacts import save_masks
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import MaskFile
from vremove_cli.removers.void.quadmask import is_erased
from vremove_cli.tracking.base import NO_OBJECT, TrackerState, TrackResult


def run_mask_import(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> MaskResult:
    """Read the user's masks of a segment."""
    assert plan.mask is not None
    select = is_erased if plan.request.quadmask else None
    source = MaskFile(plan.mask, plan.clip, invert=plan.request.invert_mask, select=select)
    masks, full = [], 0
    for i, mask in enumerate(source.read(*task.span)):
        masks.append(Placed.tight(mask))
        full += bool(mask.all())
        emit(Progress("track", task.span.start - plan.span.start + i + 1, plan.span.length))
    table = save_masks(folder.file("masks", f"{task.id}.mkv"), masks)
    return MaskResult(table, full=full, areas=tuple(m.area for m in masks))


def run_track(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> MaskResult:
    """Follow one object through a segment: from its first prompt both ways, or on from the neighbouring segment.

    The states at both ends are stored for the neighbours, and the one after a correction for the segment before.
    """
    start, stop = task.span
    assert task.origin is not None
    state = None
    if not start <= task.origin < stop:
        state = load_state(folder, task.needs[0], "forward" if start > task.origin else "backward")
    segment = open_segment(plan, task, folder, emit, state)
    path = _Path(segment, emit)
    states: dict[int, TrackerState] = {}
    if state is None or start > task.origin:
        first = task.origin if state is None else start
        entry = state
        for t, result, state in segment.propagate(range(first, stop), entry, segment.prompts):
            path.add(t, result)
            if t in segment.prompts:
                states[t] = state
        assert state is not None
        segment.save_state("forward", state)
        state = states.get(task.origin)
    if start <= task.origin:  # the segment before wants the state after a first frame, too
        assert state is not None
        entry = state
        for t, result, state in segment.propagate(range(min(task.origin, stop) - 1, start - 1, -1), entry, {}):  # noqa: B007
            path.add(t, result)
        segment.save_state("backward", state)
    drop_state(folder, task.id, "correction")
    for frame in sorted(f for f in states if f != task.origin):
        correct_backward(segment, states[frame], frame, frame, path.results)
    return store_result(segment, finish_masks(segment, path.results, task.span), path.results)


class _Path:
    """Results of a segment as they come, reported as progress.

    Attributes:
        results: Results by frame.
    """

    def __init__(self, segment: Segment, emit: Emit) -> None:
        self.results: dict[int, TrackResult] = {}
        self._segment, self._emit = segment, emit
        tasks = list(segment.plan.tasks_of("track"))
        finished = (t for t in tasks if t.id != segment.task.id and segment.folder.finished(t.id))
        self._before, self._total = (sum(t.span.length for t in some) for some in (finished, tasks))

    def add(self, frame: int, result: TrackResult) -> None:
        """Take a frame's result."""
        self.results[frame] = result
        self._emit(Progress("track", self._before + len(self.results), self._total))
        if frame == self._segment.task.origin:
            self._report_first(frame, result.remark)

    def _report_first(self, frame: int, remark: str) -> None:
        """Say at once when the first mask is doubtful; raise `NothingError` when a point lies on no object at all."""
        task = self._segment.task
        if remark == NO_OBJECT and not self._segment.prompts[frame].boxes:
            name = f" of {task.target}" if task.target else ""
            where = "" if self._segment.plan.clip.frames == 1 else f" on frame {frame}"
            raise NothingError(
                f"nothing stands out at the point{name}{where}", "give a box around the object, or a mask"
            )
        doubt = first_mask_note(self._segment.plan, task, frame, remark)
        if doubt and self._segment.plan.clip.frames > 1:  # of one picture it is said in a moment anyway
            self._emit(doubt)


MASK_STAGE = StageKind(
    "mask",
    MaskResult,
    run_mask_import,
    depends_on=("invert_mask", "mask", "quadmask", "skip_errors"),
    reads=("clip", "mask"),
)
STAGE = StageKind("track", MaskResult, run_track, depends_on=("skip_errors", "static"), tracker=True, prompts="in span")
