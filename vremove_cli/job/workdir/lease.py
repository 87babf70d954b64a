"""Leases: which process works on what, in a folder that several processes and machines share.

A lease is a file with its owner's host, process id and start time. Its owner touches it every `HEARTBEAT` seconds. A
lease whose owner is dead, or that nobody has touched for `STALE` seconds, counts as abandoned and may be taken over.

The clocks of two machines differ, and a clock may be set. So the time since a heartbeat is taken from the file system
alone, by a file that is written beside the lease; and a lease that this process has not seen change for `STALE`
seconds of its own monotonic clock is abandoned whatever its date.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from vremove_cli.atomic import process_lives
from vremove_cli.job.workdir.records import from_json

HEARTBEAT = 5.0  # seconds between signs of life
STALE = 60.0  # seconds without one after which a lease counts as abandoned
_seen: dict[Path, tuple[int, float]] = {}  # of other machines' leases: the last heartbeat, and when it was first seen


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Hold a lease with a heartbeat until the block ends.

    Args:
        path: The lease's file; its folder must exist.

    Yields:
        Whether this process has the lease.
    """
    if not _acquire(path):
        yield False
        return
    stop = threading.Event()
    beat = threading.Thread(target=_keep_alive, args=(path, stop), daemon=True)
    beat.start()
    try:
        yield True
    finally:
        stop.set()
        beat.join()
        if _owner(path) == _identity():
            path.unlink(missing_ok=True)


def held_by_others(folder: Path) -> bool:
    """Return whether a living process other than this one holds a lease in a folder."""
    mine = _identity()
    owners = ((path, _owner(path)) for path in folder.glob("*"))
    return any(owner and owner != mine and not _abandoned(path, owner) for path, owner in owners)


def abandoned(folder: Path) -> list[Path]:
    """Return the leases in a folder whose owners are dead: some process was killed here."""
    owners = ((path, _owner(path)) for path in folder.glob("[!.]*"))
    return [path for path, owner in owners if owner is None or _abandoned(path, owner)]


def take_away(path: Path) -> None:
    """Remove an abandoned lease."""
    _remove_abandoned(path, _owner(path))


@dataclass(frozen=True)
class _Owner:
    """The process that has a lease.

    Attributes:
        host: Its machine.
        pid: Its number there.
        born: When it started, so that a reused number is not taken for it; "" where the system does not say.
    """

    host: str
    pid: int
    born: str


def _identity() -> _Owner:
    return _Owner(socket.gethostname(), os.getpid(), _start_time(os.getpid()))


def _start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since the system did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _acquire(path: Path) -> bool:
    """Take a lease that is free or abandoned."""
    for _ in range(2):
        hidden = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        hidden.write_text(json.dumps(asdict(_identity())))
        try:
            os.link(hidden, path)  # fails when the name is taken: exactly one process gets it, with its content in it
            return True
        except FileExistsError:
            owner = _owner(path)
            if owner is not None and not _abandoned(path, owner):
                return False
            _remove_abandoned(path, owner)
        finally:
            hidden.unlink(missing_ok=True)
    return False


def _remove_abandoned(path: Path, owner: _Owner | None) -> None:
    """Remove an abandoned lease.

    Of several processes that try, one moves it away. If another process re-acquired the lease meanwhile, restore it.
    """
    grave = path.with_name(f".{path.name}.stale.{os.getpid()}.{time.monotonic_ns()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, grave)
        if _owner(grave) != owner:
            with contextlib.suppress(FileExistsError):
                os.link(grave, path)
        grave.unlink(missing_ok=True)


def _owner(path: Path) -> _Owner | None:
    try:
        return from_json(_Owner, json.loads(path.read_text()))
    except (OSError, ValueError, RecursionError):
        return None


def _abandoned(path: Path, owner: _Owner) -> bool:
    if owner.host == socket.gethostname():
        born = _start_time(owner.pid)
        if not process_lives(owner.pid) or (born and owner.born and born != owner.born):
            return True
        if born:
            return False  # the process may be asleep, but it exists
    try:
        beat = path.stat().st_mtime_ns
        if _now_there(path.parent) - beat > STALE * 1e9:
            return True
    except OSError:
        return False
    seen, since = _seen.get(path, (None, 0.0))
    if seen != beat:
        _seen[path] = (beat, time.monotonic())
        return False
    return time.monotonic() - since > STALE


def _now_there(folder: Path) -> int:
    """Return the time by the clock of a folder's file system, in nanoseconds."""
    probe = folder / f".now.{os.getpid()}.{threading.get_ident()}"
    probe.touch()
    try:
        return probe.stat().st_mtime_ns
    finally:
        probe.unlink(missing_ok=True)


def _keep_alive(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            if _owner(path) == _identity():
                os.utime(path)
