"""The one output sink: stdout is data, stderr is for people. Shows a job's events as progress, notes and a summary."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from vremove_cli.errors import ExitCode, explain

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from vremove_cli.job.events import Event
    from vremove_cli.job.render import Summary

_VERBS = {
    "scan": "reading",
    "track": "tracking",
    "background": "modelling the background",
    "plate": "recovering",
    "fill": "generating",
    "write": "writing",
    "fetch": "fetching",
}
_LINE_EVERY = 0.5  # seconds between JSON progress lines of one stage


class Console:
    """Where a command prints.

    Attributes:
        as_json: Whether the result is printed as JSON.
        quiet: Whether only errors are printed.
        debug: Whether errors come with a traceback.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        progress: str = "auto",
        quiet: bool = False,
        debug: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.as_json, self.quiet, self.debug = as_json, quiet, debug
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self.use_progress(progress)

    def use_progress(self, mode: str) -> None:
        """Choose how progress is shown: auto (a live bar on a terminal), json or none."""
        self._mode = mode
        self._live = mode == "auto" and not self.quiet and not self.as_json and self._err.isatty()

    def data(self, value: object, text: str) -> None:
        """Print the command's result: one JSON object with --json, else the text."""
        print(json.dumps(value) if self.as_json else text, file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Print a line for the person who watches; a note among the lines of --progress json."""
        if self._mode == "json":
            self._json({"note": text})
        elif not self.quiet:
            self._print(text)

    def complain(self, text: str) -> None:
        """Print a failure that does not end the command; --quiet does not hide it."""
        if self._mode == "json":
            print(json.dumps({"error": text}), file=self._err, flush=True)
        else:
            self._print(f"vremove: {text}")

    def fail(self, error: BaseException) -> ExitCode:
        """Print what went wrong and what to do; return the exit status."""
        code, sentence = explain(error)
        if self.debug:
            import traceback

            traceback.print_exception(error, file=self._err)
        if self.as_json:
            print(json.dumps({"error": sentence, "exit": int(code)}), file=self._out, flush=True)
        print(f"vremove: {' '.join(sentence.split())}", file=self._err, flush=True)
        return code

    def _print(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._err, flush=True)

    @contextmanager
    def watching(self) -> Iterator[Callable[["Event"], None]]:
        """Yield a callback for a job's events; show progress until the block ends."""
        if self._live:
            self._bars = _bars(self._err)
            self._bars.start()
        try:
            yield self._event
        finally:
            if self._bars is not None:
                self._bars.stop()
                self._bars, self._tasks = None, {}

    def _event(self, event: "Event") -> None:
        from vremove_cli.job.events import Note, Progress, TaskDone

        if isinstance(event, Note):
            self.say(event.text)
        elif isinstance(event, Progress):
            self._progress(event.stage, event.done, event.total)
        elif isinstance(event, TaskDone) and self._mode == "json":
            self._json({"task": event.id, "reused": event.reused})

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._mode == "json":
            self._progress_line(stage, done, total)
        elif self._bars is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(_VERBS.get(stage, stage), total=total or None)
            self._bars.update(self._tasks[stage], completed=done, total=total or None)
        elif self._mode == "auto" and not self._live and stage not in self._started:
            self._started[stage] = time.monotonic()
            self.say(f"{_VERBS.get(stage, stage)} ...")

    def _progress_line(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        self._started.setdefault(stage, now)
        if done != total and now - self._last.get(stage, 0.0) < _LINE_EVERY:
            return
        self._last[stage] = now
        spent = max(now - self._started[stage], 1e-6)
        speed = "bytes_per_second" if stage == "fetch" else "fps"
        line: dict[str, Any] = {"stage": stage, "done": done, "total": total, speed: round(done / spent, 2)}
        if total and done:
            line["eta"] = round(spent / done * (total - done), 1)
        self._json(line)

    def _json(self, line: dict[str, Any]) -> None:
        if not self.quiet:
            print(json.dumps(line), file=self._err, flush=True)


def _bars(stream: TextIO) -> "Bars":
    """Return live bars: frames and frames/s, or bytes and bytes/s while models are fetched."""
    from rich.console import Console as Rich
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.text import Text

    class Amount(ProgressColumn):
        """How much is done."""

        def render(self, task: Task) -> Text:
            column = DownloadColumn() if task.description == _VERBS["fetch"] else MofNCompleteColumn()
            return column.render(task)

    class Rate(ProgressColumn):
        """How fast it goes."""

        def render(self, task: Task) -> Text:
            if task.description == _VERBS["fetch"]:
                return TransferSpeedColumn().render(task)
            return Text(f"{task.finished_speed or task.speed or 0:.1f} frames/s")

    rich = Rich(file=stream, no_color=bool(os.environ.get("NO_COLOR")))
    return Progress(
        TextColumn("{task.description}"), BarColumn(), Amount(), Rate(), TimeRemainingColumn(), console=rich
    )


def format_bytes(size: int) -> str:
    """Return bytes as a person reads them, such as `1.2 GB`."""
    from rich.filesize import decimal

    return decimal(size)


def summary_text(summary: "Summary") -> str:
    """Return the lines at the end of a run."""
    streams = f", kept {', '.join(summary.streams)}" if summary.streams else ""
    guessed = summary.unseen + summary.doubtful
    reused = f", {summary.reused} task(s) reused" if summary.reused else ""
    lines = [
        f"{summary.frames} frames, {summary.width}x{summary.height}, {summary.encoder}{streams}",
        f"of the erased pixels {summary.recovered:.1%} were recovered from other frames, {guessed:.1%} are guessed",
        f"{summary.seconds:.1f} s{reused}",
    ]
    return "\n".join(lines)
