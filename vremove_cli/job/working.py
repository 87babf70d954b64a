"""Working: the tasks of a plan, one after another, together with other processes that work on the same folder."""

import time
from dataclasses import dataclass, field
from typing import Any

from vremove_cli.errors import NothingError, UsageError, VremoveError
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.events import Emit, TaskDone, Waiting
from vremove_cli.job.mask_store import mask_results
from vremove_cli.job.plan import EMPTY_MASK, SHRUNK_MASK, InputWatch, Plan, full_mask, nothing_to_erase
from vremove_cli.job.stages.kinds import MASK_STAGES, STAGES
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.removers import registry


@dataclass
class Tally:
    """Which tasks were done.

    Attributes:
        done: Ids of the tasks that this process did.
        reused: Ids of those that were done already.
    """

    done: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)

    def counted(self, started: float) -> dict[str, Any]:
        """Return the fields of a summary that say what this run did; `started` is by the monotonic clock."""
        return {"seconds": time.monotonic() - started, "done": len(self.done), "reused": len(self.reused)}


def do_tasks(
    plan: Plan,
    folder: WorkFolder,
    only: str | None,
    emit: Emit,
    watch: InputWatch,
    kinds: tuple[str, ...] = tuple(STAGES),
) -> Tally:
    """Do every task that is left, in an order that its needs allow; wait for what another process is doing."""
    tally = Tally()
    wanted = [t for t in plan.tasks_of(*kinds) if only is None or t.id == only]
    left = {t.id: t for t in wanted if not folder.finished(t.id)}
    for task in wanted:
        if task.id not in left:
            tally.reused.append(task.id)
            emit(TaskDone(task.id, reused=True))
    if any(t.kind == "fill" for t in left.values()):
        registry.spec_of(plan.remover)  # before hours of work: the remover may not be installed here
    if only in left and not _ready(left[only], folder):
        raise UsageError(f"task {only} needs {', '.join(left[only].needs)} first", "run those tasks before")
    stage, waiting = "", Waiting(emit, f"does the tasks of {folder.path} that are left")
    while left:
        first = next(iter(left.values())).kind
        if first not in MASK_STAGES and stage in ("", *MASK_STAGES):
            check_masks(plan, folder)
        watch.check(always=first != stage)
        stage = first
        finished = _first_done(plan, left, folder, tally, emit)
        if finished is not None:
            emit(TaskDone(finished.id))
            del left[finished.id]
        else:
            if not folder.plan.exists():
                raise VremoveError(f"the work folder {folder.path} has gone", "run the command again")
            waiting.wait()
    return tally


def _ready(task: Task, folder: WorkFolder) -> bool:
    return all(folder.finished(needed) for needed in task.needs)


def _first_done(plan: Plan, left: dict[str, Task], folder: WorkFolder, tally: Tally, emit: Emit) -> Task | None:
    """Do the first task that is ready and that no other process has; return it, or one that another has just done."""
    for task in left.values():
        if not _ready(task, folder):
            continue
        if _do(plan, task, folder, emit):
            tally.done.append(task.id)
            return task
        if folder.finished(task.id):
            tally.reused.append(task.id)
            return task
    return None


def _do(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> bool:
    """Do a task unless another process has it or has just finished it."""
    with folder.lease(task.id) as acquired:
        if not acquired or folder.finished(task.id):
            return False
        started = time.monotonic()
        result = STAGES[task.kind].run(plan, task, folder, emit)
        folder.finish(task.id, result, time.monotonic() - started)
        return True


def check_masks(plan: Plan, folder: WorkFolder) -> None:
    """Raise `NothingError` when nothing was found, or everything is masked."""
    frames = found = full = 0
    for task, result in mask_results(plan, folder):
        frames += task.span.length
        found += result.table.used
        full += result.full
    if not found:
        what = EMPTY_MASK if plan.request.mask_file else "nothing was found at the prompt"
        raise nothing_to_erase(what)
    plates = [folder.result(t.id, PlateResult) for t in plan.tasks_of("plate")]
    if plates and not any(r is None or r.recovered + r.doubtful + r.unseen for r in plates):
        raise nothing_to_erase(SHRUNK_MASK)
    if full == frames:
        raise full_mask()
    if plates and sum(r.unseen for r in plates if r) == plan.span.length * plan.clip.width * plan.clip.height:
        raise NothingError(
            "the mask covers the whole picture on every frame once it is grown",
            "give a smaller --grow or a smaller mask",
        )
