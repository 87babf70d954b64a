"""The one place that talks: stdout is data, stderr is talk. Turns a job's events into progress, notes and a summary."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from vremove_cli.errors import ExitCode, explain

_VERBS = {"scan": "reading", "track": "tracking", "effects": "looking for shadows",
          "plate": "recovering", "fill": "generating", "write": "writing", "fetch": "fetching (MB)"}  # fmt: skip
_LINE_EVERY = 0.5  # seconds between JSON progress lines of one stage


class Console:
    """Where a command prints. `progress` is auto (a live bar on a terminal), json or none."""

    def __init__(
        self, *, as_json: bool = False, progress: str = "auto", quiet: bool = False, debug: bool = False,
        out: TextIO | None = None, err: TextIO | None = None,
    ) -> None:  # fmt: skip
        self.as_json, self.quiet, self.debug = as_json, quiet, debug
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._mode = progress
        self._live = progress == "auto" and not quiet and not as_json and self._err.isatty()
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._last: dict[str, tuple[float, int]] = {}
        self._started: dict[str, float] = {}

    def data(self, value: Any, text: str) -> None:
        """The command's result: one JSON object with --json, else the text."""
        print(json.dumps(value) if self.as_json else text, file=self._out, flush=True)

    def say(self, text: str) -> None:
        """A line for the person who watches; a note among the lines of --progress json."""
        if self._mode == "json":
            self._json({"note": text})
        elif not self.quiet:
            self._print(text)

    def complain(self, text: str) -> None:
        """A failure that does not end the command; --quiet does not hide it."""
        if self._mode == "json":
            print(json.dumps({"error": text}), file=self._err, flush=True)
        else:
            self._print(f"vremove: {text}")

    def fail(self, error: BaseException) -> ExitCode:
        """Print what went wrong and what to do; gives the exit status."""
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
    def watching(self) -> Iterator[Any]:
        """A callback for a job's events; progress is shown until the block ends."""
        if self._live:
            self._bars = _bars(self._err)
            self._bars.start()
        try:
            yield self._event
        finally:
            if self._bars is not None:
                self._bars.stop()
                self._bars, self._tasks = None, {}

    def _event(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "Note":
            self.say(event.text)
        elif kind == "Progress":
            self._progress(event.stage, event.done, event.total)
        elif kind == "TaskDone" and self._mode == "json":
            self._json({"task": event.id, "reused": event.reused})

    def _progress(self, stage: str, done: int, total: int) -> None:
        if self._mode == "json":
            self._progress_line(stage, done, total)
        elif self._bars is not None:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(_VERBS.get(stage, stage), total=total or None)
            unit = 1_000_000 if stage == "fetch" else 1
            self._bars.update(self._tasks[stage], completed=done // unit, total=total // unit or None)
        elif self._mode == "auto" and not self._live and stage not in self._started:
            self._started[stage] = time.monotonic()
            self.say(f"{_VERBS.get(stage, stage)} ...")

    def _progress_line(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        self._started.setdefault(stage, now)
        if done != total and now - self._last.get(stage, (0.0, 0))[0] < _LINE_EVERY:
            return
        self._last[stage] = (now, done)
        spent = max(now - self._started[stage], 1e-6)
        speed = "bytes_per_second" if stage == "fetch" else "fps"
        line: dict[str, Any] = {"stage": stage, "done": done, "total": total, speed: round(done / spent, 2)}
        if total and done:
            line["eta"] = round(spent / done * (total - done), 1)
        self._json(line)

    def _json(self, line: dict[str, Any]) -> None:
        if not self.quiet:
            print(json.dumps(line), file=self._err, flush=True)


def _bars(stream: TextIO) -> Any:
    from rich.console import Console as Rich
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task: Any) -> Text:
            unit = "MB/s" if task.description == _VERBS["fetch"] else "frames/s"
            return Text(f"{task.finished_speed or task.speed or 0:.1f} {unit}")

    rich = Rich(file=stream, no_color=bool(os.environ.get("NO_COLOR")))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(""), TimeRemainingColumn())
    return Progress(*columns, console=rich)


def human(size: int) -> str:
    """Bytes as a person reads them."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit in ("B", "kB") else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def summary_text(summary: Any) -> str:
    """The lines at the end of a run."""
    streams = f", kept {', '.join(summary.streams)}" if summary.streams else ""
    filled = summary.unseen + summary.doubtful
    reused = f", {summary.reused} task(s) reused" if summary.reused else ""
    lines = [
        f"{summary.frames} frames, {summary.width}x{summary.height}, {summary.encoder}{streams}",
        f"of the erased pixels {summary.recovered:.1%} were recovered from other frames, {filled:.1%} are guessed",
        f"{summary.seconds:.1f} s{reused}",
    ]
    return "\n".join(lines)
