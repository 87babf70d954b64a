"""What a task needs of a machine, and the phases of a job: groups of tasks that need the same."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from vremove_cli.job.estimate import memory_of, planned_remover
from vremove_cli.job.gpu_memory import demand_of
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.job.this_machine import joins, runs_network
from vremove_cli.removers import registry

# Kinds of tasks as users name them, in the order in which a job does them, and as the plan names them.
KINDS = {
    "mask": "mask",
    "track": "track",
    "correct": "backward_correction",
    "background": "background",
    "plate": "plate",
    "fill": "fill",
}
USER_KINDS = {kind: name for name, kind in KINDS.items()}
_MEGABYTE = 1_000_000  # bytes of a unit of `Model.memory` and `Model.megabytes`


@dataclass(frozen=True)
class Needs:
    """What a task, or each task of a phase, needs of a machine.

    Attributes:
        gpu: Whether it runs a network on a GPU.
        gpu_memory: Bytes of GPU memory; 0 without a GPU, and where the amount is not known.
        memory: Bytes of main memory.
    """

    gpu: bool
    gpu_memory: int
    memory: int

    def and_also(self, other: "Needs") -> "Needs":
        """Return what a machine needs that does either of two tasks."""
        return Needs(self.gpu or other.gpu, max(self.gpu_memory, other.gpu_memory), max(self.memory, other.memory))


@dataclass(frozen=True)
class Phase:
    """Kinds of tasks that follow one another and need the same machines.

    Attributes:
        name: Its kinds, joined by hyphens.
        kinds: Kinds of its tasks, as users name them.
        needs: What a machine needs that does any of its tasks.
        tasks: How many tasks it has.
        at_once: How many of them can be done at the same time, at least.
    """

    name: str
    kinds: tuple[str, ...]
    needs: Needs
    tasks: int
    at_once: int


def needs_of(plan: Plan, task: Task) -> Needs:
    """Return what a task of a plan needs of a machine.

    Raises:
        VremoveError: The plan's remover or device is not known here.
    """
    return _needs(plan, task.kind, joins=joins(task))


class PhaseCount:
    """Adds up what the tasks of many plans need, without keeping the plans."""

    def __init__(self) -> None:
        self._needs: dict[str, Needs] = {}
        self._tasks: Counter[str] = Counter()
        self._at_once: Counter[str] = Counter()

    def add(self, plan: Plan) -> None:
        """Count the tasks of a plan.

        Raises:
            VremoveError: The plan's remover or device is not known here.
        """
        for kind in dict.fromkeys(task.kind for task in plan.tasks):
            name, needs, tasks = USER_KINDS[kind], _needs(plan, kind), list(plan.tasks_of(kind))
            self._needs[name] = needs.and_also(self._needs.get(name, needs))
            self._tasks[name] += len(tasks)
            self._at_once[name] += _at_once(tasks)

    def phases(self) -> tuple[Phase, ...]:
        """Return the phases of all plans together: a kind that needs a GPU in one of them is with the GPU's."""
        ordered = [name for name in KINDS if name in self._needs]
        return tuple(self._phase(names) for names in _alike(ordered, self._needs))

    def _phase(self, names: tuple[str, ...]) -> Phase:
        needs = self._needs[names[0]]
        for name in names[1:]:
            needs = needs.and_also(self._needs[name])
        at_once = max(self._at_once[name] for name in names)
        return Phase("-".join(names), names, needs, sum(self._tasks[name] for name in names), at_once)


def _at_once(tasks: list[Task]) -> int:
    """Return how many tasks of a kind can be done at the same time: the most that are as far down their chains."""
    depth: dict[str, int] = {}
    for task in tasks:  # each stands after those that it needs
        depth[task.id] = 1 + max((depth[need] for need in task.needs if need in depth), default=0)
    return max(Counter(depth.values()).values())


def _alike(names: Iterable[str], found: dict[str, Needs]) -> Iterable[tuple[str, ...]]:
    """Yield neighbours that agree on the GPU."""
    for _, group in groupby(names, key=lambda name: found[name].gpu):
        yield tuple(group)


def _needs(plan: Plan, kind: str, *, joins: bool = False) -> Needs:
    """Return what the tasks of one kind need; `joins` are those that only crossfade."""
    gpu = runs_network(plan, kind) and not joins and plan.arithmetic.device != "cpu"
    if not gpu:
        return Needs(gpu, 0, memory_of(plan, kind))
    return Needs(gpu, _gpu_memory(plan, kind), max(memory_of(plan, kind), _weights_on_their_way(plan, kind)))


def _weights_on_their_way(plan: Plan, kind: str) -> int:
    """Return the bytes of main memory that a remover's weights take at most, until they are on the GPU."""
    network = registry.spec_of(plan.remover).network
    if kind != "fill" or network is None:
        return 0
    return max(network.resident, sum(c.model.megabytes for c in plan.checkpoints) * _MEGABYTE)


def _gpu_memory(plan: Plan, kind: str) -> int:
    """Return the bytes of GPU memory of a kind of task: the remover's as computed, the tracker's by its table."""
    if kind != "fill":
        return 0 if plan.tracker.checkpoint is None else plan.tracker.checkpoint.model.memory * _MEGABYTE
    computed = demand_of(planned_remover(plan), plan.request, plan.clip).bytes_in(plan.memory, plan.arithmetic)
    return computed or max(c.model.memory for c in plan.checkpoints) * _MEGABYTE
