"""The work folder: where a job's files lie, what is finished, and who may delete it."""

import contextlib
import glob
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from vremove_cli import atomic
from vremove_cli.errors import NothingError, UsageError, VremoveError
from vremove_cli.job.workdir.lease import abandoned, held_by_other, held_by_others, lease, take_away
from vremove_cli.job.workdir.records import digest_of, from_json, read_record, to_json, write_record

_RESULTS = ("masks", "states", "background", "plate", "fill")
_FOLDERS = (*_RESULTS, "done", "leases")
_TEMPORARY, _MADE = "temporary", "made by vremove\n"
_MARKER = "made-by-vremove"  # only a folder that holds it is one of ours
_DELIVERY = "delivery.json"  # is deleted after everything else: it says that the job has ended
_FAILURE = "failure.json"  # why a worker of a list gave the job up
_OURS = (*_FOLDERS, _TEMPORARY, _MARKER, _DELIVERY, _FAILURE, "plan.json")
# Files in the subfolders that are ours: named after a task (KIND-...) or a process, or left half-written by one.
_KINDS = "mask|track|correct|background|plate|fill"
_OUR_FILE = re.compile(rf"\.?(attend-\d+(-\d+)?|finish|planning|now|({_KINDS})-.+?)(\..+)?")
_HIDDEN = re.compile(r"\..+\.(\d+)\.\d+(\.part)?")  # half-written files and leases, with a process's number
FINISH = "finish"  # the lease on the last step
_ASK_AGAIN = 0.2  # seconds between looks for what other machines have finished
_ATTEMPTS = 5  # at entering a folder that its last user is deleting

R = TypeVar("R")


