"""What was fetched first is what later runs hold to: commits and hashes, in one file in the user's config folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vremove_cli import atomic
from vremove_cli.errors import ModelError
from vremove_cli.settings import config_folder, readable
from vremove_cli.weights.catalogue import Model, inside

FILE = "models.lock.json"


@dataclass(frozen=True)
class FileHash:
    """A file's size in bytes and SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Pin:
    """A model as it was first fetched: the commit that its `revision` was then, and its files."""

    repo: str
    revision: str
    commit: str
    files: dict[str, FileHash]
    accepted: bool = False

    def holds(self, model: Model) -> bool:
        """Whether it speaks of the repository and revision that the model has now."""
        return (self.repo, self.revision) == (model.repo, model.revision)


def lock_path() -> Path:
    """Where the lock file is."""
    return config_folder() / FILE


def pins() -> dict[str, Pin]:
    """All pins by model; raises `ModelError` when the file is damaged."""
    path = lock_path()
    if not readable(path):
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: _pin(table) for name, table in data["models"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read ({error})", "mend it, or delete it to begin anew") from error


def pin_of(model: Model) -> Pin | None:
    """The pin that a model is held to, if it was fetched before from where it is now."""
    pin = pins().get(model.name)
    return pin if pin is not None and pin.holds(model) else None


def hold(name: str, pin: Pin | None) -> None:
    """Record a pin, or forget it (None). Other processes' records are kept."""
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


def _pin(table: dict[str, Any]) -> Pin:
    pin = Pin(**{**table, "files": {k: FileHash(**v) for k, v in table["files"].items()}})
    if not pin.files or not all(map(inside, (pin.commit, *pin.files))):
        raise ValueError(f"{pin.repo} lacks a commit or files")
    return pin
