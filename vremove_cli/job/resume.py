"""A work folder taken into use: held against other processes, with the plan of this job in it."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from vremove_cli.errors import NothingError, UsageError, VremoveError
from vremove_cli.job.events import Emit, Note
from vremove_cli.job.plan import Plan, same_job
from vremove_cli.job.planner import make_plan, same_tracker
from vremove_cli.job.request import Request
from vremove_cli.job.workdir.folder import WorkFolder, write_json

PATIENCE = 0.25  # seconds between looks at what another process is doing
_ATTEMPTS = 5


@contextmanager
def occupied(folder: WorkFolder, *, keep: bool = False) -> Iterator[None]:
    """Hold a work folder while a job runs in it, so that no other process clears it away.

    Afterwards a folder that was only this run's goes, unless `keep`, or unless the run was broken off with something
    done: then the same command goes on from there.
    """
    useless = False
    try:
        with ExitStack() as stack:
            for attempt in range(_ATTEMPTS):
                folder.claim()
                try:
                    stack.enter_context(folder.lease(f"attend-{os.getpid()}"))
                    break
                except FileNotFoundError:  # its last user is deleting it at this moment
                    if attempt == _ATTEMPTS - 1:
                        raise
            try:
                yield
                useless = True
            except BaseException as error:
                useless = isinstance(error, NothingError) or not folder.started
                raise
    finally:
        if useless and not (keep and folder.started):
            folder.discard()


def open_plan(folder: WorkFolder, request: Request, emit: Emit) -> Plan:
    """The folder's plan when it is for this job; else a new one, in place of an abandoned run's."""
    while True:
        with folder.lease("planning") as mine:
            if mine:
                had = _former(folder)
                if had is not None and same_job(had, request) and same_tracker(had, request):
                    _go_on(folder, had, emit)
                    return had
                _may_replace(folder)
                made = make_plan(request, emit, had)
                _replan(folder, had, made, emit)
                return made
        time.sleep(PATIENCE)


def _former(folder: WorkFolder) -> Plan | None:
    """The plan that is in the folder; None when there is none, or only a damaged or old one of a run's own."""
    try:
        return Plan.load(folder.plan) if folder.plan.exists() else None
    except VremoveError:
        if not folder.temporary:
            raise
        return None


def _go_on(folder: WorkFolder, had: Plan, emit: Emit) -> None:
    """Say what is done already, and what the plan says."""
    finished = sum(folder.finished(t.id) for t in had.tasks)
    emit(Note(f"going on with {folder.path}: {finished} of {len(had.tasks)} tasks are done"))
    for note in had.notes:
        emit(Note(note))


def _may_replace(folder: WorkFolder) -> None:
    """Raise `UsageError` when the folder has a plan that is not an earlier run's own, or is in use."""
    if not folder.plan.exists():
        return
    if not folder.temporary:
        raise UsageError(f"{folder.path} holds another job", "choose another folder with --work, or delete this one")
    if folder.others():
        raise UsageError(f"{folder.path} is in use by another job", "wait for it, or choose another folder with --work")


def _replan(folder: WorkFolder, had: Plan | None, made: Plan, emit: Emit) -> None:
    """Put a new plan in the folder, in place of an earlier run's, of which the results that still hold are kept."""
    keys = {t.id: t.key for t in had.tasks} if had else {}
    kept = {t.id for t in made.tasks if keys.get(t.id) == t.key and folder.finished(t.id)}
    if folder.plan.exists():
        if had and had.request.input == made.request.input:
            emit(Note(f"going on with {folder.path}: {len(kept)} of {len(made.tasks)} tasks still hold"))
        else:
            emit(Note(f"starting anew: {folder.path} was left by a run with other options, mask or input"))
    folder.keep(kept)  # without a plan, too: a run that was killed in here left results of nobody knows what
    write_json(folder.plan, made.to_json())
