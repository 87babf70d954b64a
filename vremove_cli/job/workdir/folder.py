"""The work folder: results renamed into place, and leases so that several processes can share it."""

import contextlib
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.media.write import process_lives

HEARTBEAT = 5.0  # seconds between signs of life
STALE = 60.0  # seconds without one after which a lease counts as abandoned
_FOLDERS = ("masks", "states", "effects", "plate", "fill", "done", "leases")
_TEMPORARY, _MADE = "temporary", "made by vremove\n"
_OURS = (*_FOLDERS, _TEMPORARY, "plan.json")


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write JSON so that a reader finds all of it or none."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with hidden.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


class WorkFolder:
    """Paths and states of one job's files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    def claim(self) -> None:
        """Make the folder, or accept one of ours; raises `UsageError` for a folder that holds anything else.

        A new one is marked as temporary: the run's own, to be cleared away in the end, until it is settled.
        """
        if self.path.is_dir():
            strange = [p.name for p in self.path.iterdir() if p.name not in _OURS and not p.name.startswith(".")]
            if strange:
                raise UsageError(
                    f"{self.path} is no work folder (it holds {strange[0]})", "choose another one with --work"
                )
        elif self.path.exists():
            raise UsageError(f"{self.path} is no folder", "choose another one with --work")
        fresh = not self.path.exists()
        empty = fresh or not any(self.path.iterdir())
        for name in _FOLDERS:
            (self.path / name).mkdir(parents=True, exist_ok=True)
        if empty:
            (self.path / _TEMPORARY).write_text(_MADE if fresh else "in a folder of the user's\n")

    @property
    def temporary(self) -> bool:
        return (self.path / _TEMPORARY).exists()

    @property
    def started(self) -> bool:
        """Whether there is a plan and some of it is done."""
        return self.plan.exists() and any((self.path / "done").glob("*.json"))

    def settle(self) -> None:
        """Make it last: it is the user's now."""
        (self.path / _TEMPORARY).unlink(missing_ok=True)

    def keep(self, tasks: set[str]) -> None:
        """Delete the plan and the results of all tasks but these, and nothing else; the leases stay."""
        self.plan.unlink(missing_ok=True)
        for name in _FOLDERS:
            for file in (self.path / name).iterdir() if name != "leases" else ():
                if file.name.split(".")[0] not in tasks:
                    file.unlink()

    def discard(self) -> None:
        """Delete a temporary folder that no other process is using; what is not ours in it stays."""
        if not self.temporary or self.others():
            return
        made = (self.path / _TEMPORARY).read_text() == _MADE
        for name in _FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("plan.json", _TEMPORARY):
            (self.path / name).unlink(missing_ok=True)
        for part in self.path.glob(".*.part"):
            part.unlink(missing_ok=True)
        if made:
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def file(self, kind: str, name: str) -> Path:
        return self.path / kind / name

    def result(self, task: str) -> dict[str, Any] | None:
        """What a finished task left, or None while it is not finished."""
        path = self.path / "done" / f"{task}.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or "seconds" not in found:
                raise ValueError("it is not complete")
            return found
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise VremoveError(f"the work file {path} is damaged ({error})", "delete it and run again") from error

    def finished(self, task: str) -> bool:
        """Whether a task has left its result; cheaper than reading it, which holds a box for every frame."""
        return (self.path / "done" / f"{task}.json").exists()

    def finish(self, task: str, result: dict[str, Any]) -> None:
        """Mark a task as finished; the last thing it does."""
        write_json(self.path / "done" / f"{task}.json", result)

    @contextmanager
    def lease(self, task: str) -> Iterator[bool]:
        """Whether this process may do the task now; it keeps the right, with a heartbeat, until the block ends."""
        path = self.path / "leases" / task
        if not _take(path):
            yield False
            return
        stop = threading.Event()
        beat = threading.Thread(target=_beat, args=(path, stop), daemon=True)
        beat.start()
        try:
            yield True
        finally:
            stop.set()
            beat.join()
            if _owner(path) == _identity():
                path.unlink(missing_ok=True)

    def others(self) -> bool:
        """Whether another living process holds a lease here."""
        mine = _identity()
        for path in (self.path / "leases").glob("*"):
            owner = _owner(path)
            if owner and owner != mine and not _abandoned(path, owner):
                return True
        return False


def _identity() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}


def _born(pid: int) -> str:
    """When a process started, so that a reused number is not taken for it; empty where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _take(path: Path) -> bool:
    for _ in range(2):
        hidden = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        hidden.write_text(json.dumps(_identity()))
        try:
            os.link(hidden, path)  # fails when the name is taken: exactly one process gets it, with its content in it
            return True
        except FileExistsError:
            owner = _owner(path)
            if owner is not None and not _abandoned(path, owner):
                return False
            _set_aside(path, owner)
        finally:
            hidden.unlink(missing_ok=True)
    return False


def _set_aside(path: Path, owner: dict[str, Any] | None) -> None:
    """Remove an abandoned lease. Of several processes that try, one moves it; who moves a lease that a faster one has
    just taken instead, puts it back."""
    grave = path.with_name(f".{path.name}.stale.{os.getpid()}.{time.monotonic_ns()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, grave)
        if _owner(grave) != owner:
            with contextlib.suppress(FileExistsError):
                os.link(grave, path)
        grave.unlink(missing_ok=True)


def _owner(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def _abandoned(path: Path, owner: dict[str, Any]) -> bool:
    if owner.get("host") == socket.gethostname():
        born = _born(int(owner.get("pid", 0)))
        if not process_lives(int(owner.get("pid", 0))) or (born and owner.get("born") and born != owner["born"]):
            return True
        if born:
            return False  # asleep, perhaps, but there
    try:
        return time.time() - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return False


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            if _owner(path) == _identity():
                os.utime(path)
