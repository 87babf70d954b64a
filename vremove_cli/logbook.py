"""The file of --log: what a command showed, line by line with the time; a further run adds to it."""

import sys
from datetime import datetime
from pathlib import Path

from vremove_cli import __version__
from vremove_cli.errors import UsageError

_HEAD = "vremove log"


class Logbook:
    """A log file that is open."""

    def __init__(self, path: str) -> None:
        """Open the log, or make it.

        Raises:
            UsageError: The file is no log of ours, or cannot be written.
        """
        file = Path(path)
        try:
            fresh = not file.exists() or not file.stat().st_size
            if not fresh and file.open("rb").read(len(_HEAD)) != _HEAD.encode():
                raise UsageError(f"--log {path} exists and is no log of vremove", "choose another name")
            self._file = file.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise UsageError(f"--log {path} cannot be written ({error.strerror})", "choose another place") from error
        if fresh:
            self._file.write(f"{_HEAD}\n")
        self.write(f"vremove {__version__}: {' '.join(sys.argv[1:])}")

    def write(self, text: str) -> None:
        """Add lines, each with the time."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        self._file.write("".join(f"{now} {line}\n" for line in text.splitlines()))
