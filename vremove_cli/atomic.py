"""Write a file or a folder so that a reader finds all of it or none of it.

The data is written under a hidden name on the same file system, flushed to the disk (fsync) and renamed to the target
(rename(2) is atomic within a file system). A failed block leaves the target as it was and removes the hidden name.

Hidden names are `.NAME.PID.COUNT.part`, where COUNT is unique within the process, so that threads and processes may
write the same target at the same time: the last rename wins.
"""

import errno
import glob
import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vremove_cli.errors import UsageError

_count = itertools.count()
# Hidden paths that this process is writing: another path with its process number was left by a process that had the
# same number before.
_in_progress: set[Path] = set()
# fsync of a file system that cannot flush, such as some network mounts.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


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
        os.replace(hidden, target)


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
        files = sorted(hidden.iterdir())
        for file in files:
            _flush(file)
        if not target.exists():
            os.replace(hidden, target)
            return
        for file in files:
            os.replace(file, target / file.name)


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


def process_lives(pid: int) -> bool:
    """Return whether a process of this machine has this number."""
    import psutil

    return bool(psutil.pid_exists(pid))  # `os.kill(pid, 0)` would interrupt the process on Windows


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
    path = folder / f"{prefix}{os.getpid()}.{next(_count)}{suffix}"
    _in_progress.add(path.absolute())
    try:
        yield path
    finally:
        _remove(path)
        _in_progress.discard(path.absolute())


def _remove_leftovers(folder: Path, prefix: str, suffix: str) -> None:
    for path in folder.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        pid = path.name.removeprefix(prefix).split(".")[0]
        if not pid.isdigit() or path.absolute() in _in_progress:
            continue
        if int(pid) == os.getpid() or not process_lives(int(pid)):
            _remove(path)


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
