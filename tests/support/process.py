"""The real command in a process of its own, with an empty cache of models and settings of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from support import hub as fake


class Cli:
    """Runs `vremove` with a Hub of the tests'."""

    def __init__(self, hub: fake.Hub, home: Path, *command: str) -> None:
        self.home, self._command = home, command
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "VREMOVE_"))}
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "XDG_CONFIG_HOME": str(home / "config")}
        self.env = {**kept, **own}

    def start(self, *args: object, **env: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "vremove_cli", *self._command, *map(str, args)],
            env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.home,
        )  # fmt: skip

    def __call__(self, *args: object, status: int = 0, **env: str) -> tuple[str, str]:
        """What it printed on stdout and stderr; its exit status must be as said, and no traceback shown."""
        process = self.start(*args, **env)
        out, err = process.communicate(timeout=250)
        assert process.returncode == status, (out, err)
        assert "Traceback" not in err
        return out, err

    def fails(self, *args: object, **env: str) -> str:
        """The one sentence of a failure with exit code 6."""
        _, err = self(*args, status=6, **env)
        (line,) = [line for line in err.splitlines() if line.startswith("vremove: ")]
        return line

    @property
    def lock(self) -> dict[str, Any]:
        """What models are held to."""
        found: dict[str, Any] = json.loads((self.home / "config/vremove/models.lock.json").read_text())["models"]
        return found

    def row(self, name: str, **env: str) -> dict[str, Any]:
        """A model as `vremove models list` shows it."""
        rows = json.loads(self("list", "--json", **env)[0])
        return next(r for r in rows if r["name"] == name)
