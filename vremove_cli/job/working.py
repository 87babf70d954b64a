"""Working: the tasks of a plan, one after another, together with other processes that work on the same folder."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from vremove_cli.errors import NothingError, UsageError, VremoveError
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.events import Emit, TaskDone, Waiting
from vremove_cli.job.mask_store import mask_results
from vremove_cli.job.plan import EMPTY_MASK, SHRUNK_MASK, InputWatch, Plan, full_mask, nothing_to_erase
from vremove_cli.job.stages.base import Rest
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
    with _Worker(plan, folder, tally, emit) as worker:
        while left:
            first = next(iter(left.values())).kind
            if first not in MASK_STAGES and stage in ("", *MASK_STAGES):
                check_masks(plan, folder)
            watch.check(always=first != stage)
            stage = first
            finished = worker.first_done(left)
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


@dataclass(frozen=True)
class _Pending:
    """A task whose rest runs in a thread.

    Attributes:
        task: The task.
        result: Its result, once it is there.
        lease: Holds the task's lease until it is closed.
        started: When the task began, by the monotonic clock, in seconds.
    """

    task: Task
    result: Future[Any]
    lease: ExitStack
    started: float


class _Worker:
    """Does tasks one after another; the rest of one task runs beside the next one.

    Args:
        plan: The plan.
        folder: Its work folder.
        tally: Gets the tasks that are done.
        emit: Gets notes and progress.
    """

    def __init__(self, plan: Plan, folder: WorkFolder, tally: Tally, emit: Emit) -> None:
        self._plan, self._folder, self._tally, self._emit = plan, folder, tally, emit
        self._thread = ThreadPoolExecutor(1)
        self._pending: _Pending | None = None

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.shutdown()  # a rest that runs is waited for; after an error its result is not recorded
        if self._pending is not None:
            self._pending.lease.close()

    def first_done(self, left: dict[str, Task]) -> Task | None:
        """Do the first task that is ready and that no other process has.

        Args:
            left: The tasks that are left, by id.

        Returns:
            A task that is done: that one, one that another process has just done, or the one before, whose rest ran
            beside it. None when nothing can be done now.
        """
        for task in left.values():
            if self._is_pending(task) or not _ready(task, self._folder):
                continue
            done = self._do(task)
            if done is not None:
                return done
            if self._folder.finished(task.id):
                self._tally.reused.append(task.id)
                return task
            if self._is_pending(task):
                return self.first_done(left)
        return self._settle()

    def _is_pending(self, task: Task) -> bool:
        return self._pending is not None and self._pending.task.id == task.id

    def _do(self, task: Task) -> Task | None:
        """Do a task unless another process has it or has just finished it; return a task that is done now."""
        with ExitStack() as lease:
            if not lease.enter_context(self._folder.lease(task.id)) or self._folder.finished(task.id):
                return None
            started = time.monotonic()
            result = STAGES[task.kind].run(self._plan, task, self._folder, self._emit)
            if not isinstance(result, Rest):
                self._record(task, result, started)
                return task
            before = self._settle()
            self._pending = _Pending(task, self._thread.submit(result.finish), lease.pop_all(), started)
        return before

    def _settle(self) -> Task | None:
        """Wait for the rest that runs in the thread, and record its task's result."""
        pending, self._pending = self._pending, None
        if pending is None:
            return None
        with pending.lease:
            self._record(pending.task, pending.result.result(), pending.started)
        return pending.task

    def _record(self, task: Task, result: Any, started: float) -> None:
        self._folder.finish(task.id, result, time.monotonic() - started)
        self._tally.done.append(task.id)


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
