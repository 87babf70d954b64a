"""Erasing on a cluster: a clip is planned, its task graph is submitted as a whole, its result is written.

Ray starts a task when what it needs is there: the reports of those tasks are its arguments.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from threading import Lock
from typing import Any

from vremove_cli.farm.ray_cluster import Cluster, Workers
from vremove_cli.farm.ray_nodes import TaskReport, pass_on, plan_clip, write_result
from vremove_cli.farm.ray_transport import Objects, SharedFolder, Transport, doing_in
from vremove_cli.job.estimate import expected
from vremove_cli.job.events import Emit, Note, Progress, TaskDone
from vremove_cli.job.plan import Plan, watched
from vremove_cli.job.render import Summary
from vremove_cli.job.runner import Erasure, planned_job
from vremove_cli.job.task_graph import Task
from vremove_cli.job.task_needs import Needs, needs_of
from vremove_cli.job.this_machine import has_network
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.working import Tally
from vremove_cli.threads import limited

_MANY_NEEDS = 16  # of a task; more of them, which other tasks share, become one
_STAGES = {"mask": "track", "backward_correction": "track"}  # stages of progress, where they are not kinds of tasks
_one_at_a_time = Lock()  # plans and writes in this process; a cluster's nodes do so beside one another


def erase_on(cluster: Cluster, erasure: Erasure, emit: Emit) -> Summary:
    """Erase from one clip.

    Args:
        cluster: Where the work is done.
        erasure: The clip, and what to do with it.
        emit: Gets notes and progress of all nodes.

    Raises:
        VremoveError: The job cannot be done; the error says why and what to do.
    """
    if erasure.request.device == "auto" and cluster.has("GPU"):
        erasure = replace(erasure, request=replace(erasure.request, device="cuda"))
    done = erasure.completed()
    if done:
        return done
    with erasure.folder.occupied(keep=erasure.keep_work):
        plan = _planned(cluster, erasure, emit)
        tally = _do_all(cluster, plan, erasure.folder, emit)
        return _written(cluster, erasure, plan, tally, emit)


def work_on(cluster: Cluster, path: str, emit: Emit) -> Tally:
    """Do the tasks of a planned job that are left.

    Args:
        cluster: Where the work is done.
        path: The work folder.
        emit: Gets notes and progress of all nodes.

    Raises:
        VremoveError: The job cannot be done; the error says why and what to do.
    """
    folder, plan = planned_job(path, emit, allow_other_version=cluster.use.allow_other_version)
    return _do_all(cluster, plan, folder, emit)


def _planned(cluster: Cluster, erasure: Erasure, emit: Emit) -> Plan:
    """Return the plan, made on a node, or here where nodes do not see the clip."""
    if cluster.use.transfer == "objects":
        with _one_at_a_time, limited(erasure.request.threads):
            cluster.check()
            return erasure.planned(cluster.checking(emit), elsewhere=True)
    _emit_all(cluster.call(plan_clip, erasure, erasure.request.threads or cluster.threads), emit)
    return Plan.load(erasure.folder.plan)


def _written(cluster: Cluster, erasure: Erasure, plan: Plan, tally: Tally, emit: Emit) -> Summary:
    """Write the results on a node, or here where nodes do not see their places; return what was done."""
    if cluster.use.transfer == "objects":
        with _one_at_a_time, limited(erasure.request.threads):
            cluster.check()
            return erasure.delivered(plan, tally, watched(plan), cluster.checking(emit))
    summary, notes = cluster.call(write_result, erasure, doing_in(cluster, erasure.folder), tally)
    _emit_all(notes, emit)
    made: Summary = summary
    return made


def _do_all(cluster: Cluster, plan: Plan, folder: WorkFolder, emit: Emit) -> Tally:
    """Do all tasks that are left."""
    reused = [t.id for t in plan.tasks if folder.finished(t.id)]
    for name in reused:
        emit(TaskDone(name, reused=True))
    left = [t for t in plan.tasks if t.id not in set(reused)]
    if not left:
        return Tally([], reused)
    transport: Transport = SharedFolder(cluster, folder)
    if cluster.use.transfer == "objects":
        transport = Objects(cluster, plan, folder)
    emit(expected(plan, folder, "track", "background", "plate", "fill"))
    refs: dict[Any, Task] = {}
    try:
        networks = _workers(cluster, plan, left, emit)
        refs = _submitted(cluster, plan, left, transport, networks)
        cluster.hold(refs)
        reports = _followed(cluster, plan, dict(refs), transport, networks, emit)
    finally:
        cluster.forget(refs)
        transport.close()
    return Tally([r.id for r in reports if not r.reused], reused + [r.id for r in reports if r.reused])


def _submitted(
    cluster: Cluster, plan: Plan, left: list[Task], transport: Transport, networks: Workers | None
) -> dict[Any, Task]:
    """Submit tasks, each with the references of those that it needs; return them by their own references."""
    refs: dict[str, Any] = {}
    together: dict[tuple[str, ...], Any] = {}
    for task in left:
        cluster.check()
        needed = tuple(n for n in task.needs if n in refs)
        arguments = [refs[n] for n in needed]
        if len(needed) > _MANY_NEEDS:
            if needed not in together:
                together[needed] = cluster.remote(pass_on, num_cpus=0).remote(*arguments)
            arguments = [together[needed]]
        refs[task.id] = transport.submit(task, networks if has_network(plan, task) else None, arguments)
    return {refs[t.id]: t for t in left}


def _workers(cluster: Cluster, plan: Plan, left: list[Task], emit: Emit) -> Workers | None:
    """Return the workers for the tasks that run networks; None if none does."""
    first = {task.kind: task for task in left if has_network(plan, task)}
    if not first:
        return None
    needs = reduce(Needs.and_also, (needs_of(plan, task) for task in first.values()))
    if needs.gpu and not cluster.has("GPU"):
        emit(Note("no node of the cluster has a GPU now: the networks wait for one"))
    return cluster.workers(needs, plan.request.gpu_memory)


def _followed(
    cluster: Cluster,
    plan: Plan,
    waiting: dict[Any, Task],
    transport: Transport,
    networks: Workers | None,
    emit: Emit,
) -> list[TaskReport]:
    """Wait for tasks, say how far they are, and return their reports."""
    every = _frames(plan.tasks)
    done = every - _frames(waiting.values())
    reports = []
    while waiting:
        for ref in cluster.ready(list(waiting), None if networks is None else lambda: networks.look(emit)):
            report, task = cluster.result(ref), waiting.pop(ref)
            transport.collect(task)
            reports.append(report)
            _emit_all(report.notes, emit)
            emit(TaskDone(task.id, reused=report.reused))
            stage = _stage(task)
            done[stage] += task.span.length
            emit(Progress(stage, done[stage], every[stage]))
    return reports


def _frames(tasks: Iterable[Task]) -> Counter[str]:
    """Return frames of tasks by stage; a frame counts for each of its tasks."""
    frames: Counter[str] = Counter()
    for task in tasks:
        frames[_stage(task)] += task.span.length
    return frames


def _stage(task: Task) -> str:
    return _STAGES.get(task.kind, task.kind)


def _emit_all(notes: Iterable[Note], emit: Emit) -> None:
    for note in notes:
        emit(note)
