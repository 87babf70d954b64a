"""Whether this machine can do the tasks of a plan: known before any of them begins."""

from collections.abc import Iterable

from vremove_cli.errors import UsageError
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.networks.arithmetic import what_is_lacking
from vremove_cli.removers import registry
from vremove_cli.removers.common.temporal_windows import is_join_id
from vremove_cli.tracking.registry import runs_network as tracks_by_network

_TRACKING = ("track", "backward_correction")


def runs_network(plan: Plan, kind: str) -> bool:
    """Return whether tasks of a kind run a network on the plan's device, except those that only crossfade."""
    if kind == "fill":
        return registry.spec_of(plan.remover).network is not None or bool(plan.checkpoints)
    return kind in _TRACKING and tracks_by_network(plan.tracker)


def joins(task: Task) -> bool:
    """Return whether a task crossfades what others have generated, without a network."""
    return task.kind == "fill" and is_join_id(task.id.removeprefix("fill-"))


def has_network(plan: Plan, task: Task) -> bool:
    """Return whether a task runs a network on the plan's device."""
    return runs_network(plan, task.kind) and not joins(task)


def check_machine(plan: Plan, tasks: Iterable[Task]) -> None:
    """Check that this machine computes as planned, if one of some tasks runs a network.

    Raises:
        UsageError: It lacks the plan's device or type.
    """
    if not any(runs_network(plan, kind) for kind in {task.kind for task in tasks if not joins(task)}):
        return
    lacking = what_is_lacking(plan.arithmetic)
    if lacking:
        how = f"{plan.arithmetic.device} in {plan.arithmetic.dtype}"
        raise UsageError(
            f"the job's networks are planned for {how}, and {lacking}",
            "add --only cpu to do the tasks without networks, or work on another machine",
        )
