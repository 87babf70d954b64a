"""Write a file or a folder so that a reader finds all of it or none of it.

The data is written under a hidden name on the same file system, flushed to the disk (fsync) and renamed to the target
(rename(2) is atomic within a file system). A failed block leaves the target as it was and removes the hidden name.

Hidden names are `.NAME.PID.COUNT.part`, where COUNT is unique within the process, so that threads and processes may
write the same target at the same time: the last rename wins.

Several targets can appear together: within `together()` finished files wait under their hidden names, and the caller
renames them with `put_in_place` once it has recorded, on disk, which they are.
"""

import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from vremove_cli.errors import UsageError

_count = itertools.count()
# Hidden paths that this process is writing: another path with its process number was left by a process that had the
# same number before.
_in_progress: set[Path] = set()
_NUMBERS = re.compile(r"(\d+)\.\d+")  # in the name of a hidden path: its process, and which of its paths
# fsync of a file system that cannot flush, such as some network mounts.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@dataclass(frozen=True)
class Move:
    """A finished file or folder, and where it belongs.

    Attributes:
        hidden: Its absolute hidden path.
        target: Absolute path that it gets.
    """

    hidden: str
    target: str


_waiting: ContextVar[list[Move] | None] = ContextVar("_waiting", default=None)


@contextmanager
def together() -> Iterator[list[Move]]:
    """Let what the block writes wait under hidden names; a failed block leaves nothing.

    Yields:
        The files and folders that are finished, in order. What lies in a hidden folder is moved at once and not listed.
    """
    moves: list[Move] = []
    token = _waiting.set(moves)
    try:
        yield moves
    except BaseException:
        abandon(moves)
        raise
    finally:
        _waiting.reset(token)


def put_in_place(move: Move) -> None:
    """Rename a finished file or folder to its target; nothing happens if that was done before.

    An existing target folder keeps its other files and takes the new ones one by one.

    Raises:
        OSError: A file cannot be moved.
    """
    hidden, target = Path(move.hidden), Path(move.target)
    if hidden.is_dir() and target.exists():
        for file in sorted(hidden.iterdir()):
            os.replace(file, target / file.name)
        hidden.rmdir()
    elif hidden.exists():
        os.replace(hidden, target)
    _in_progress.discard(hidden)


def abandon(moves: list[Move]) -> None:
    """Delete files and folders that wait and will not be put in place."""
    for move in moves:
        _remove(Path(move.hidden))
        _in_progress.discard(Path(move.hidden))


@contextmanager
def replace_file(target: Path, *, keep_suffix: bool = False) -> Iterator[Path]:
    """Yield a hidden path beside a file's path; the file written there becomes `target` when the block succeeds.

    Args:
        target: Path of the file. Its folder must exist. An existing file is replaced, a symbolic link is too.
        keep_suffix: Whether the hidden name ends in the target's own suffix (`.clip.PID.COUNT.part.mp4`), for writers
            that choose a format by it.

    Yields:
        A path that does not exist yet.

    Raises:
        OSError: The file cannot be flushed or renamed, or the block did not write it.
    """
    with _hidden(target.parent, *_ends(target, keep_suffix)) as hidden:
        yield hidden
        _flush(hidden)
        _finish(hidden, target)


@contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Yield a new hidden folder; its files appear in `target` when the block succeeds.

    A target that does not exist is renamed into place as a whole. An existing one keeps its other files and takes the
    new ones one by one. The hidden folder lies inside an existing target, because that may be a file system of its
    own. Folders that killed processes left there are removed first.

    Args:
        target: Path of the folder. Missing parents are made.

    Yields:
        An empty folder, for files without subfolders.

    Raises:
        OSError: A file cannot be flushed or moved.
    """
    parent = target if target.exists() else target.parent
    parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(parent, *_ends(target, False))
    with _hidden(parent, *_ends(target, False)) as hidden:
        hidden.mkdir()
        yield hidden
        for file in sorted(hidden.iterdir()):
            _flush(file)
        _finish(hidden, target)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file so that a reader finds all of it or none of it.

    Raises:
        OSError: The file cannot be written.
    """
    with replace_file(target) as hidden:
        hidden.write_text(text, encoding="utf-8")


