"""Many planned jobs for one worker: lists of work folders, and doing whatever is ready in any of them."""

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vremove_cli.errors import ExitCode, UsageError, VremoveError
from vremove_cli.job.stages.kinds import STAGES
from vremove_cli.job.task_needs import KINDS
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.workdir.records import from_json, read_record, to_json, write_record
from vremove_cli.job.working import Assignment, Tally

_DEVICES: tuple[Literal["cpu", "gpu"], ...] = ("cpu", "gpu")  # groups of tasks that --only takes beside kinds
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
# Seconds between two rounds through the jobs in which nothing was ready. Each look opens some files of each job.
_PAUSE, _PAUSE_PER_JOB = 0.25, 0.01


@dataclass(frozen=True)
class Failure:
    """Why a worker gave a job up; workers of later kinds leave it alone, those of the same kinds try it again.

    Attributes:
        kinds: Kinds of tasks that the worker did.
        sentence: What went wrong.
        exit: The exit code that stands for it.
    """

    kinds: tuple[str, ...]
    sentence: str
    exit: ExitCode

    @classmethod
    def of(cls, folder: WorkFolder, kinds: tuple[str, ...]) -> VremoveError | None:
        """Return the failure that a job had in tasks of other kinds than these; None without one."""
        try:
            found = from_json(cls, read_record(folder.failure))
        except (OSError, ValueError):
            return None
        if set(found.kinds) & set(kinds):
            return None
        error = VremoveError(found.sentence, "the job was given up there")
        error.code = found.exit
        return error


@dataclass
class Round:
    """What a worker did for many jobs.

    Attributes:
        tallies: What it did, by work folder.
        failed: Work folders whose job cannot be done.
    """

    tallies: dict[str, Tally] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many tasks are left that this worker was to do."""
        return sum(t.left for t in self.tallies.values())

    @property
    def done(self) -> int:
        """How many tasks this worker did."""
        return sum(len(t.done) for t in self.tallies.values())


def folders_in(places: Iterable[str]) -> list[str]:
    """Return work folders: those given, and those that a list names, one a line.

    Raises:
        UsageError: A list cannot be read, or names nothing.
    """
    found: list[str] = []
    for place in places:
        path = Path(place)
        if not path.is_file():
            found.append(place)
            continue
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise UsageError(f"{place} is no list of work folders", "give a work folder, or a list") from error
        named = [line for line in lines if line]
        if not named:
            raise UsageError(f"{place} names no work folder", "give a work folder, or a list with one a line")
        found += [str(path.parent / line) for line in named]
    first: dict[str, str] = {}
    for folder in found:
        first.setdefault(os.path.abspath(folder), folder)
    return list(first.values())


def assignment_of(
    only: str | None = None, *, task: str | None = None, wait: bool = True, time_limit: str | None = None
) -> Assignment:
    """Return what a worker is to do, from options as a user writes them.

    Args:
        only: Kinds of tasks with commas between them, or `cpu` or `gpu`.
        task: Id of the only task.
        wait: Whether to wait for other workers.
        time_limit: Such as `90s`, `30m` or `2h`: no task begins afterwards.

    Raises:
        UsageError: A kind or the time cannot be understood.
    """
    names = [name.strip() for name in only.split(",")] if only is not None else []
    unknown = [name for name in names if name not in (*KINDS, *_DEVICES)]
    if unknown:
        raise UsageError(f"there is no kind of task '{unknown[0]}'", f"choose among {', '.join(_every_name())}")
    devices = [device for device in _DEVICES if device in names]
    kinds = tuple(KINDS[name] for name in names if name in KINDS)
    wanted = Assignment(task=task, kinds=kinds or tuple(STAGES), wait=wait, until=_end(time_limit))
    return replace(wanted, device=devices[0]) if len(devices) == 1 else wanted


def work_through(
    folders: list[str],
    wanted: Assignment,
    do: Callable[[str, Assignment], Tally],
    complain: Callable[[VremoveError, str], object],
    *,
    keep_going: bool = False,
) -> Round:
    """Do the tasks of many jobs, whatever is ready in any of them.

    A job that cannot be done does not stop the others.

    Args:
        folders: Work folders.
        wanted: Which tasks to do in each.
        do: Works on one folder.
        complain: Gets the error of a job that cannot be done, and its folder.
        keep_going: Whether workers that do other kinds of tasks are told of jobs that cannot be done.
    """
    out, rest, visit = Round(), list(folders), replace(wanted, wait=False)
    while True:
        before = out.done
        for folder in list(rest):
            place = WorkFolder(Path(folder))
            try:
                earlier = Failure.of(place, wanted.kinds) if keep_going else None
                if earlier:
                    raise earlier
                now = do(folder, visit)
            except VremoveError as error:
                complain(error, folder)
                if keep_going and place.plan.exists() and earlier is None:
                    write_record(place.failure, to_json(Failure(wanted.kinds, str(error), error.code)))
                out.failed.append(folder)
                out.tallies.pop(folder, None)
                rest.remove(folder)
                continue
            out.tallies[folder] = _joined(out.tallies.get(folder), now)
            if not now.left:
                place.failure.unlink(missing_ok=True)
                rest.remove(folder)
        if not rest or wanted.over or (not wanted.wait and out.done == before):
            return out
        if out.done == before:
            time.sleep(_PAUSE + _PAUSE_PER_JOB * len(rest))


def _joined(before: Tally | None, now: Tally) -> Tally:
    """Return what two visits to a folder did together; the second counts what the first did as done already."""
    if before is None:
        return now
    done = [*before.done, *now.done]
    return Tally(done, [t for t in now.reused if t not in set(done)], now.left)


def _end(text: str | None) -> float | None:
    """Return when a time limit ends, by the monotonic clock."""
    if text is None:
        return None
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"the time limit '{text}' cannot be read", "write it as 90s, 30m or 2h")
    return time.monotonic() + float(match[1]) * _SECONDS[match[2]]


def _every_name() -> list[str]:
    return [*KINDS, *_DEVICES]
