"""Leases: which process works on what, in a folder that several processes and machines share.

A lease is a file with its owner's machine, process id and start time. Its owner writes it again every `HEARTBEAT`
seconds. A lease whose owner is dead, or that nobody has written for `STALE` seconds, counts as abandoned and may be
taken over.

The clocks of two machines differ, and a clock may be set. So the time since a heartbeat is taken from the file system
alone, by a file that is written beside the lease; and a lease that this process has not seen change for `STALE`
seconds of its own monotonic clock is abandoned whatever its date.

Network file systems answer stat() from a cache that may be as old as `STALE`, but ask their server when a file is
opened. So a lease is read through one open file. Its heartbeat writes bytes, because the server dates what is written,
whereas SMB and sshfs send the client's own time with a date that is merely set.
"""

import contextlib
import json
import os
import secrets
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
UNWRITTEN = 5.0  # seconds after which a lease without content counts as abandoned: its owner was killed between
# creating it and writing it
_held: set[str] = set()  # tokens of the leases that this process has or is about to get


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Hold a lease with a heartbeat until the block ends.

    Args:
        path: The lease's file; its folder must exist.

    Yields:
        Whether this process has the lease.

    Raises:
        OSError: The folder has gone, or nothing can be written there.
    """
    with _registered() as mine:
        if not _acquire(path, mine):
            yield False
            return
        try:
            with _heartbeat(path, mine):
                yield True
        finally:
            found = _look(path)
            if found and found.owner == mine:
                path.unlink(missing_ok=True)


def held_by_others(folder: Path) -> bool:
    """Return whether a living process other than this one holds a lease in a folder, or is about to."""
    return any(not _is_own(found) and not _abandoned(path, found) for path, found in _leases(folder))


def held_by_other(path: Path) -> bool:
    """Return whether a living process other than this one holds a lease, or is about to."""
    found = _look(path)
    return found is not None and not _is_own(found) and not _abandoned(path, found)


def abandoned(folder: Path) -> list[Path]:
    """Return the leases in a folder whose owners are dead: some process was killed here."""
    return [path for path, found in _leases(folder) if _abandoned(path, found)]


def take_away(path: Path) -> None:
    """Remove a lease if it is abandoned."""
    found = _look(path)
    if found and _abandoned(path, found):
        with _registered() as mine:
            _evict(path, found, mine)


@dataclass(frozen=True)
class _Owner:
    """The process that has a lease.

    Attributes:
        host: Its machine, as far as process numbers mean something there.
        pid: Its number there.
        born: When it started, so that a reused number is not taken for it; "" where the system does not say.
        token: Is different for each lease that is taken.
    """

    host: str
    pid: int
    born: str
    token: str = ""


@dataclass(frozen=True)
class _Found:
    """A lease as it was found.

    Attributes:
        content: Its bytes.
        beat: When it was written last, in nanoseconds by the clock of its file system.
    """

    content: bytes
    beat: int

    @property
    def owner(self) -> _Owner | None:
        """Its owner; None while there is no readable content."""
        try:
            return from_json(_Owner, json.loads(self.content))
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class _Seen:
    """What this process knows of another machine's lease.

    Attributes:
        beat: The last heartbeat, by the clock of its file system.
        since: When that was first seen, by this process's monotonic clock, in seconds.
        moved: Whether it was seen to follow an earlier one: its owner lived at that moment.
    """

    beat: int
    since: float
    moved: bool


_seen: dict[Path, _Seen] = {}


def _identity() -> _Owner:
    return _Owner(_machine(), os.getpid(), _start_time(os.getpid()), secrets.token_hex(8))


@contextmanager
def _registered() -> Iterator[_Owner]:
    """Yield this process as an owner, whose lease does not count as abandoned while the block lasts."""
    mine = _identity()
    _held.add(mine.token)
    try:
        yield mine
    finally:
        _held.discard(mine.token)


def _machine() -> str:
    """Name the set of processes that this process's numbers belong to.

    Machines of a farm may have the same host name, and containers of one machine number their processes anew.
    """
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since the system did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _acquire(path: Path, mine: _Owner) -> bool:
    """Take a lease that is free or abandoned."""
    for _ in range(2):
        found = _look(path)
        if found and not (_abandoned(path, found) and _evict(path, found, mine)):
            return False
        if _put(path, _written(mine)):
            return True
    return False


def _put(path: Path, content: bytes) -> bool:
    """Put content under a name that must be free, so that exactly one of several processes succeeds.

    Args:
        path: The name.
        content: Bytes that no other process writes.

    Returns:
        Whether the name was free.

    Raises:
        OSError: The folder has gone, or nothing can be written there.
    """
    hidden = _hidden(path)
    hidden.write_bytes(content)
    try:
        os.link(hidden, path)  # the name appears with its content
        return True
    except FileExistsError:
        found = _look(path)  # a network file system repeats a request whose answer was lost, and finds its own file
        return found is not None and found.content == content
    except FileNotFoundError:
        raise
    except OSError:  # SMB, exFAT and others have no hard links, and say so with various numbers
        return _create(path, content)
    finally:
        hidden.unlink(missing_ok=True)


def _create(path: Path, content: bytes) -> bool:
    """Do what `_put` does where there are no hard links: for a moment the name has no content yet."""
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    found = _look(path)  # if this process slept before it wrote, another one may have taken the name for abandoned
    return found is not None and found.content == content


def _evict(path: Path, found: _Found, mine: _Owner) -> bool:
    """Remove a lease that was found to be abandoned.

    Of several processes that found it so, one at a time looks again and removes it: otherwise the second one would
    remove the lease that the first one took in its place.

    Args:
        path: The lease's file.
        found: The lease as it was judged.
        mine: This process.

    Returns:
        Whether the name is free now, unless another process has taken it meanwhile.
    """
    guard = path.with_name(f".{path.name}.evict")
    if not _put(guard, _written(mine)):
        other = _look(guard)
        if other and _abandoned(guard, other):
            guard.unlink(missing_ok=True)
        return False
    try:
        if _look(path) == found:
            _bury(path, found)
            return True
        return False
    finally:
        guard.unlink(missing_ok=True)


def _bury(path: Path, found: _Found) -> None:
    """Remove a lease; if its owner has woken and another process has the name, put that one's lease back."""
    grave = _hidden(path)
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, grave)
        moved = _look(grave)
        if moved and moved.content != found.content and moved.owner:
            _put(path, moved.content)
        grave.unlink(missing_ok=True)


