"""Pins: the commit and the hashes of each model's first fetch, in models.lock.json of the config folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vremove_cli import atomic
from vremove_cli.errors import ModelError
from vremove_cli.settings import config_folder, readable
from vremove_cli.weights.catalogue import Model, is_inside

FILE = "models.lock.json"


@dataclass(frozen=True)
class FileHash:
    """A file's size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Pin:
    """A model as it was first fetched.

    Attributes:
        repo: Repository on the Hub.
        revision: Branch, tag or commit of its table.
        commit: Commit of that revision at the first fetch.
        files: Sizes and hashes by path in the repository.
        accepted: Whether the user accepted a licence that limits the use.
    """

    repo: str
    revision: str
    commit: str
    files: dict[str, FileHash]
    accepted: bool = False

    def fits(self, model: Model) -> bool:
        """Return whether the model's table still names this repository and revision."""
        return (self.repo, self.revision) == (model.repo, model.revision)


def lock_path() -> Path:
    """Return the path of the lock file."""
    return config_folder() / FILE


def pins() -> dict[str, Pin]:
    """Return all pins by model name.

    Raises:
        ModelError: The lock file is damaged.
    """
    path = lock_path()
    if not readable(path):
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: _pin(table) for name, table in data["models"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error})", "correct it, or delete it to pin models again") from error


def pin_of(model: Model) -> Pin | None:
    """Return a model's pin; None if it was not fetched from the repository and revision of its table."""
    pin = pins().get(model.name)
    return pin if pin is not None and pin.fits(model) else None


def set_pin(name: str, pin: Pin | None) -> None:
    """Record a model's pin, or delete it (None); pins that other processes record meanwhile are kept."""
    from filelock import FileLock

    path = lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = pins()
        known.pop(name, None)
        if pin is not None:
            known[name] = pin
        text = json.dumps({"schema": 1, "models": {n: asdict(p) for n, p in sorted(known.items())}}, indent=1)
        atomic.write_text(path, text + "\n")


def _pin(table: Mapping[str, Any]) -> Pin:
    pin = Pin(**{**table, "files": {k: FileHash(**v) for k, v in table["files"].items()}})
    if not pin.files or not all(map(is_inside, (pin.commit, *pin.files))):
        raise ValueError(f"{pin.repo} lacks a commit or files")
    return pin
