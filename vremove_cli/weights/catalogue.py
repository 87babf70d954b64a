"""The models that can be fetched: the tables that ship with the tool, and the user's own over them."""

import re
import tomllib
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from vremove_cli.errors import ModelError, UsageError
from vremove_cli.settings import config_folder, readable

FILE = "models.toml"
DETECTOR = "grounding-dino-tiny"  # what --text asks
TASKS = ("track", "detect", "reason", "remove", "base")
ARCHITECTURES = ("sam2", "edgetam", "grounding-dino")
_REPO = re.compile(r"(?!.*(--|\.\.|\.git$))\w[\w.-]{0,95}(?<![.-])(/\w[\w.-]{0,95}(?<![.-]))?", re.ASCII)


@dataclass(frozen=True)
class Model:
    """One table of models.toml, whose head says what each value means. `megabytes` and `memory` are 0 if unknown."""

    name: str
    task: str
    licence: str
    commercial: bool
    repo: str = ""
    revision: str = "main"
    files: tuple[str, ...] = ()
    architecture: str = ""
    licence_url: str = ""
    megabytes: int = 0
    memory: int = 0
    manual: str = ""
    unverified: tuple[str, ...] = ()


def catalogue(own: str | None = None) -> dict[str, Model]:
    """All models by name: those that ship with the tool, then the config folder's, then those of the file `own`.

    Raises `UsageError` for a file that is not there or not valid.
    """
    tables = _tables(files("vremove_cli.weights").joinpath(FILE).read_text(encoding="utf-8"), FILE)
    mine = config_folder() / FILE
    for path in ([mine] if readable(mine) else []) + ([Path(own)] if own else []):
        for name, table in _tables(_read(path), str(path)).items():
            tables[name] = {**tables.get(name, {}), **table}
    return {name: _model(name, table) for name, table in tables.items()}


def find(name: str, models: dict[str, Model]) -> Model:
    """A model by name; raises `ModelError` for an unknown one."""
    if name not in models:
        raise ModelError(f"there is no model '{name}'", "`vremove models list` names them")
    return models[name]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error})", "check the path given with --models") from error


def _tables(text: str, where: str) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not valid TOML ({error})", "mend it, or move it away") from error
    known = {f.name for f in fields(Model)} - {"name"}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{where}: '{name}' is not a table", f"write [{name}] and its values below")
        if strange := sorted(set(table) - known):
            raise UsageError(f"{where}: [{name}] has an unknown value '{strange[0]}'", f"known are {sorted(known)}")
    return tables


def _model(name: str, table: dict[str, Any]) -> Model:
    needed = [f.name for f in fields(Model) if f.default is MISSING and f.name != "name"]
    if missing := [n for n in needed if n not in table]:
        raise UsageError(f"model [{name}] lacks {', '.join(missing)}", f"add it to its table in {FILE}")
    if table["task"] not in TASKS:
        raise UsageError(f"model [{name}] has the task '{table['task']}'", f"choose one of {', '.join(TASKS)}")
    if not table.get("manual") and not (table.get("repo") and table.get("files")):
        raise UsageError(f"model [{name}] says not where it is", "give it repo and files")
    for field in fields(Model):
        want: Any = {"files": list, "unverified": list, "commercial": bool, "megabytes": int, "memory": int}
        if field.name in table and not isinstance(table[field.name], want.get(field.name, str)):
            raise UsageError(
                f"model [{name}]: {field.name} = {table[field.name]!r} is of the wrong kind", f"see {FILE}"
            )
    _check_places(name, table)
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Model(name, **values)


def _check_places(name: str, table: dict[str, Any]) -> None:
    """Refuse what the Hub has no such name for, and files that would lie outside the model's own folder."""
    repo, revision, architecture = (table.get(k) for k in ("repo", "revision", "architecture"))
    if repo and not _REPO.fullmatch(repo):
        raise UsageError(f"model [{name}]: '{repo}' is no name of a repository", "write owner/name")
    if revision is not None and not inside(revision):
        raise UsageError(f"model [{name}]: '{revision}' is no revision", "give a branch, a tag or a commit")
    if architecture and architecture not in ARCHITECTURES:
        raise UsageError(
            f"model [{name}] has the architecture '{architecture}'", f"choose one of {', '.join(ARCHITECTURES)}"
        )
    for path in table.get("files", ()):
        if not inside(path):
            raise UsageError(f"model [{name}]: {path!r} is no file of a repository", "give paths within it, without ..")


def inside(path: Any) -> bool:
    """Whether a value is a path that stays inside the folder that it is of."""
    if not isinstance(path, str):
        return False
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path
