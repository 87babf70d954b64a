"""Settings: command line > environment (VREMOVE_...) > vremove.toml > default.

`vremove.toml` is looked for in the working folder, then in the user's config folder; the first one found counts. Its
tables are commands, its keys the long flags: `[erase]` with `crf = 12` means `vremove erase --crf 12`.
"""

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.options import Option, checked, nearest

FILE = "vremove.toml"

_HEAD = re.compile(r"""\s*\[\s*["']?([\w-]+)["']?\s*(?:\.\s*["']?([\w-]+)["']?\s*)?\]""")  # [table] or [table.key]

# Options by name of each command; None for one that only its command knows, which takes text or a boolean.
Known = Mapping[str, Mapping[str, Option | None]]


def config_folder() -> Path:
    """Return the folder of the user's own settings."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "vremove"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "vremove"


def cache_folder() -> Path:
    """Return the folder of files that can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "vremove" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vremove"


def readable(path: Path) -> bool:
    """Return whether a file exists; False if its folder is not readable."""
    try:
        return path.is_file()
    except OSError:
        return False


def files_read() -> list[Path]:
    """Return the settings file that counts here, if there is one."""
    return [path.absolute() for path in (Path(FILE), config_folder() / FILE) if readable(path)][:1]


def load(known: Known) -> dict[str, Any]:
    """Read the settings file.

    Args:
        known: Options by command.

    Returns:
        Values by command and option, as Click's `default_map` wants them; those of `erase` count for `plan`, too.

    Raises:
        UsageError: The file is broken, or holds an unknown table or key, or a value of the wrong type; the error
            names the file, the line and the nearest known name.
    """
    for path in files_read():
        try:
            text = path.read_text(encoding="utf-8")
            tables = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise UsageError(f"{path} cannot be read ({error})", "correct it, or move it away") from error
        found = {command: _table(path, text, command, table, known) for command, table in tables.items()}
        if "erase" in found:
            shared = {k: v for k, v in found["erase"].items() if k in known.get("plan", ())}
            found["plan"] = {**shared, **found.get("plan", {})}
        return found
    return {}


def _table(path: Path, text: str, command: str, table: Any, known: Known) -> dict[str, Any]:
    """Return one command's checked values."""
    where = f"{path}:{_line(text, command, None)}"
    if not isinstance(table, dict):
        raise UsageError(f"{where}: '{command}' stands outside any table", "put it under [erase], or another command")
    if command not in known:
        raise UsageError(f"{where}: there is no command '{command}'", nearest(command, known))
    return {
        key.replace("-", "_"): _value(f"{path}:{_line(text, key, command)}", command, key, value, known)
        for key, value in table.items()
    }


def _value(where: str, command: str, key: str, value: Any, known: Known) -> Any:
    """Return one checked value, as text where the option repeats or has a type of its own."""
    name = key.replace("-", "_")
    options = known[command]
    if name not in options:
        raise UsageError(f"{where}: [{command}] has no option '{key}'", nearest(name, options))
    opt = options[name]
    if opt is None:
        if not isinstance(value, str | bool):
            raise UsageError(f"{where}: {key} = {value!r} is neither text nor true or false", "write it in quotes")
        return value
    try:
        found = checked(opt, value)
    except UsageError as error:
        raise UsageError(f"{where}: {error.problem}", error.advice) from None
    if opt.item is bool:
        return found
    return [str(v) for v in found] if opt.repeats else str(found)


def _line(text: str, key: str, table: str | None) -> int:
    """Return the line of a key, or of a table's head where `table` is None; 1 when it is not found."""
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := _HEAD.match(line):
            current = head[1]
            if (current, head[2]) == ((key, None) if table is None else (table, key)):
                return number
        elif re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line) and (table is None or current == table):
            return number
    return 1
