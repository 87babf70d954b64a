"""The work folder: where a job's files lie, what is finished, and who may delete it."""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from vremove_cli import atomic
from vremove_cli.errors import NothingError, UsageError, VremoveError
from vremove_cli.job.workdir.lease import held_by_others, lease
from vremove_cli.job.workdir.records import from_json, read_json, to_json

_FOLDERS = ("masks", "states", "background", "plate", "fill", "done", "leases")
_TEMPORARY, _MADE = "temporary", "made by vremove\n"
_MARKER = "made-by-vremove"  # is written before anything else: only a folder that holds it is one of ours
_OURS = (*_FOLDERS, _TEMPORARY, _MARKER, "plan.json")
# Files in the subfolders that are ours: named after a task (KIND-0012) or a process, or left half-written by one.
_OUR_FILE = re.compile(r"\.?(attend-\d+|.+-\d{4,}|finish|render)(\..+)?")
_ATTEMPTS = 5  # at entering a folder that its last user is deleting

R = TypeVar("R")


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write JSON so that a reader finds all of it or none."""
    atomic.write_text(path, json.dumps(data, indent=1))


class WorkFolder:
    """One job's files.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan(self) -> Path:
        """The plan's file."""
        return self.path / "plan.json"

    @property
    def temporary(self) -> bool:
        """Whether the folder is a run's own, to be deleted at the end."""
        return (self.path / _TEMPORARY).exists()

    @property
    def started(self) -> bool:
        """Whether there is a plan and some of it is done."""
        return self.plan.exists() and any((self.path / "done").glob("*.json"))

    def file(self, subfolder: str, name: str) -> Path:
        """Return the path of a file in one of the subfolders: masks, states, background, plate or fill."""
        return self.path / subfolder / name

    def claim(self) -> None:
        """Make the folder, or accept one of ours; a new one is temporary until `settle`.

        Raises:
            UsageError: The folder is not ours and holds anything, or one of ours was replaced by a link.
        """
        fresh = not self.path.exists()
        held = self.check()
        self.path.mkdir(parents=True, exist_ok=True)
        if not held:
            atomic.write_text(self.path / _MARKER, "This folder is deleted by vremove.\n")
            (self.path / _TEMPORARY).write_text(_MADE if fresh else "in a folder of the user's\n")
        for name in _FOLDERS:
            (self.path / name).mkdir(exist_ok=True)

    def check(self) -> list[Path]:
        """Return what the folder holds; raises `UsageError` as `claim` does, and makes nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is not a folder", "choose another one with --work")
        held = [] if not self.path.exists() else [p for p in self.path.iterdir() if not p.name.startswith(".")]
        strange = [p.name for p in held if p.name not in _OURS or not self._ours() or p.is_symlink()]
        if strange:
            raise UsageError(
                f"{self.path} is not a work folder (it holds {strange[0]})", "choose another one with --work"
            )
        return held

    def _ours(self) -> bool:
        """Whether the folder is a work folder; one of an earlier version has a plan and no marker."""
        if (self.path / _MARKER).is_file():
            return True
        with contextlib.suppress(OSError, ValueError):
            return "schema" in json.loads(self.plan.read_text())
        return False

    def _files(self, name: str) -> Iterator[Path]:
        """Files of ours in a subfolder; links are none."""
        folder = self.path / name
        for file in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
            if _OUR_FILE.fullmatch(file.name) and not file.is_symlink() and file.is_file():
                yield file

    def settle(self) -> None:
        """Keep the folder: it is the user's now."""
        (self.path / _TEMPORARY).unlink(missing_ok=True)

    def keep(self, tasks: set[str]) -> None:
        """Delete the plan and the results of all tasks but these; leases stay."""
        self.plan.unlink(missing_ok=True)
        for name in _FOLDERS:
            for file in self._files(name) if name != "leases" else ():
                if file.name.split(".")[0] not in tasks:
                    file.unlink()

    def discard(self) -> None:
        """Delete a temporary folder that no other process uses; foreign files in it stay."""
        if not self.temporary or self.used_by_others():
            return
        made = (self.path / _TEMPORARY).read_text() == _MADE
        for name in _FOLDERS:
            for file in self._files(name):
                file.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                (self.path / name).rmdir()
        for name in ("plan.json", _TEMPORARY, _MARKER):
            (self.path / name).unlink(missing_ok=True)
        for part in self.path.glob(".*.part"):
            part.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def finished(self, task: str) -> bool:
        """Return whether a task has left its result; cheaper than reading it."""
        return self._done(task).exists()

    def result(self, task: str, kind: type[R]) -> R | None:
        """Return a task's result, or None while it is not finished.

        Args:
            task: The task's id.
            kind: Dataclass of its stage's results.

        Raises:
            VremoveError: The file is damaged.
        """
        path = self._done(task)
        try:
            return from_json(kind, read_json(path)["result"])
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise VremoveError(f"the work file {path} is damaged ({error})", "delete it and run again") from error

    def finish(self, task: str, result: object, seconds: float) -> None:
        """Record a task's result (a dataclass) and mark it as finished: the last thing a task does."""
        write_json(self._done(task), {"seconds": round(seconds, 3), "result": to_json(result)})

    def _done(self, task: str) -> Path:
        return self.path / "done" / f"{task}.json"

    def lease(self, task: str) -> AbstractContextManager[bool]:
        """Return a lease on a task, to be held with `with`; it gives whether this process has it."""
        return lease(self.path / "leases" / task)

    def used_by_others(self) -> bool:
        """Return whether another living process holds a lease here."""
        return held_by_others(self.path / "leases")

    @contextmanager
    def occupied(self, *, keep: bool = False) -> Iterator[None]:
        """Hold the folder while a job runs in it, so that no other process deletes it.

        Afterwards a temporary folder is deleted, unless `keep`, or unless the run broke off with something done: then
        the same command continues from there.
        """
        disposable = False
        try:
            with ExitStack() as stack:
                self._enter(stack)
                try:
                    yield
                    disposable = True
                except BaseException as error:
                    disposable = isinstance(error, NothingError) or not self.started
                    raise
        finally:
            if disposable and not (keep and self.started):
                self.discard()

    def _enter(self, stack: ExitStack) -> None:
        for attempt in range(_ATTEMPTS):
            self.claim()
            try:
                stack.enter_context(self.lease(f"attend-{os.getpid()}"))
                return
            except FileNotFoundError:  # its last user is deleting it at this moment
                if attempt == _ATTEMPTS - 1:
                    raise
