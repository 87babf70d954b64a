"""What Ray runs on the nodes of a cluster: planning a clip, doing a task, writing a result.

Each function may run twice, on any node: tasks are files that are renamed into place, under leases. So Ray may repeat
what was lost with a node.
"""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.farm.transfer import Shipment, pack_task, remove_copy, unpack, unpack_task
from vremove_cli.job.events import Emit, Note, TaskDone, silent
from vremove_cli.job.plan import watched
from vremove_cli.job.render import Summary
from vremove_cli.job.runner import Erasure, planned_job, run_work
from vremove_cli.job.working import Assignment, Tally
from vremove_cli.threads import limited

# Libraries of networks whose import takes seconds.
_LIBRARIES = ("torch", "diffusers.models.modeling_utils", "transformers.modeling_utils")


@dataclass(frozen=True)
class Doing:
    """How tasks of a job are done.

    Attributes:
        folder: The work folder, at the same path on all nodes.
        threads: Threads of a task.
        allow_other_version: Whether other versions of libraries than planned may be used.
    """

    folder: str
    threads: int
    allow_other_version: bool


@dataclass(frozen=True)
class TaskReport:
    """What became of a task.

    Attributes:
        id: The task's id.
        reused: Whether it was done already.
        notes: What the user should know.
    """

    id: str
    reused: bool
    notes: tuple[Note, ...]


def plan_clip(erasure: Erasure, threads: int) -> tuple[Note, ...]:
    """Make the plan of a clip in its work folder; returns what the user should know."""
    notes: list[Note] = []
    _check_shared(Path(erasure.place))
    with limited(threads):
        erasure.planned(_into(notes), elsewhere=True)
    return tuple(notes)


def do_task(doing: Doing, task: str, *_needs: object) -> TaskReport:
    """Do one task of a planned job; `_needs` are the reports of the tasks that it needs."""
    events: list[Any] = []
    _check_shared(Path(doing.folder))
    run_work(
        doing.folder,
        wanted=Assignment(task=task),
        threads=doing.threads,
        allow_other_version=doing.allow_other_version,
        on_event=events.append,
    )
    notes = tuple(e for e in events if isinstance(e, Note))
    reused = any(isinstance(e, TaskDone) and e.reused for e in events)
    return TaskReport(task, reused, notes)


class Networks:
    """Does tasks that run networks; its process keeps the networks in memory from task to task and clip to clip.

    It imports their libraries when it starts, beside the tasks that come before: all but one worker wait for the first
    keyframes anyway.
    """

    def __init__(self) -> None:
        for name in _LIBRARIES:
            with suppress(ImportError):  # the first task says what is missing, if it needs that
                import_module(name)

    def do(self, doing: Doing, task: str, *needs: object) -> TaskReport:
        """Do one task, as `do_task`."""
        return do_task(doing, task, *needs)

    def do_shipped(
        self, shipment: Shipment, doing: Doing, task: str, needed: list[tuple[str, Any]], *needs: object
    ) -> tuple[TaskReport, dict[str, bytes]]:
        """Do one task on a copy of the job, as the function of the same name."""
        return do_shipped(shipment, doing, task, needed, *needs)


class Dispatcher:
    """Gives each call to the next worker that is free; workers join when their processes have started.

    Args:
        count: How many workers.
        options: What each needs, as options of Ray.
    """

    def __init__(self, count: int, options: dict[str, Any]) -> None:
        import ray

        made = ray.remote(Networks).options(**options)
        self._workers = [made.remote() for _ in range(count)]
        self._free: asyncio.Queue[Any] | None = None
        self._first = asyncio.Event()

    async def started(self) -> None:
        """Wait until a worker has started, or is known never to start."""
        self._joined()
        await self._first.wait()

    async def do(self, method: str, returns: int, *arguments: Any) -> Any:
        """Call a method of a worker.

        Args:
            method: Name of the method.
            returns: How many results it gives: the first one is waited for, others are returned as references.
            *arguments: Its arguments.
        """
        free = self._joined()
        worker = await free.get()
        try:
            if isinstance(worker, Exception):
                raise worker
            refs = getattr(worker, method).options(num_returns=returns).remote(*arguments)
            return await refs if returns == 1 else (await refs[0], *refs[1:])
        finally:
            free.put_nowait(worker)

    def _joined(self) -> "asyncio.Queue[Any]":
        """Return the workers that are free; the first call, in the loop of events, lets workers join them."""
        if self._free is None:
            self._free = asyncio.Queue()
            self._joining = [asyncio.create_task(self._join(worker, self._free)) for worker in list(self._workers)]
        return self._free

    async def _join(self, worker: Any, free: "asyncio.Queue[Any]") -> None:
        """Count a worker as free once its process runs; calls get the error of the last one if none can start."""
        try:
            await worker.__ray_ready__.remote()
        except Exception as error:
            self._workers.remove(worker)
            if self._workers:
                return
            free.put_nowait(error)
        else:
            free.put_nowait(worker)
        self._first.set()


def write_result(erasure: Erasure, doing: Doing, tally: Tally) -> tuple[Summary, tuple[Note, ...]]:
    """Write the results of a clip whose tasks are done.

    Args:
        erasure: The clip, and what to do with it.
        doing: How tasks are done.
        tally: Which tasks were done.

    Returns:
        What was done, and what the user should know.
    """
    notes: list[Note] = []
    _, plan = planned_job(doing.folder, silent, allow_other_version=doing.allow_other_version)
    watch = watched(plan)
    watch.check()
    with limited(doing.threads):
        summary = erasure.delivered(plan, tally, watch, _into(notes))
    return summary, tuple(notes)


def _into(notes: list[Note]) -> Emit:
    """Return a callback that keeps the notes among a job's events."""
    return lambda event: notes.append(event) if isinstance(event, Note) else None


def _check_shared(folder: Path) -> None:
    """Raise `UsageError` where a node does not see the work folder."""
    if not folder.is_dir():
        raise UsageError(
            f"the node {socket.gethostname()} does not see {folder}",
            "put the clip and --work on a folder that all nodes share, or give --ray-transfer objects",
        )


def do_shipped(
    shipment: Shipment, doing: Doing, task: str, needed: list[tuple[str, Any]], *_needs: object
) -> tuple[TaskReport, dict[str, bytes]]:
    """Do one task on a copy of the job; returns its report and the files that it left.

    Args:
        shipment: The job.
        doing: How; its folder is the client's.
        task: The task's id.
        needed: All tasks that it needs, directly or not, with references of their files.
        *_needs: Reports of the tasks that it needs.
    """
    import ray

    node = ray.get_runtime_context().get_node_id()
    work = unpack(shipment, node, ray.get)
    for name, files in needed:
        if not work.finished(name):
            unpack_task(work, name, content_of(files))
    report = do_task(replace(doing, folder=str(work.path)), task)
    return report, pack_task(work, task)


def content_of(reference: Any) -> Any:
    """Return what a reference stands for; a dispatcher's results are references themselves."""
    import ray

    while isinstance(reference, ray.ObjectRef):
        reference = ray.get(reference)
    return reference


def remove_shipped(name: str) -> None:
    """Delete the copy of a job on this node."""
    import ray

    remove_copy(name, ray.get_runtime_context().get_node_id())


def pass_on(*_needs: object) -> None:
    """Do nothing: what needs this needs all of `_needs`."""
