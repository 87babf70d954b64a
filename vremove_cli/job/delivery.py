"""Delivery: all results of a run get their places together, and a run that is broken off goes on from there.

In this order: the results are written under hidden names; the work folder's delivery file says which wait, and where
they belong; they are renamed; the delivery file says when; the work folder goes, the delivery file last. Whatever the
moment at which a process is killed, the same command finds either work to go on with, or a delivery to complete.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from vremove_cli import atomic
from vremove_cli.errors import MediaError
from vremove_cli.job.events import Emit, Waiting
from vremove_cli.job.plan import Plan, fingerprint
from vremove_cli.job.render import Summary
from vremove_cli.job.request import Exports, Request
from vremove_cli.job.workdir.folder import FINISH, WorkFolder, clear_leftovers, delivery_of
from vremove_cli.job.workdir.records import from_json, read_record, to_json, write_record
from vremove_cli.media import sequence


@dataclass(frozen=True)
class Delivery:
    """Results and their places.

    Attributes:
        order: Digest of what was asked for, see `order_of`.
        inputs: Digests of the files that were read, by path.
        summary: What was done.
        moves: Files and folders under hidden names, and where they belong.
        keep: Whether the work folder was to stay.
        at: When all were in place, in seconds since the epoch; None before.
    """

    order: str
    inputs: dict[str, str]
    summary: Summary
    moves: tuple[atomic.Move, ...]
    keep: bool
    at: float | None = None


def order_of(command: str, request: Request, exports: Exports, *more: str | bool) -> str:
    """Return a digest of all that a command was asked to write."""
    facts = [command, to_json(request), to_json(exports), more]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def complete(folder: WorkFolder, order: str, *, keep: bool = False) -> Summary | None:
    """Complete a delivery that a killed process left.

    Args:
        folder: Where it worked.
        order: What is asked for now.
        keep: Whether the work folder stays.

    Returns:
        What the killed process had done; None if there is no such delivery, or its files are gone.
    """
    left = _left(folder, order)
    if left is None:
        return None
    for move in left.moves:
        with suppress(FileNotFoundError):  # another process completes it, too
            atomic.put_in_place(move)
    if not all(Path(move.target).exists() for move in left.moves):
        return None
    if folder.plan.exists():
        write_record(folder.delivery, to_json(replace(left, at=time.time())))
        folder.forget_the_dead()
        with folder.lease(FINISH):
            pass  # takes over what the killed process left
        if not keep:
            folder.discard()
    elif folder.delivery.exists():
        folder.clear()
    clear_leftovers(folder.path)
    return replace(left.summary, done=0, reused=left.summary.done + left.summary.reused)


def deliver(
    plan: Plan,
    folder: WorkFolder,
    order: str,
    since: float,
    write: Callable[[bool], Summary],
    check: Callable[[], None],
    emit: Emit,
    *,
    keep: bool,
) -> Summary:
    """Write all results of a run, unless a process that works on the same job has done it since this one began.

    Args:
        plan: The plan.
        folder: The work folder.
        order: What is asked for.
        since: When this run began, in seconds since the epoch.
        write: Writes all results and returns what was done; takes whether another process has just written its own.
        check: Raises an error when the results must not appear, because an input has changed meanwhile.
        emit: Gets a note when it waits.
        keep: Whether the work folder stays.
    """
    waiting = Waiting(emit, f"writes the results of {folder.path}")
    while True:
        with folder.lease(FINISH) as acquired:
            done = _read(folder.delivery)
            ended = done is not None and done.at is not None and done.at > since
            if done is not None and ended and done.order == order and all(Path(m.target).exists() for m in done.moves):
                return done.summary
            if acquired:
                with atomic.together() as moves:
                    summary = write(ended)
                    check()
                _put(folder, Delivery(order, _digests(plan), summary, tuple(moves), keep))
                return summary
        waiting.wait()


def delivered(folder: WorkFolder) -> Summary | None:
    """Return what was done when a job's results are in their places; None while they are not."""
    done = _read(folder.delivery)
    if done is None or done.at is None or not all(Path(move.target).exists() for move in done.moves):
        return None
    return done.summary


def _put(folder: WorkFolder, delivery: Delivery) -> None:
    """Record a delivery and put its files in place."""
    try:
        write_record(folder.delivery, to_json(delivery))
    except BaseException:
        atomic.abandon(list(delivery.moves))
        raise
    for move in delivery.moves:
        atomic.put_in_place(move)
    write_record(folder.delivery, to_json(replace(delivery, at=time.time())))


def _left(folder: WorkFolder, order: str) -> Delivery | None:
    """Return the delivery of this order that was broken off by the end of its process."""
    if folder.used_by_others():
        return None
    for path in delivery_of(folder.path):
        found = _read(path)
        if found is None or found.order != order or not _unchanged(found.inputs):
            continue
        kept = found.keep and found.at is not None and path == folder.delivery and folder.plan.exists()
        if not kept or folder.broken_off:
            return found
    return None


def _read(path: Path) -> Delivery | None:
    try:
        return from_json(Delivery, read_record(path))
    except (OSError, ValueError):
        return None


def _digests(plan: Plan) -> dict[str, str]:
    return {info.path: plan.fingerprints[role] for role, info in plan.inputs.items()}


def _unchanged(inputs: dict[str, str]) -> bool:
    """Return whether files are those that were read."""
    try:
        return all(_digest(path) == digest for path, digest in inputs.items())
    except (OSError, MediaError):
        return False


def _digest(path: str) -> str:
    return fingerprint(path, (path,) if sequence.is_sequence(path) else ())
