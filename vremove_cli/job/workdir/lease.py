"""Leases: which process works on what, in a folder that several processes and machines share.

A lease is a file with its owner's host, process id and start time. Its owner touches it every `HEARTBEAT` seconds. A
lease whose owner is dead, or that nobody has touched for `STALE` seconds, counts as abandoned and may be taken over.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vremove_cli.atomic import process_lives

HEARTBEAT = 5.0  # seconds between signs of life
STALE = 60.0  # seconds without one after which a lease counts as abandoned


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


def _identity() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _start_time(os.getpid())}


def _start_time(pid: int) -> str:
    """Return when a process started, so that a reused id is not taken for it; "" where the system does not say."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _acquire(path: Path) -> bool:
    """Take a lease that is free or abandoned."""
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
            _remove_abandoned(path, owner)
        finally:
            hidden.unlink(missing_ok=True)
    return False


def _remove_abandoned(path: Path, owner: dict[str, Any] | None) -> None:
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


def _owner(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None


def _abandoned(path: Path, owner: dict[str, Any]) -> bool:
    if owner.get("host") == socket.gethostname():
        born = _start_time(int(owner.get("pid", 0)))
        if not process_lives(int(owner.get("pid", 0))) or (born and owner.get("born") and born != owner["born"]):
            return True
        if born:
            return False  # the process may be asleep, but it exists
    try:
        return time.time() - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return False


def _keep_alive(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            if _owner(path) == _identity():
                os.utime(path)
