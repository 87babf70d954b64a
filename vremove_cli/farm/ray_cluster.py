"""A cluster of Ray: the connection, what it has, and the workers that keep networks in memory.

Ray decides what runs where and when, and runs again what was lost with a process or a node.
"""

import logging
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vremove_cli.errors import Interrupted, UsageError, VremoveError
from vremove_cli.farm.ray_nodes import Dispatcher, content_of
from vremove_cli.farm.ray_signals import Signals
from vremove_cli.job.events import Emit, Event, Note
from vremove_cli.job.task_needs import Needs

_THREADS = 4  # of a task, at most, unless the user says so; chosen: segments run beside one another, too
_IN_FLIGHT = 64  # clips that are under way at once, at most: each has a thread in the client
_RETRIES = 5  # of a task whose process or node died; chosen
_MANY = 10_000  # calls that wait for a free worker, at most; more wait in the client
_ANSWER = 5.0  # seconds in which a cluster's head must answer
_LOOK = 0.5  # seconds between looks whether the user has ended the command
_STARTS = 20.0  # seconds after which it is said that no worker has started
_GIVE_BACK = 2.0  # seconds that cancelled tasks get to give their leases back
_LOCAL_STORE = 512 << 20  # bytes of the object store of a cluster on this machine alone; what is more goes to the disk
# Ray's exceptions, and what a user can do.
_ADVICE = {
    "OutOfMemoryError": ("a node ran out of memory", "take nodes with more memory, or give fewer --threads"),
    "ObjectStoreFullError": ("Ray's object store is full, and so is its disk", "start Ray with a larger store"),
    "OutOfDiskError": ("the disk of a node is full", "free some space, then run the same command again"),
    "ActorDiedError": ("a worker with networks died again and again", "see `ray logs`"),
    "ActorUnschedulableError": ("no node can hold a worker with networks", "see `ray status`"),
    "TaskUnschedulableError": ("no node can do a task", "see `ray status`"),
    "NodeDiedError": ("nodes died again and again", "see `ray status`"),
    "WorkerCrashedError": ("a process on a node died again and again", "see `ray logs`"),
    "LocalRayletDiedError": ("Ray has stopped on this machine", "start it again, then run the same command"),
    "ModuleNotFoundError": (
        "a node lacks vremove or a library of it", "run `pip install 'vremove[ray]'` there, in the Python that runs Ray"
    ),
}  # fmt: skip
# What Ray writes in errors of several kinds where a node lacks vremove: some arise while it reads a call's arguments.
_NOT_IMPORTED = ("ModuleNotFoundError: ", "No module named ", "failed to import on the worker")


@dataclass(frozen=True)
class RayUse:
    """How a cluster is used.

    Attributes:
        address: `auto`, `local`, or the address of a cluster's head.
        transfer: Whether nodes share the folders (`shared`), or get files through the object store (`objects`).
        workers: Processes for networks; None: as many as fit on the GPUs, or on the CPUs where networks run on those.
        gpu_type: GPU model that networks need, as Ray names it; None: any.
        threads: Threads of a task; None: up to four.
        allow_other_version: Whether nodes may have other versions of libraries than planned.
    """

    address: str
    transfer: str = "shared"
    workers: int | None = None
    gpu_type: str | None = None
    threads: int | None = None
    allow_other_version: bool = False


