"""What a stage declares: what it depends on, what it leaves, and how it runs."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vremove_cli import __version__
from vremove_cli.job.events import Emit
from vremove_cli.job.object_prompts import PromptsByObject
from vremove_cli.job.request import Request
from vremove_cli.job.task_graph import REACH, Task
from vremove_cli.job.workdir.folder import WorkFolder

if TYPE_CHECKING:
    from vremove_cli.job.plan import Plan

R = TypeVar("R")


@dataclass(frozen=True)
class Rest(Generic[R]):
    """What is left of a task once its network has run. It may run in a thread beside the next task's network.

    Attributes:
        finish: Does it and returns the task's result.
    """

    finish: Callable[[], R]


@dataclass(frozen=True)
class StageKind(Generic[R]):
    """One kind of task.

    Attributes:
        name: `Task.kind`.
        result: Dataclass of what a task leaves, validated when it is read back.
        run: Does a task and returns its result, or what is left of it.
        depends_on: Fields of `Request` that change the result; all others change nothing.
        reads: Roles of the files that it reads, as `Plan.fingerprints` names them.
        tracker: Whether the result depends on the tracker and its weights.
        remover: Whether it depends on the remover and its weights.
        prompts: Which of its object's prompts change the result: those in its span, or only the frames of all.
    """

    name: str
    result: type[R]
    run: Callable[["Plan", Task, WorkFolder, Emit], R | Rest[R]]
    depends_on: tuple[str, ...]
    reads: tuple[str, ...] = ("clip",)
    tracker: bool = False
    remover: bool = False
    prompts: str = ""

    def cache_key(self, request: Request) -> dict[str, Any]:
        """Return the part of a request that a task's result depends on."""
        return {name: getattr(request, name) for name in self.depends_on}


@dataclass(frozen=True)
class Provenance:
    """What results depend on besides the request.

    Attributes:
        prompts: Prompts by object name and frame.
        fingerprints: Digests of the files that are read, by role.
        cuts: First frames of new shots.
        tracker: Name and settings of the tracker, with its model's commit, and how its network computes.
        remover: Name of the remover, with its models' commits, and how its networks compute.
    """

    prompts: PromptsByObject
    fingerprints: dict[str, str]
    cuts: tuple[int, ...]
    tracker: list[Any]
    remover: list[Any]


def with_keys(
    tasks: tuple[Task, ...], stages: dict[str, StageKind[Any]], request: Request, known: Provenance
) -> tuple[Task, ...]:
    """Return the tasks with a key each: two tasks with the same key leave the same result.

    Args:
        tasks: Tasks in an order that can be done.
        stages: Stage kinds by name.
        request: The request.
        known: What results depend on besides the request.
    """
    keyed: dict[str, Task] = {}
    for task in tasks:
        stage = stages[task.kind]
        files = {r: d for r, d in known.fingerprints.items() if r.partition("@")[0] in stage.reads}
        facts = {
            "version": __version__,
            "task": [task.kind, task.span, task.target, task.origin, [keyed[n].key for n in task.needs]],
            "request": stage.cache_key(request),
            "files": files,
            "cuts": [c for c in known.cuts if task.span.start - REACH <= c <= task.span.stop + REACH],
            "tracker": known.tracker if stage.tracker else [],
            "remover": known.remover if stage.remover else [],
            "prompts": _prompts(stage, task, known),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
        keyed[task.id] = replace(task, key=digest)
    return tuple(keyed.values())


def _prompts(stage: StageKind[Any], task: Task, known: Provenance) -> Any:
    """Return what a task depends on of its object's prompts; a key mask counts by its content, not its place."""
    own = known.prompts.get(task.target, {})
    if stage.prompts == "in span":
        inside = {f: p for f, p in own.items() if task.span.holds(f)}
        return {f: {**asdict(p), "mask": known.fingerprints.get(f"key@{p.mask}", "")} for f, p in inside.items()}
    return sorted(own) if stage.prompts == "frames" else []
