"""Settings: flags > environment (VREMOVE_...) > vremove.toml > default.

`vremove.toml` is looked for in the working folder, then in the user's config folder. Its tables are commands, its keys
the long flags: `[erase]` with `crf = 12` means `vremove erase --crf 12`.
"""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError

FILE = "vremove.toml"


def config_folder() -> Path:
    """Where the user's own settings live."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA", Path.home())) / "vremove"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "vremove"


def cache_folder() -> Path:
    """Where what can be made again is kept."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "vremove" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vremove"


def readable(path: Path) -> bool:
    """Whether a settings file is there; one in a folder that may not be entered is none of ours."""
    try:
        return path.is_file()
    except OSError:
        return False


def load() -> dict[str, Any]:
    """Defaults by command and option, as Click's `default_map` wants them; raises `UsageError` for a broken file."""
    for path in (Path(FILE), config_folder() / FILE):
        if readable(path):
            try:
                tables = tomllib.loads(path.read_text(encoding="utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
                raise UsageError(f"{path} cannot be read ({error})", "mend it, or move it away") from error
            return {
                command: {k.replace("-", "_"): v for k, v in table.items()}
                for command, table in tables.items()
                if isinstance(table, dict)
            }
    return {}
