"""Writing what a scheduler is given: a template or a script, and the list of work folders beside it."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vremove_cli import atomic
from vremove_cli.errors import UsageError
from vremove_cli.farm.openjd import template
from vremove_cli.farm.slurm import script
from vremove_cli.farm.steps import Step, Submission

Kind = Literal["openjd", "slurm"]
_SUFFIXES: dict[Kind, tuple[str, ...]] = {"openjd": (".json", ".yaml", ".yml"), "slurm": (".sh", ".slurm", ".sbatch")}
_OURS = b"vremove plan --export"  # stands in each file that is written here
_HEAD = 4096  # bytes of a file in which that is looked for


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The template or the script.
        jobs: The list of work folders.
        workers: Workers of a step, at most.
        steps: Its steps.
    """

    path: Path
    jobs: Path
    workers: int
    steps: tuple[Step, ...]


def check_place(kind: Kind, path: Path) -> None:
    """Raise `UsageError` for a file that cannot be written, or should not be."""
    known = _SUFFIXES[kind]
    if path.suffix.lower() not in known:
        raise UsageError(f"--export-to {path} does not end in {' or '.join(known)}", f"as --export {kind} needs it")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"the folder {folder} of --export-to does not exist", "make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"nothing can be written to the folder {folder}", "choose another place with --export-to")
    if path.is_dir():
        raise UsageError(f"--export-to {path} is a folder", "name a file")
    if path.exists() and _OURS not in _first_bytes(path):
        raise UsageError(f"{path} is there, and is no export of vremove", "choose another name with --export-to")


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def export(kind: Kind, path: Path, jobs: Submission, asked: int | None, gpu_type: str | None) -> Exported:
    """Write planned jobs for a scheduler.

    Args:
        kind: Which scheduler.
        path: The file to write; the list of jobs is beside it, with `.jobs` after the name.
        jobs: The planned jobs.
        asked: Workers of a step, at most; None: as many as find work at the same time.
        gpu_type: Type of the GPUs, as the cluster names it; None for any.

    Raises:
        OSError: A file cannot be written.
    """
    path = path.absolute()
    steps, beside = jobs.steps(asked), path.with_name(f"{path.name}.jobs")
    if kind == "slurm":
        text = script(steps, jobs.title, str(beside), path.name, gpu_type)
    else:
        as_text = _as_json if path.suffix.lower() == ".json" else _as_yaml
        text = as_text(template(steps, jobs.title, beside.name))
    atomic.write_text(beside, "".join(f"{folder}\n" for folder in jobs.folders))
    atomic.write_text(path, text)
    return Exported(path, beside, jobs.workers(asked), steps)


def _as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def _as_yaml(values: dict[str, Any]) -> str:
    import yaml

    dump: Callable[..., str] = yaml.safe_dump
    return dump(values, sort_keys=False, allow_unicode=True, width=110)