def _written(owner: _Owner) -> bytes:
    return json.dumps(asdict(owner)).encode()


def _hidden(path: Path) -> Path:
    """Return a name beside a lease that no process of any machine has."""
    return path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}.{secrets.randbits(64)}")


def _leases(folder: Path) -> Iterator[tuple[Path, _Found]]:
    for path in folder.glob("[!.]*"):
        found = _look(path)
        if found:
            yield path, found


def _look(path: Path) -> _Found | None:
    """Return a lease; None if there is none, or if it may not be read."""
    try:
        with path.open("rb") as file:
            content = file.read()
            return _Found(content, os.fstat(file.fileno()).st_mtime_ns)
    except OSError:
        return None


def _is_own(found: _Found) -> bool:
    """Return whether a lease's owner is this process."""
    owner = found.owner
    return owner is not None and (owner.host, owner.pid, owner.born) == (
        _machine(), os.getpid(), _start_time(os.getpid()),
    )  # fmt: skip


def _abandoned(path: Path, found: _Found) -> bool:
    owner = found.owner
    if owner is not None and owner.host == _machine():
        born = _start_time(owner.pid)
        if not process_lives(owner.pid) or (born and owner.born and born != owner.born):
            return True
        if born:  # the process may be asleep, but it exists
            return _is_own(found) and owner.token not in _held
    return _silent(path, found.beat, STALE if owner else UNWRITTEN)


def _silent(path: Path, beat: int, limit: float) -> bool:
    """Return whether a lease's owner has given no sign of life for so many seconds.

    Args:
        path: The lease's file.
        beat: The last sign, in nanoseconds by the clock of the file system.
        limit: Seconds.
    """
    before, now = _seen.get(path), time.monotonic()
    if before is None or before.beat != beat:
        _seen[path] = before = _Seen(beat, now, before is not None and before.beat < beat)
    quiet = now - before.since
    if quiet > limit:
        return True
    if before.moved and quiet < 2 * HEARTBEAT:
        return False  # seen alive a moment ago: the share need not be asked for its time
    try:
        return _now_there(path.parent) - beat > limit * 1e9
    except OSError:
        return False


def _now_there(folder: Path) -> int:
    """Return the time by the clock of a folder's file system, in nanoseconds."""
    probe = _hidden(folder / "now")
    try:
        probe.write_bytes(b".")
        with probe.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def _heartbeat(path: Path, mine: _Owner) -> Iterator[None]:
    """Write a lease again and again while the block lasts."""
    stop = threading.Event()
    beat = threading.Thread(target=_keep_alive, args=(path, _written(mine), stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()


def _keep_alive(path: Path, content: bytes, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT):
        with contextlib.suppress(OSError), path.open("r+b") as file:
            if file.read() == content:  # the lease may be another process's by now
                file.seek(0)
                file.write(content)
