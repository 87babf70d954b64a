"""Runs the command line in a process of its own, so that what the page does is what its command would do."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import Any

_COMMAND = (sys.executable, "-m", "vremove_cli")
_PATIENCE = 10.0  # seconds that a process may take to end after it was told to


@dataclass
class Running:
    """What is known of a command.

    Attributes:
        name: What it does: "follow" or "erase".
        progress: Its last line of progress.
        notes: Its notes.
        result: What it printed at the end.
        error: Why it failed; empty while it has not.
        ended: Whether it has ended.
    """

    name: str
    progress: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    error: str = ""
    ended: bool = False


class Child:
    """One command at a time."""

    def __init__(self) -> None:
        self.state: Running | None = None
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    @property
    def busy(self) -> bool:
        """Whether a command is running."""
        return self.state is not None and not self.state.ended

    def start(self, name: str, arguments: list[str]) -> None:
        """Start `vremove ARGUMENTS`; the one before must have ended."""
        state = self.state = Running(name)
        command = [*_COMMAND, *arguments, "--json", "--progress", "json"]
        self._process = process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=os.name == "posix",  # Ctrl+C in the terminal is for the page's server
        )
        self._threads = [threading.Thread(target=self._watch, args=(process, state), daemon=True)]
        self._threads[0].start()

    def cancel(self) -> None:
        """End the command; what it has done stays in its work folder."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
        for thread in self._threads:
            thread.join()

    def _watch(self, process: "subprocess.Popen[str]", state: Running) -> None:
        """Read what the command prints until it ends."""
        assert process.stderr is not None
        assert process.stdout is not None
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
        reader.start()
        for line in process.stderr:
            said = _object(line)
            if said.get("type") == "progress":
                state.progress = said
            elif said.get("type") == "note":
                state.notes.append(str(said.get("text", "")))
            elif said.get("type") == "error":
                state.error = str(said.get("error", ""))
        reader.join()
        status = process.wait()
        last = _object(lines[-1]) if lines else {}
        if status == 0:
            state.result = last
        elif not state.error:
            state.error = str(last.get("error", "")) or f"it ended with exit status {status}"
        state.ended = True


def answer_of(arguments: list[str]) -> dict[str, Any]:
    """Run `vremove ARGUMENTS` to its end and return what it printed; "error" where it failed before."""
    command = [*_COMMAND, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL)
    lines = done.stdout.splitlines()
    return _object(lines[-1]) if lines else {"error": done.stderr.strip()}


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
