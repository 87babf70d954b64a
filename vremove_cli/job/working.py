"""Working: the tasks of a plan, one after another, together with other processes that work on the same folder."""

import time
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Literal

from vremove_cli.errors import Interrupted, NothingError, UsageError, VremoveError
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.events import Emit, TaskDone, Waiting
from vremove_cli.job.mask_store import mask_results
from vremove_cli.job.plan import EMPTY_MASK, SHRUNK_MASK, InputWatch, Plan, full_mask, nothing_to_erase
from vremove_cli.job.ready_tasks import ReadyTasks
from vremove_cli.job.stages.base import Rest
from vremove_cli.job.stages.kinds import MASK_STAGES, STAGES
from vremove_cli.job.task_graph import Task
from vremove_cli.job.this_machine import check_machine, has_network
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.removers import registry

# Seconds between two tries of all tasks that other processes have, for each of them: a try is some nine operations on
# files, of which a share does a few thousand a second for all machines together.
_TRY_AGAIN = 0.02


@dataclass
class Tally:
    """Which tasks were done.

    Attributes:
        done: Ids of the tasks that this process did.
        reused: Ids of those that were done already.
        left: How many of the tasks that this process was to do are not done.
    """

    done: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    left: int = 0

    def counted(self, started: float) -> dict[str, Any]:
        """Return the fields of a summary that say what this run did; `started` is by the monotonic clock."""
        return {"seconds": time.monotonic() - started, "done": len(self.done), "reused": len(self.reused)}


@dataclass(frozen=True)
class Assignment:
    """Which tasks of a job a worker does, and for how long.

    Attributes:
        task: Id of the only task; None for all.
        kinds: Kinds of tasks.
        device: Only tasks with a network on a GPU (`gpu`), only those without (`cpu`), or both ("").
        wait: Whether to wait while tasks are left that need the results of other workers.
        until: No task begins after this time of the monotonic clock; None: no limit.
    """

    task: str | None = None
    kinds: tuple[str, ...] = tuple(STAGES)
    device: Literal["", "cpu", "gpu"] = ""
    wait: bool = True
    until: float | None = None

    def tasks_of(self, plan: Plan) -> list[Task]:
        """Return the tasks of a plan that are to be done."""
        tasks = [t for t in plan.tasks_of(*self.kinds) if self.task in (None, t.id)]
        if not self.device:
            return tasks
        on_gpu = plan.arithmetic.device != "cpu"
        return [t for t in tasks if (on_gpu and has_network(plan, t)) == (self.device == "gpu")]

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return self.until is not None and time.monotonic() >= self.until