class WorkFolder:
    """One job's files.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Subfolders and tasks whose files were compared with their digests.
        self._compared: set[tuple[str, str]] = set()
        self._asked = -_ASK_AGAIN  # when the share was asked for new results, by the monotonic clock, in seconds

    @property
    def plan(self) -> Path:
        """The plan's file."""
        return self.path / "plan.json"

    @property
    def delivery(self) -> Path:
        """The file that says which results wait for their places, or when they got them."""
        return self.path / _DELIVERY

    @property
    def failure(self) -> Path:
        """The file that says why a worker of a list of jobs gave this one up."""
        return self.path / _FAILURE

    @property
    def temporary(self) -> bool:
        """Whether the folder is a run's own, to be deleted at the end."""
        return (self.path / _TEMPORARY).exists()

    @property
    def started(self) -> bool:
        """Whether there is a plan and some of it is done."""
        return self.plan.exists() and any((self.path / "done").glob("*.json"))

    def file(self, subfolder: str, name: str) -> Path:
        """Return the path of a file to write in one of the subfolders: masks, states, background, plate or fill."""
        return self.path / subfolder / name

    def existing(self, subfolder: str, name: str) -> Path:
        """Return the path of a file that a finished task left.

        The first time, all files of the task in the subfolder are compared with the digests that it recorded.

        Raises:
            VremoveError: A file is damaged or gone. Its task counts as not done from then on.
        """
        path, task = self.file(subfolder, name), name.split(".", maxsplit=1)[0]
        if (subfolder, task) not in self._compared:
            for key, digest in self._record(task).get("files", {}).items():
                if key.startswith(f"{subfolder}/") and not _intact(self.path / key, digest):
                    raise self._damaged(task, self.path / key)
            self._compared.add((subfolder, task))
        return path

    def claim(self) -> None:
        """Make the folder, or accept one of ours; a new one is temporary until `settle`.

        Raises:
            UsageError: The folder is not ours and holds anything, or one of ours was replaced by a link.
        """
        self.check()
        if self.path.exists():
            self._furnish(self.path, made=False)
        else:
            self._make()

    def check(self) -> None:
        """Raise `UsageError` as `claim` does, and make nothing."""
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is not a folder", "choose another one with --work")
        held = [p for p in self.path.iterdir() if not p.name.startswith(".")] if self.path.exists() else []
        ours = bool(held) and self._ours()
        strange = [p.name for p in held if p.name not in _OURS or not ours or p.is_symlink()]
        if strange:
            raise UsageError(
                f"{self.path} is not a work folder (it holds {strange[0]})", "choose another one with --work"
            )

    def _make(self) -> None:
        """Make the folder with all that marks it as ours, or nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(self.path)
        with atomic.reserved(self.path) as hidden:
            hidden.mkdir()
            self._furnish(hidden, made=True)
            try:
                os.rename(hidden, self.path)
            except OSError:  # another process was faster
                _clear(hidden)
                if not self.path.is_dir():
                    raise

    @staticmethod
    def _furnish(path: Path, *, made: bool) -> None:
        """Mark a folder as ours, and add what is missing; one without a plan becomes temporary."""
        if not (path / _MARKER).exists():
            atomic.write_text(path / _MARKER, "This folder is deleted by vremove.\n")
        if not (path / _TEMPORARY).exists() and not (path / "plan.json").exists():
            (path / _TEMPORARY).write_text(_MADE if made else "in a folder of the user's\n")
        for name in _FOLDERS:
            (path / name).mkdir(exist_ok=True)

    def _ours(self) -> bool:
        """Whether the folder is a work folder, or the rest of one that was being deleted."""
        if (self.path / _MARKER).is_file():
            return True
        with contextlib.suppress(OSError, ValueError):
            return "moves" in read_record(self.delivery)
        return False

    def settle(self) -> None:
        """Keep the folder: it is the user's now."""
        (self.path / _TEMPORARY).unlink(missing_ok=True)

    def keep(self, tasks: set[str]) -> None:
        """Delete the plan and the results of all tasks but these; leases stay."""
        self.plan.unlink(missing_ok=True)
        self.delivery.unlink(missing_ok=True)
        self.failure.unlink(missing_ok=True)
        for name in _FOLDERS:
            for file in _files(self.path / name) if name != "leases" else ():
                if file.name.split(".")[0] not in tasks:
                    file.unlink()

    def discard(self) -> None:
        """Delete a temporary folder that no other process uses; foreign files in it stay.

        A folder that we made and that holds nothing foreign is renamed first, so that it goes as a whole.
        """
        if not self.temporary or self.used_by_others():
            return
        made = (self.path / _TEMPORARY).read_text() == _MADE
        if not made or _foreign(self.path):
            _clear(self.path, itself=made)
            return
        with atomic.reserved(self.path) as hidden:
            os.rename(self.path, hidden)
            _clear(hidden, beside=self.path)

    def clear(self) -> None:
        """Go on deleting a folder of the user's that a killed process had begun to empty."""
        _clear(self.path, itself=False)

    def finished(self, task: str) -> bool:
        """Return whether a task has left its result; cheaper than reading it."""
        record = self._done(task)
        return record.exists() or (self._ask_again() and record.exists())

    def _ask_again(self, *, at_once: bool = False) -> bool:
        """Let a network file system forget which results it believes to be missing; return whether that was done.

        NFS remembers for up to a minute that a file was not there. When a folder is opened, it asks its server whether
        the folder has changed.
        """
        now = time.monotonic()
        if not at_once and now - self._asked < _ASK_AGAIN:
            return False
        self._asked = now
        with contextlib.suppress(OSError), os.scandir(self.path / "done"):
            pass
        return True

    def finished_tasks(self) -> set[str]:
        """Return the ids of all tasks that have left their results: one listing, where a farm's share is slow."""
        return {name.removesuffix(".json") for name in _names(self.path / "done") if name.endswith(".json")}

    def leased_tasks(self) -> set[str]:
        """Return the ids of all tasks that have a lease, whether its owner lives or not."""
        return _names(self.path / "leases")

    def result(self, task: str, kind: type[R]) -> R | None:
        """Return a task's result, or None while it is not finished.

        Args:
            task: The task's id.
            kind: Dataclass of its stage's results.

        Raises:
            VremoveError: The file is damaged.
        """
        if not self.finished(task):
            return None
        try:
            return from_json(kind, self._record(task)["result"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._damaged(task) from error

    def finish(self, task: str, result: object, seconds: float) -> None:
        """Record a task's result (a dataclass) and mark it as finished: the last thing a task does."""
        files = {f"{p.parent.name}/{p.name}": digest_of(p) for name in _RESULTS for p in self._files_of(name, task)}
        write_record(self._done(task), {"seconds": round(seconds, 3), "result": to_json(result), "files": files})

    def _files_of(self, subfolder: str, task: str) -> list[Path]:
        return sorted((self.path / subfolder).glob(f"{glob.escape(task)}.*"))

    def files_of(self, task: str) -> list[Path]:
        """Return the files that a finished task left, its record last."""
        return [*(p for name in _RESULTS for p in self._files_of(name, task)), self._done(task)]

    def _record(self, task: str) -> dict[str, Any]:
        """Return what a finished task recorded."""
        try:
            return read_record(self._done(task))
        except FileNotFoundError as error:
            raise VremoveError(f"the task {task} is not done", "run the command again") from error
        except ValueError as error:
            raise self._damaged(task) from error

    def _damaged(self, task: str, file: Path | None = None) -> VremoveError:
        """Return the error of a damaged file, or of a damaged record; its task counts as not done from then on."""
        record = self._done(task)
        record.unlink(missing_ok=True)
        return VremoveError(f"the work file {file or record} is damaged", "run the command again: it makes that anew")

    def _done(self, task: str) -> Path:
        return self.path / "done" / f"{task}.json"

    @contextmanager
    def lease(self, task: str) -> Iterator[bool]:
        """Hold a lease on a task while the block lasts; it gives whether this process has it.

        Once it is held, `finished` knows whether its last owner has done the task.
        """
        with lease(self.path / "leases" / task) as acquired:
            if acquired:
                self._ask_again(at_once=True)
            yield acquired

    def in_use(self, task: str) -> bool:
        """Return whether another living process holds the lease on a task."""
        return held_by_other(self.path / "leases" / task)

    @property
    def broken_off(self) -> bool:
        """Whether a process was killed in the folder, and none has entered it since."""
        return bool(abandoned(self.path / "leases"))

    def used_by_others(self) -> bool:
        """Return whether another living process holds a lease here."""
        return held_by_others(self.path / "leases")

    def forget_the_dead(self) -> None:
        """Remove the leases of killed processes, and their half-written files once no other process is here.

        Their numbers say nothing about processes of other machines. The lease on the last step stays: it tells that
        step, when it comes again, how it ended.
        """
        for path in abandoned(self.path / "leases"):
            if path.name != FINISH:
                take_away(path)
        if self.used_by_others():
            return
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            for file in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
                match = _HIDDEN.fullmatch(file.name)
                if match and int(match[1]) != os.getpid() and not atomic.process_lives(int(match[1])):
                    file.unlink(missing_ok=True)

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
                # Processes of two machines may have the same number.
                stack.enter_context(self.lease(f"attend-{os.getpid()}-{secrets.randbits(32)}"))
                self.forget_the_dead()
                return
            except FileNotFoundError:  # its last user is deleting it at this moment
                if attempt == _ATTEMPTS - 1:
                    raise


def clear_leftovers(path: Path) -> None:
    """Delete what processes that were killed while they made or deleted a work folder left beside its path."""
    for left in atomic.leftovers(path):
        _clear(left, beside=path)


def delivery_of(path: Path) -> Iterator[Path]:
    """Yield the delivery files of a work folder, and of those that were being deleted when a process was killed."""
    yield path / _DELIVERY
    for left in atomic.leftovers(path):
        yield left / _DELIVERY if left.is_dir() else left


def _names(folder: Path) -> set[str]:
    """Return the names in a folder without the hidden ones; none if it has gone."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.name.startswith(".")}
    except FileNotFoundError:
        return set()


def _intact(path: Path, digest: str) -> bool:
    try:
        return digest_of(path) == digest
    except OSError:
        return False


def _files(folder: Path) -> Iterator[Path]:
    """Yield files of ours in a subfolder; links are none."""
    for file in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
        if _OUR_FILE.fullmatch(file.name) and not file.is_symlink() and file.is_file():
            yield file


def _foreign(path: Path) -> bool:
    """Return whether a work folder holds anything that is not ours by its name."""
    if any(p.is_symlink() or (p.name not in _OURS and not _HIDDEN.fullmatch(p.name)) for p in path.iterdir()):
        return True
    folders = [path / name for name in _FOLDERS if (path / name).is_dir()]
    return any(len(list(folder.iterdir())) > len(list(_files(folder))) for folder in folders)


def _clear(path: Path, *, itself: bool = True, beside: Path | None = None) -> None:
    """Delete what is ours in a work folder: the plan first, the delivery file last.

    Args:
        path: The folder, or a delivery file that was left alone.
        itself: Whether the folder goes, too, if nothing else is in it.
        beside: Path of the work folder whose hidden name `path` is. The delivery file gets such a name before the
            folder goes: whenever the process is killed, the next one finds it, and knows that the job had ended.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    (path / "plan.json").unlink(missing_ok=True)
    for name in _FOLDERS:
        for file in _files(path / name):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (path / name).rmdir()
    for file in [p for p in path.iterdir() if _HIDDEN.fullmatch(p.name) and p.is_file()]:
        file.unlink(missing_ok=True)
    for name in (_TEMPORARY, _MARKER, _FAILURE):
        (path / name).unlink(missing_ok=True)
    with ExitStack() as stack:
        last = path / _DELIVERY
        if beside is not None and last.exists():
            last = stack.enter_context(atomic.reserved(beside))
            os.replace(path / _DELIVERY, last)
        elif itself:
            last.unlink(missing_ok=True)
        if itself:
            with contextlib.suppress(OSError):
                path.rmdir()
        last.unlink(missing_ok=True)
