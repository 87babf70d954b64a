"""The catalogue of models: models.toml of this project, and the user's own tables over it."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.options import nearest
from vremove_cli.settings import config_folder, readable

FILE = "models.toml"
DETECTOR = "grounding-dino-tiny"  # the model behind --text
TASKS = ("track", "detect", "reason", "remove", "judge", "base")
ARCHITECTURES = ("sam2", "edgetam", "grounding-dino")
# Names that the Hub gives to repositories: at most 96 characters a part, no "--", "..", or ".git" at the end.
_REPO = re.compile(r"(?!.*(--|\.\.|\.git$))\w[\w.-]{0,95}(?<![.-])(/\w[\w.-]{0,95}(?<![.-]))?", re.ASCII)
_TYPES = {"files": list, "unverified": list, "commercial": bool, "megabytes": int, "memory": int, "parts": dict}


@dataclass(frozen=True)
class Model:
    """One table of models.toml; the comment at the head of that file describes each value.

    Attributes:
        name: Name of the table.
        task: One of `TASKS`.
        licence: SPDX identifier, or the licence's own name.
        commercial: Whether the licence allows every use.
        repo: Repository on the Hub; "" for a model that the user fetches by hand.
        revision: Branch, tag or commit.
        files: Patterns of the files to fetch.
        parts: Paths in the repository by what they hold, such as vae or tokenizer; the first that exists counts.
        architecture: One of `ARCHITECTURES`, or "".
        licence_url: Page of the licence.
        megabytes: Size of the download in MB; 0 if unknown.
        memory: Memory that running it takes, in MB; 0 if unknown.
        manual: Where to fetch by hand what is not on the Hub.
        unverified: Names of the values that were not read from the repository.
    """

    name: str
    task: str
    licence: str
    commercial: bool
    repo: str = ""
    revision: str = "main"
    files: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    architecture: str = ""
    licence_url: str = ""
    megabytes: int = 0
    memory: int = 0
    manual: str = ""
    unverified: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Model":
        """Return a model from its fields as TOML or JSON hold them."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        parts = {part: (p,) if isinstance(p, str) else tuple(p) for part, p in values.get("parts", {}).items()}
        return cls(**{**plain, "parts": parts})


def catalogue(own: str | None = None) -> dict[str, Model]:
    """Return all models by name: this project's, then those of the config folder, then those of a file.

    Args:
        own: A models.toml of the user; its tables replace single values or add models.

    Raises:
        UsageError: A file cannot be read or is not valid.
    """
    tables = _tables(_shipped(), FILE)
    in_config = config_folder() / FILE
    for path in ([in_config] if readable(in_config) else []) + ([Path(own)] if own else []):
        for name, table in _tables(_read(path), str(path)).items():
            tables[name] = {**tables.get(name, {}), **table}
    return {name: _model(name, table) for name, table in tables.items()}


def find(name: str, models: dict[str, Model]) -> Model:
    """Return a model by name.

    Raises:
        UsageError: No model has this name.
    """
    if name not in models:
        raise UsageError(f"there is no model '{name}'", nearest(name, models))
    return models[name]


def is_inside(path: object) -> bool:
    """Return whether a value is a relative path that cannot leave its folder."""
    if not isinstance(path, str):
        return False
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path


def _shipped() -> str:
    """The text of models.toml: in an installed package beside this module, in a checkout at the top."""
    packaged = files("vremove_cli.weights").joinpath(FILE)
    if packaged.is_file():
        return packaged.read_text(encoding="utf-8")
    return (Path(__file__).parents[2] / FILE).read_text(encoding="utf-8")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read ({error})", "check the path given with --models") from error


def _tables(text: str, source: str) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not valid TOML ({error})", "correct it, or move it away") from error
    known = {f.name for f in fields(Model)} - {"name"}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{source}: '{name}' is not a table", f"write [{name}] and its values below")
        if unknown := sorted(set(table) - known):
            raise UsageError(f"{source}: [{name}] has an unknown value '{unknown[0]}'", f"known are {sorted(known)}")
    return tables


def _model(name: str, table: dict[str, Any]) -> Model:
    required = [f.name for f in fields(Model) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [n for n in required if n != "name" and n not in table]:
        raise UsageError(f"model [{name}] lacks {', '.join(missing)}", f"add it to its table in {FILE}")
    if table["task"] not in TASKS:
        raise UsageError(f"model [{name}] has the task '{table['task']}'", f"choose one of {', '.join(TASKS)}")
    if not table.get("manual") and not (table.get("repo") and table.get("files")):
        raise UsageError(f"model [{name}] does not say where its files are", "give it repo and files")
    for key, value in table.items():
        if not isinstance(value, _TYPES.get(key, str)):
            raise UsageError(f"model [{name}]: {key} = {value!r} is of the wrong kind", f"see {FILE}")
    _check_places(name, table)
    return Model.from_json({"name": name, **table})


def _check_places(name: str, table: dict[str, Any]) -> None:
    """Refuse names that the Hub does not allow, and paths that leave the model's own folder."""
    repo, revision, architecture = (table.get(k) for k in ("repo", "revision", "architecture"))
    if repo and not _REPO.fullmatch(repo):
        raise UsageError(f"model [{name}]: '{repo}' is no name of a repository", "write owner/name")
    if revision is not None and not is_inside(revision):
        raise UsageError(f"model [{name}]: '{revision}' is no revision", "give a branch, a tag or a commit")
    if architecture and architecture not in ARCHITECTURES:
        raise UsageError(
            f"model [{name}] has the architecture '{architecture}'", f"choose one of {', '.join(ARCHITECTURES)}"
        )
    parts = [p for value in table.get("parts", {}).values() for p in (value if isinstance(value, list) else [value])]
    for path in (*table.get("files", ()), *parts):
        if not is_inside(path):
            raise UsageError(f"model [{name}]: {path!r} is no file of a repository", "give paths within it, without ..")