def do_tasks(plan: Plan, folder: WorkFolder, wanted: Assignment, emit: Emit, watch: InputWatch) -> Tally:
    """Do the wanted tasks that are left, in an order that their needs allow.

    Args:
        plan: The plan.
        folder: Its work folder.
        wanted: Which tasks, and whether to wait for those of other processes.
        emit: Gets notes and progress.
        watch: Tells when an input is replaced.
    """
    with _Worker(plan, folder, wanted, emit) as worker:
        waiting = Waiting(emit, f"does the tasks of {folder.path} that are left")
        while len(worker.tasks) and not wanted.over:
            first = next(iter(worker.tasks.left)).kind
            worker.check_masks_once()
            watch.check(always=wanted.task is None and first != worker.stage)
            worker.stage = first
            if worker.do_one():
                continue
            if not folder.plan.exists():
                raise VremoveError(f"the work folder {folder.path} has gone", "run the command again")
            if not wanted.wait:
                break
            waiting.wait()
    return worker.tally


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

    Attributes:
        tasks: The wanted tasks that are left.
        tally: What was done.
        stage: Kind of the last task that was looked at.

    Args:
        plan: The plan.
        folder: Its work folder.
        wanted: Which tasks to do.
        emit: Gets notes and progress.
    """

    def __init__(self, plan: Plan, folder: WorkFolder, wanted: Assignment, emit: Emit) -> None:
        self._plan, self._folder, self._emit = plan, folder, emit
        self._wanted = wanted.tasks_of(plan)
        self._pending: _Pending | None = None
        self._masks_checked = wanted.task is not None and wanted.task != _first_beyond_masks(plan)
        self._tried = time.monotonic()
        self._done = folder.finished_tasks()
        self.tasks = ReadyTasks(self._wanted, self._done)
        self.tally, self.stage = Tally(), ""
        for task in self._wanted:
            if task.id in self._done:
                self._reuse(task)
        if any(t.kind == "fill" for t in self.tasks.left):
            registry.spec_of(plan.remover)  # before hours of work: the remover may not be installed here
        check_machine(plan, self.tasks.left)
        blocked = next(iter(self.tasks.left), None) if wanted.task and not list(self.tasks) else None
        if blocked is not None:
            raise UsageError(f"task {blocked.id} needs {', '.join(blocked.needs)} first", "run those tasks before")

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._settle()
        elif self._pending is not None:
            with self._pending.lease, suppress(Exception):  # after an error its result is not recorded
                if not issubclass(kind, (Interrupted, KeyboardInterrupt)):  # then the task is given back at once
                    self._pending.result.result()
        self.tally.left = len(self.tasks)

    def check_masks_once(self) -> None:
        """Raise `NothingError` once all masks are there and nothing was found, before anything is done with them."""
        beyond = next(iter(self.tasks.left)).kind not in MASK_STAGES
        if not self._masks_checked and beyond and all(t.id in self._done for t in self._plan.tasks_of(*MASK_STAGES)):
            check_masks(self._plan, self._folder)
            self._masks_checked = True

    def do_one(self) -> bool:
        """Do the first task that is ready and that no other process has.

        Returns:
            Whether a task is done now that was not: that one, one that another process has done, or the one before,
            whose rest ran beside it. False when nothing can be done now.
        """
        if self._look():
            return True
        for task in self._takeable():
            if self._do(task):
                return True
            if self._is_pending(task):
                return self.do_one()
        return self._settle()

    def _takeable(self) -> list[Task]:
        """Return tasks to try: those that are free; now and then those that others have, who may have died."""
        held = self._folder.leased_tasks()
        ready = [t for t in self.tasks if not self._is_pending(t)]
        free, begun = ([t for t in ready if (t.id in held) == taken] for taken in (False, True))
        if time.monotonic() - self._tried < _TRY_AGAIN * len(begun):
            return free
        self._tried = time.monotonic()
        return free + begun

    def _look(self) -> bool:
        """Look which tasks other processes have done; return whether any of them was left."""
        now = self._folder.finished_tasks()
        if self._done - now:  # a result was damaged, so that its task is to be done again
            self.tasks = ReadyTasks(self._wanted, now)
        self._done = now
        found = self.tasks.mark_done(now)
        for task in found:
            self._reuse(task)
        return bool(found)

    def _is_pending(self, task: Task) -> bool:
        return self._pending is not None and self._pending.task.id == task.id

    def _do(self, task: Task) -> bool:
        """Do a task unless another process has it or has just finished it; return whether a task is done now."""
        with ExitStack() as lease:
            if not lease.enter_context(self._folder.lease(task.id)) or self._folder.finished(task.id):
                return False
            started = time.monotonic()
            result = STAGES[task.kind].run(self._plan, task, self._folder, self._emit)
            if not isinstance(result, Rest):
                self._record(task, result, started)
                return True
            before = self._settle()
            self._pending = _Pending(task, _in_thread(result), lease.pop_all(), started)
        return before

    def _settle(self) -> bool:
        """Wait for the rest that runs in the thread, if there is one, and record its task's result."""
        pending, self._pending = self._pending, None
        if pending is None:
            return False
        with pending.lease:
            self._record(pending.task, pending.result.result(), pending.started)
        return True

    def _record(self, task: Task, result: Any, started: float) -> None:
        self._folder.finish(task.id, result, time.monotonic() - started)
        self._done.add(task.id)
        self.tasks.mark_done([task.id])
        self.tally.done.append(task.id)
        self._emit(TaskDone(task.id))

    def _reuse(self, task: Task) -> None:
        self.tally.reused.append(task.id)
        self._emit(TaskDone(task.id, reused=True))


def _first_beyond_masks(plan: Plan) -> str:
    """Return the id of the first task that uses masks: it checks them where each process does one task."""
    return next((t.id for t in plan.tasks if t.kind not in MASK_STAGES), "")


def _in_thread(rest: Rest[Any]) -> Future[Any]:
    """Run the rest of a task in a thread that the end of the process does not wait for."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(rest.finish())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


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
