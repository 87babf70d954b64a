"""Reuse the plan of a folder if it is for this job; else replace it and keep results whose keys are unchanged."""

from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.job.choices import Ask
from vremove_cli.job.events import Emit, Note, Waiting
from vremove_cli.job.frozen import check_frozen
from vremove_cli.job.plan import Plan, same_job
from vremove_cli.job.planner import make_plan, same_choices
from vremove_cli.job.request import Request
from vremove_cli.job.tool_versions import differences
from vremove_cli.job.workdir.folder import WorkFolder


def open_plan(
    folder: WorkFolder, request: Request, emit: Emit, ask: Ask | None = None, *, elsewhere: bool = False
) -> Plan:
    """Return the folder's plan if it is for this job, else make one.

    Args:
        folder: The work folder.
        request: The request.
        emit: Gets notes and progress.
        ask: Asks the user whether to fetch what auto would take; None where nobody can be asked.
        elsewhere: Whether other machines run the job.

    Raises:
        UsageError: The folder holds another job that must not be replaced.
        VremoveError: The job cannot be planned.
    """
    waiting = Waiting(emit, f"plans in {folder.path}")
    while True:
        with folder.lease("planning") as acquired:
            if acquired:
                former = _former(folder)
                if former is not None and _is_for(former, request, elsewhere=elsewhere):
                    _continue(folder, former, emit)
                    return former
                check_replaceable(folder)
                plan = make_plan(request, emit, former, ask=ask, elsewhere=elsewhere)
                if request.frozen:
                    check_frozen(plan, former)
                _replace(folder, former, plan, emit)
                return plan
        waiting.wait()


def _is_for(plan: Plan, request: Request, *, elsewhere: bool = False) -> bool:
    """Return whether a plan is what would be decided now."""
    return same_job(plan, request) and same_choices(plan, request, elsewhere=elsewhere)


def _former(folder: WorkFolder) -> Plan | None:
    """Return the folder's plan; None without one, or if the folder is temporary and its plan damaged or outdated."""
    try:
        return Plan.load(folder.plan) if folder.plan.exists() else None
    except VremoveError:
        if not folder.temporary:
            raise
        return None


def _continue(folder: WorkFolder, plan: Plan, emit: Emit) -> None:
    """Say what is done already, and repeat the plan's notes."""
    finished = sum(folder.finished(t.id) for t in plan.tasks)
    emit(Note(f"going on with {folder.path}: {finished} of {len(plan.tasks)} parts are done"))
    for note in (*plan.notes, differences(plan)):
        if note:
            emit(Note(note))


def check_replaceable(folder: WorkFolder, request: Request | None = None) -> None:
    """Raise `UsageError` when the folder's plan is not an earlier run's own or is in use, and not for `request`."""
    former = _former(folder) if request is not None else None
    if former is not None and request is not None and _is_for(former, request):
        return
    if not folder.plan.exists():
        return
    if not folder.temporary:
        raise UsageError(f"{folder.path} holds another job", "choose another folder with --work, or delete this one")
    if folder.used_by_others():
        raise UsageError(f"{folder.path} is in use by another job", "wait for it, or choose another folder with --work")


def _replace(folder: WorkFolder, former: Plan | None, plan: Plan, emit: Emit) -> None:
    """Put a new plan in the folder and keep the results of tasks whose keys are unchanged."""
    keys = {t.id: t.key for t in former.tasks} if former else {}
    kept = {t.id for t in plan.tasks if keys.get(t.id) == t.key and folder.finished(t.id)}
    if folder.plan.exists():
        if former and former.request.input == plan.request.input:
            emit(Note(f"going on with {folder.path}: keeping {len(kept)} of {len(plan.tasks)} finished parts"))
        else:
            emit(Note(f"starting anew: {folder.path} was left by a run with other options, mask or input"))
    folder.keep(kept)  # without a former plan, too: a run that was killed here may have left results
    plan.save(folder.plan)