def remove_leftovers(target: Path, *, keep_suffix: bool = False) -> None:
    """Delete hidden files that processes of this machine left beside `target` when they were killed."""
    _remove_leftovers(target.parent, *_ends(target, keep_suffix))


def leftovers(target: Path) -> list[Path]:
    """Return hidden files and folders that processes of this machine left beside `target` when they were killed."""
    return list(_leftovers(target.parent, *_ends(target, False)))


@contextmanager
def reserved(target: Path) -> Iterator[Path]:
    """Yield a hidden path beside `target` that is no leftover while the block lasts; the caller makes and moves it."""
    path = target.parent.absolute() / f".{target.name}.{os.getpid()}.{next(_count)}.part"
    _in_progress.add(path)
    try:
        yield path
    finally:
        _in_progress.discard(path)


def process_lives(pid: int) -> bool:
    """Return whether a process of this machine has this number, and has not ended.

    One that has ended keeps its number until its parent asks for it; in a container there may be nobody who asks.
    """
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return False
    except psutil.AccessDenied:
        return True


def refuse_existing(target: str | Path, *, overwrite: bool, option: str = "-o") -> None:
    """Refuse to replace an existing file or folder unless the user allows it.

    Args:
        target: Path that would be written.
        overwrite: Whether the user allows to replace it.
        option: Command-line option that names the path, for the advice.

    Raises:
        UsageError: The path exists and `overwrite` is false.
    """
    if Path(target).exists() and not overwrite:
        raise UsageError(
            f"{target} exists already", f"add --overwrite to replace it, or choose another path with {option}"
        )


def refuse_dash(target: str) -> None:
    """Raise `UsageError` for `-`, which other programs take for standard output."""
    if Path(target).name == "-":
        raise UsageError("nothing is written to standard output", "name a file, as in -o clip.clean.mp4")


def _ends(target: Path, keep_suffix: bool) -> tuple[str, str]:
    """Return how a target's hidden names begin and end."""
    return (f".{target.stem}.", f".part{target.suffix}") if keep_suffix else (f".{target.name}.", ".part")


@contextmanager
def _hidden(folder: Path, prefix: str, suffix: str) -> Iterator[Path]:
    path = folder.absolute() / f"{prefix}{os.getpid()}.{next(_count)}{suffix}"
    if _defers(path):
        _remove_leftovers(path.parent, prefix, suffix)
    _in_progress.add(path)
    try:
        yield path
    finally:
        if path not in {Path(move.hidden) for move in _waiting.get() or ()}:
            _remove(path)
            _in_progress.discard(path)


def _defers(hidden: Path) -> bool:
    """Return whether a finished file waits: within `together`, unless it lies in a folder that will wait itself."""
    return _waiting.get() is not None and _in_progress.isdisjoint(hidden.parents)


def _finish(hidden: Path, target: Path) -> None:
    """Rename a finished file or folder, or let it wait."""
    move, waiting = Move(str(hidden), str(target.absolute())), _waiting.get()
    if waiting is not None and _defers(hidden):
        waiting.append(move)
    else:
        put_in_place(move)


def _remove_leftovers(folder: Path, prefix: str, suffix: str) -> None:
    for path in _leftovers(folder, prefix, suffix):
        _remove(path)


def _leftovers(folder: Path, prefix: str, suffix: str) -> Iterator[Path]:
    """Yield hidden paths whose process has ended; a user's `.masks.part` is none, for it has no numbers."""
    try:
        names = os.listdir(folder)
    except OSError:  # it is not there yet
        return
    for name in names:  # no pattern with the target's name in it: those are kept in memory, for each clip of thousands
        if not (name.startswith(prefix) and name.endswith(suffix)):
            continue
        path = folder.absolute() / name
        match = _NUMBERS.fullmatch(name[len(prefix) : len(name) - len(suffix)])
        if match is None or path in _in_progress or path.is_symlink():
            continue
        if int(match[1]) == os.getpid() or not process_lives(int(match[1])):
            yield path


def _remove(path: Path) -> None:
    """Delete a file or a folder if it exists."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Write a file's data from the system's cache to the disk."""
    descriptor = os.open(path, os.O_RDWR)  # Windows flushes only what may be written
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