class Cluster:
    """A connection to a cluster; several threads may use it.

    Attributes:
        use: How the cluster is used.
        threads: Threads, and CPUs, of a task.

    Args:
        use: How the cluster is used.
    """

    def __init__(self, use: RayUse) -> None:
        self.use, self.threads = use, 1
        self._ray: Any = None
        self._signals = Signals()
        self._lock = threading.Lock()
        self._under_way: set[Any] = set()
        self._workers: Workers | None = None

    def __enter__(self) -> "Cluster":
        self._signals.note()  # Ray takes SIGTERM for itself
        self._ray = _connected(self.use.address)
        self._signals.take()
        self.threads = max(1, min(self.use.threads or _THREADS, int(self._largest("CPU"))))
        return self

    def __exit__(self, *error: object) -> None:
        self._signals.ended.set()
        try:
            self.forget(list(self._under_way))
            if self._workers is not None:
                self._workers.end()
            self._ray.shutdown()
        finally:
            self._signals.give_back()

    @property
    def at_once(self) -> int:
        """How many clips are to be under way at once, so that no node is idle while a clip is planned or written."""
        return max(2, min(_IN_FLIGHT, 2 * int(self.has("CPU")) // self.threads))

    def has(self, resource: str) -> float:
        """Return how much of a resource all nodes have together, such as `CPU` or `GPU`."""
        return float(self._ray.cluster_resources().get(resource, 0))

    def check(self) -> None:
        """Raise `Interrupted` if the command is being ended."""
        if self._signals.ended.is_set():
            raise Interrupted

    def checking(self, emit: Emit) -> Emit:
        """Return a callback that also ends long work in this process when the command is being ended."""

        def take(event: Event) -> None:
            self.check()
            emit(event)

        return take

    def remote(self, function: Callable[..., Any], **options: Any) -> Any:
        """Return a function as Ray calls it on a node; options as of Ray."""
        return self._ray.remote(function).options(**{"num_cpus": self.threads, "max_retries": _RETRIES, **options})

    def put(self, data: object) -> Any:
        """Put data into the object store and return its reference."""
        self.check()
        try:
            return self._ray.put(data)
        except Exception as error:
            raise _failure_of(error) from error

    def call(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Run a function on a node and return what it gave; raises the error that happened there."""
        ref = self.remote(function, **options).remote(*arguments)
        self.hold([ref])
        try:
            return self.result(ref)
        finally:
            self.forget([ref])

    def result(self, ref: Any) -> Any:
        """Return what a call gave; raises the error that happened on its node."""
        self.ready([ref])
        try:
            return content_of(ref)
        except Exception as error:
            raise _failure_of(error) from error

    def ready(self, refs: list[Any], meanwhile: Callable[[], None] | None = None) -> list[Any]:
        """Wait for calls and return those that have ended, at least one.

        Args:
            refs: References of the calls' results.
            meanwhile: Is called now and then.

        Raises:
            Interrupted: The command is being ended.
        """
        while True:
            self.check()
            if self._ray.wait(refs, num_returns=1, timeout=_LOOK, fetch_local=False)[0]:
                return list(self._ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)[0])
            if meanwhile is not None:
                meanwhile()

    def hold(self, refs: Iterable[Any]) -> None:
        """Note that calls are under way; they are cancelled when the command ends."""
        with self._lock:
            self._under_way |= set(refs)

    def forget(self, refs: Iterable[Any]) -> None:
        """Cancel calls that have not ended; to cancel one that has just ended can crash Ray 2.60."""
        every = list(refs)
        with self._lock:
            self._under_way -= set(every)
        with suppress(Exception):  # the connection is lost
            _, left = self._ray.wait(every, num_returns=len(every), timeout=0, fetch_local=False)
            for ref in left:
                self._ray.cancel(ref)
            if left:  # until their leases are given back, and their files are closed
                self._ray.wait(left, num_returns=len(left), timeout=_GIVE_BACK, fetch_local=False)

    def workers(self, needs: Needs, gpu_memory: float | None) -> "Workers":
        """Return the workers that do tasks with networks: the same for all jobs, started for the first one.

        Args:
            needs: What these tasks need.
            gpu_memory: GB of a GPU's memory, from which follows whether two workers share one; None: not known.
        """
        with self._lock:
            if self._workers is None:
                share = _share_of_gpu(needs, gpu_memory)
                fit = self.has("GPU") / share if share else self.has("CPU") // self.threads
                count = self.use.workers or max(1, int(fit))
                self._workers = Workers(self._ray, count, self._options(share, needs))
            return self._workers

    def on_every_node(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Run a function on each node that lives; what goes wrong there is nobody's concern."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        with suppress(Exception):
            there = [NodeAffinitySchedulingStrategy(n["NodeID"], soft=False) for n in self._nodes()]
            calls = [self.remote(function, num_cpus=0, scheduling_strategy=place).remote(*arguments) for place in there]
            self._ray.wait(calls, num_returns=len(calls), timeout=10 * _LOOK)

    def _options(self, share: float, needs: Needs) -> dict[str, Any]:
        # No CPU: a worker holds what it asks for as long as it lives, and the tasks that it waits for need CPUs.
        memory = min(float(needs.memory), self._largest("memory"))
        options: dict[str, Any] = {"num_cpus": 0, "num_gpus": share, "memory": int(memory)}
        if share and self.use.gpu_type:
            options["accelerator_type"] = self.use.gpu_type
        return options

    def _largest(self, resource: str) -> float:
        """Return how much of a resource the node has that has the most."""
        return max((float(n["Resources"].get(resource, 0)) for n in self._nodes()), default=0.0)

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]


class Workers:
    """Processes that keep networks in memory; a call goes to the next one that is free.

    Args:
        ray: The library.
        count: How many.
        options: What each needs, as options of Ray.
    """

    def __init__(self, ray: Any, count: int, options: dict[str, Any]) -> None:
        self._ray = ray
        lasting = {"max_restarts": -1, "max_task_retries": _RETRIES}
        dispatcher = ray.remote(Dispatcher).options(**lasting, num_cpus=0, max_concurrency=_MANY)
        self._dispatcher = dispatcher.remote(count, {**lasting, **options})
        self._needs = _needs_text(options)
        self._started, self._since = self._dispatcher.started.remote(), time.monotonic()
        self._looked = False

    def call(self, method: str, *arguments: Any, returns: int = 1) -> Any:
        """Call a method of a worker; it begins when its arguments are there.

        Args:
            method: Name of the method.
            *arguments: Arguments; references of other calls' results among them are waited for.
            returns: How many results it gives.

        Returns:
            The reference of its result, or a list of several.
        """
        return self._dispatcher.do.options(num_returns=returns).remote(method, returns, *arguments)

    def look(self, emit: Emit) -> None:
        """Say once if no worker has started after a while; Ray itself waits for a node without a word."""
        if self._looked or time.monotonic() - self._since < _STARTS:
            return
        self._looked = True
        with suppress(Exception):
            if not self._ray.wait([self._started], timeout=0)[0]:
                emit(Note(f"the networks wait until a node has {self._needs} free; see `ray status`"))

    def end(self) -> None:
        """End the processes; a task that one is doing is given back."""
        with suppress(Exception):
            self._ray.kill(self._dispatcher)  # the processes are its children and end with it


def _needs_text(options: dict[str, Any]) -> str:
    """Return what a worker needs, for people."""
    kind = f" of type {options['accelerator_type']}" if "accelerator_type" in options else ""
    gpu = [f"{options['num_gpus']:g} GPU{kind}"] if options["num_gpus"] else []
    return " and ".join([*gpu, f"{options['memory'] / 1e9:.0f} GB of memory"])


def _share_of_gpu(needs: Needs, gpu_memory: float | None) -> float:
    """Return the share of a GPU that a worker takes.

    A second worker on a GPU reads and restores while the first one's network runs. Networks themselves take turns
    (`networks/gpu_lock.py`), so more than two would gain nothing.
    """
    if not needs.gpu:
        return 0.0
    return 0.5 if 0 < 2 * needs.gpu_memory <= (gpu_memory or 0) * 1e9 else 1.0


def _connected(address: str) -> Any:
    """Return Ray, connected to a cluster, or to a new one of this machine alone.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster.
    """
    if find_spec("ray") is None:
        raise UsageError("Ray is not installed", "run `pip install 'vremove[ray]'`")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent about a user's machines unless they say so
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's next default; else it warns at each start
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # the first failure of a clip is told
    import ray

    _silence()
    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "object_store_memory": _LOCAL_STORE}
    try:
        _check_answers(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace="vremove", **own)
    except ConnectionError as error:
        where = "here" if address == "auto" else f"at {address}"
        raise UsageError(
            f"no cluster of Ray answers {where}", "start one with `ray start --head`, or give --ray local"
        ) from error
    except (RuntimeError, ValueError) as error:  # other versions of Ray or Python there; an address that is none
        raise UsageError(f"Ray does not connect to {address} ({error})", "see `ray status`") from error
    return ray


def _silence() -> None:
    """Keep Ray's words about dead processes and retries off standard output, where results are; `ray logs` has them.

    Ray prints them there whatever `log_to_driver` says, and has no option for it.
    """
    from ray._private import worker

    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


def _check_answers(address: str) -> None:
    """Raise `ConnectionError` where nothing answers: Ray itself would try for minutes, and then end the process."""
    if address == "auto":
        last = Path(tempfile.gettempdir()) / "ray/ray_current_cluster"  # Ray's own word on which cluster is here
        address = os.environ.get("RAY_ADDRESS") or (last.read_text().strip() if last.exists() else "")
    host, colon, port = address.rpartition(":")
    if not colon or "/" in host or not port.isdecimal():
        return  # `local`, or an address of Ray's client
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    except OSError as error:
        raise ConnectionError(address) from error


def _failure_of(error: BaseException) -> BaseException:
    """Return the error that happened on a node, without Ray's wrapping."""
    cause = error
    while isinstance(inner := getattr(cause, "cause", None), BaseException):
        cause = inner
    if isinstance(cause, VremoveError):
        return cause
    kinds = [kind.__name__ for kind in (*type(cause).__mro__, *type(error).__mro__)]
    if any(words in str(error) for words in _NOT_IMPORTED):
        kinds.insert(0, "ModuleNotFoundError")
    known = next((_ADVICE[kind] for kind in kinds if kind in _ADVICE), None)
    if known is None and "RayError" in (kind.__name__ for kind in type(cause).__mro__):
        known = (f"Ray reports {type(cause).__name__} ({str(cause).strip().splitlines()[0]})", "see `ray logs`")
    return cause if known is None else VremoveError(*known)
