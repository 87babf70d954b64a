"""Inputs and results of tasks as bytes, for machines that share no folder.

A machine that works on a job has a copy of its work folder, with the inputs beside it. The plan names inputs by their
paths; in the copy these are the copies' paths.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from vremove_cli import atomic
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.workdir.records import read_record, write_record

_PIECE = 64 << 20  # bytes of a file that travel as one object: a few such pieces fit in any object store
_FORGOTTEN = 24 * 3600.0  # seconds without a task after which a copy is deleted; chosen
_WORK, _INPUTS = "job.vremove", "inputs"

Handle = Any  # names a piece of data that the transport carries
Put = Callable[[bytes], Handle]
Get = Callable[[Handle], bytes]


@dataclass(frozen=True)
class Shipment:
    """A job's plan and inputs, as handles on pieces of data.

    Attributes:
        name: Name of the copy's folder, another one for each submission.
        plan: The plan, as JSON.
        files: Pieces of each file that is read, by its path.
        inputs: Paths of the inputs as the plan names them: those files, and folders and patterns of pictures.
    """

    name: str
    plan: Handle
    files: dict[str, tuple[Handle, ...]]
    inputs: tuple[str, ...]


def ship(plan: Plan, work: WorkFolder, put: Put) -> Shipment:
    """Hand a job's plan and inputs to a transport.

    Args:
        plan: The plan.
        work: Its work folder.
        put: Takes a piece of data and returns its handle.
    """
    paths = sorted({p for info in plan.inputs.values() for p in (info.files or (info.path,))})
    text = json.dumps(read_record(work.plan)).encode()
    digest = hashlib.sha256(text + os.urandom(8)).hexdigest()[:16]
    files = {path: tuple(put(piece) for piece in _pieces(path)) for path in paths}
    inputs = {*paths, *(info.path for info in plan.inputs.values())}
    return Shipment(f"vremove-{digest}", put(text), files, tuple(sorted(inputs)))


def unpack(shipment: Shipment, node: str, get: Get) -> WorkFolder:
    """Return the copy of a job's work folder on this machine, made at the first call.

    Args:
        shipment: The job.
        node: Name of the node; several nodes may be on one machine.
        get: Returns a piece of data.
    """
    root = copy_of(shipment.name, node)
    root.parent.mkdir(parents=True, exist_ok=True)
    work = WorkFolder(root / _WORK)
    with FileLock(lock := f"{root}.lock"):
        os.utime(lock)
        if work.plan.exists():
            return work
        remove_forgotten()
        moved = {path: f"{root}/{_INPUTS}{path}" for path in shipment.inputs}
        for place, pieces in shipment.files.items():
            path = Path(moved[place])
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(get(piece))
        work.claim()
        work.settle()
        write_record(work.plan, _relocated(json.loads(get(shipment.plan)), moved))
    return work


def copy_of(name: str, node: str) -> Path:
    """Return where a job's copy lies on this machine."""
    return _all_copies() / node / name


def remove_forgotten() -> None:
    """Delete copies on this machine that no task has used for long: their client was killed, or their node ended.

    A job that is still alive gets its copy again with its next task.
    """
    for lock in _all_copies().glob("*/vremove-*.lock"):
        with suppress(OSError):
            if time.time() - lock.stat().st_mtime > _FORGOTTEN:
                remove_copy(lock.stem, lock.parent.name)


def _all_copies() -> Path:
    return Path(tempfile.gettempdir()) / f"vremove-nodes-{os.getuid()}"


def remove_copy(name: str, node: str) -> None:
    """Delete a job's copy on this machine."""
    root = copy_of(name, node)
    shutil.rmtree(root, ignore_errors=True)
    Path(f"{root}.lock").unlink(missing_ok=True)
    with suppress(OSError):  # the node has other jobs' copies
        root.parent.rmdir()


def pack_task(work: WorkFolder, task: str) -> dict[str, bytes]:
    """Return the files that a finished task left, by their path in the work folder; its record is the last."""
    return {str(path.relative_to(work.path)): path.read_bytes() for path in work.files_of(task)}


def unpack_task(work: WorkFolder, task: str, files: dict[str, bytes]) -> None:
    """Write the files of a finished task into a work folder, unless they are there."""
    if work.finished(task):
        return
    for name, content in files.items():
        with atomic.replace_file(work.path / name) as path:
            path.write_bytes(content)


def all_needs(needs: Mapping[str, tuple[str, ...]], task: str) -> list[str]:
    """Return the ids of the tasks that a task needs, directly or not, in an order that can be done.

    Args:
        needs: What each task of the plan needs directly.
        task: The task's id.
    """
    found: dict[str, None] = {}
    path = [(task, iter(needs[task]))]
    while path:
        name, rest = path[-1]
        needed = next((n for n in rest if n not in found), None)
        if needed is not None:
            path.append((needed, iter(needs[needed])))
        else:
            found[name] = None
            path.pop()
    return [name for name in found if name != task]


def _pieces(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _relocated(value: Any, moved: dict[str, str]) -> Any:
    """Return JSON values in which paths of inputs are those of their copies."""
    if isinstance(value, dict):
        return {_relocated(k, moved): _relocated(v, moved) for k, v in value.items()}
    if isinstance(value, list):
        return [_relocated(v, moved) for v in value]
    return _moved(value, moved) if isinstance(value, str) else value


def _moved(text: str, moved: dict[str, str]) -> str:
    """Return an input's path in the copy; other text stays. The plan's keys hold some behind a word and `@`."""
    word, at, path = text.partition("@")
    return moved.get(text) or (f"{word}@{moved[path]}" if at and path in moved else text)
