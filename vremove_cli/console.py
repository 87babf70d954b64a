"""The one output sink: stdout is data, stderr is for people. Shows a job's events as progress, notes and a summary.

With --progress json stderr is for machines, too: each line is one JSON object. What is shown also goes into the file of
--log, with the time of day.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from vremove_cli.errors import ExitCode, Interrupted, VremoveError, explain

if TYPE_CHECKING:
    from vremove_cli.job.attempts import Attempts
    from vremove_cli.job.events import Event
    from vremove_cli.job.progress import CommandProgress, Line
    from vremove_cli.job.render import Summary
    from vremove_cli.live_bars import LiveBars
    from vremove_cli.logbook import Logbook

VERBS = {
    "scan": "reading",
    "track": "tracking",
    "background": "modelling the background",
    "plate": "recovering",
    "fill": "generating",
    "write": "writing",
    "fetch": "fetching",
    "score": "measuring",
}
_PICTURE_VERBS = {**VERBS, "track": "finding the object", "background": "", "plate": "filling"}  # of one picture
_JSON_EVERY = 0.5  # seconds between JSON progress lines of one stage
_SILENCE = 10.0  # seconds after which a line tells people without a terminal, and the log, how far the work is


class Console:
    """Where a command prints.

    Attributes:
        as_json: Whether the result is printed as JSON.
        quiet: Whether only errors are printed.
        debug: Whether errors come with a traceback.
        input: The clip that failures are about; None before one is known.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        progress: str = "auto",
        quiet: bool = False,
        debug: bool = False,
        log: "Logbook | None" = None,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.as_json, self.quiet, self.debug = as_json, quiet, debug
        self.input: str | None = None
        self._out, self._err, self._log = out or sys.stdout, err or sys.stderr, log
        self._bars: LiveBars | None = None
        self._jobs: CommandProgress | None = None
        self._lines: dict[str, Line] = {}
        self._shown: dict[tuple[str, str], float] = {}
        self._lock = threading.RLock()
        self._awake = False
        self._answers: dict[str, bool] = {}
        self.use_progress(progress)

    def use_progress(self, mode: str) -> None:
        """Choose how progress is shown: auto (a live bar on a terminal), json or none."""
        self._mode = mode
        self._live = mode == "auto" and not self.quiet and not self.as_json and self._err.isatty()

    def use_log(self, log: "Logbook") -> None:
        """Write everything that is shown into a log, too."""
        self._log = log

    def expect_jobs(self, total: int, at_once: int) -> None:
        """Say how many jobs the command has, and how many run at the same time."""
        from vremove_cli.job.progress import CommandProgress

        self._jobs = CommandProgress(total, at_once)

    def data(self, kind: str, facts: dict[str, Any], text: str) -> None:
        """Print the command's result: with --json one object on one line, with its type, else the text."""
        from vremove_cli.job.report import enveloped

        print(json.dumps(enveloped(kind, facts)) if self.as_json else text, file=self._out, flush=True)

    def say(self, text: str) -> None:
        """Print a line for the person who watches; a note among the lines of --progress json."""
        if self._mode == "json":
            from vremove_cli.job.events import Note

            self._event(Note(text))
        elif not self.quiet:
            self._print(text)
        self._write_log(text)

    def done(self, summary: "Summary", kind: str = "result", name: str = "") -> None:
        """Print what a run did: for people on stderr, with the job's name if there is one, and as data on stdout."""
        from vremove_cli.job.report import result_of

        report = result_of(summary, kind)
        text = (f"{name}: " if name else "") + (summary_text(summary) if kind == "result" else mask_text(summary))
        if self._mode == "json":
            self._json(report)
        elif not self.quiet:
            self._print(text)
        self._write_log(text)
        paths = [o.path for o in summary.outputs if o.kind == kind]
        self.tell(report, "\n".join(paths))

    def skip(self, source: str, output: str) -> None:
        """Say that a clip is left out because its result exists."""
        from vremove_cli.job.report import enveloped

        report = enveloped("skipped", {"input": _absolute(source), "output": output})
        if self._mode == "json":
            self._json(report)
        else:
            self.say(f"{source}: skipped, since {output} exists")
        self.tell(report, "")

    def tell(self, report: dict[str, Any], text: str) -> None:
        """Print an object that is made already; without --json the text, if there is one."""
        if self.as_json or text:
            with self._lock:
                print(json.dumps(report) if self.as_json else text, file=self._out, flush=True)

    def tell_people(self, text: str) -> None:
        """Print for people what machines are told otherwise: which clip is next, the table at the end."""
        if self._mode != "json":
            self.say(text)

    def complain(self, error: BaseException, source: str | None = None) -> ExitCode:
        """Print a failure; --quiet does not hide it. Returns the exit status."""
        from vremove_cli.job.report import error_of

        code, sentence = explain(error)
        if self.debug or not isinstance(error, VremoveError | KeyboardInterrupt | Interrupted):
            self._trace(error)
        report = error_of(error, _absolute(source or self.input))
        named = f"{source}: " if source else ""
        line = f"vremove: {named}{' '.join(sentence.split())}"
        if self._mode == "json":
            self._json(report)
        else:
            self._print(line)
        self._write_log(line)
        if self.as_json and code not in (ExitCode.DOUBTFUL, ExitCode.BATCH):  # every result was printed, and says so
            self.tell(report, "")
        return code

    def fail(self, error: BaseException) -> ExitCode:
        """Print what went wrong and what to do; return the exit status."""
        return self.complain(error)

    def _trace(self, error: BaseException) -> None:
        import traceback

        text = "".join(traceback.format_exception(error))
        if self.debug:
            print(text, end="", file=self._err)
        self._write_log(text)

    def _print(self, text: str) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.print(text)
            else:
                print(text, file=self._err, flush=True)

    def _json(self, line: dict[str, Any]) -> None:
        with self._lock:
            print(json.dumps(line), file=self._err, flush=True)

    def _write_log(self, text: str) -> None:
        if self._log is not None:
            self._log.write(text)

    @property
    def asker(self) -> "Callable[[object], bool] | None":
        """What asks the person at the terminal; None where there is none, or everything is meant for a machine."""
        return self._ask if self._live and sys.stdin.isatty() else None

    def _ask(self, question: object) -> bool:
        """Ask a question that is answered by yes or no; the answer counts for all clips of the command."""
        import typer

        text = str(question)
        with self._lock:
            if text not in self._answers:
                if self._bars is not None:
                    self._bars.stop()
                self._answers[text] = typer.confirm(text, default=True, err=True)
                if self._bars is not None:
                    self._bars.start()
            return self._answers[text]

    @contextmanager
    def watching(self, source: str = "", *, elsewhere: bool = False) -> Iterator[Callable[["Event | Line"], None]]:
        """Yield a callback for a job's events; show progress until the block ends.

        Args:
            source: The clip.
            elsewhere: Whether the job runs in another process, whose lines of --progress json the callback gets.
        """
        if self._jobs is None:
            self.expect_jobs(1, 1)
        jobs = self._jobs
        assert jobs is not None
        job = jobs.begin(source, elsewhere=elsewhere)
        try:
            with self.alive():
                yield lambda event: self._take(source, job, event)
        finally:
            with self._lock:
                jobs.end(source)
                self._lines.pop(source, None)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Show bars, or a line after every silence, while the block lasts; a block in another one changes nothing."""
        if self._awake:
            yield
            return
        self._awake = True
        try:
            with self._bars_or_ticker():
                yield
        finally:
            self._awake = False

    @contextmanager
    def _bars_or_ticker(self) -> Iterator[None]:
        if self._live:
            from vremove_cli.live_bars import LiveBars

            self._bars = LiveBars(self._err)
            try:
                yield
            finally:
                self._bars.stop()
                self._bars = None
            return
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(ended,), daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()

    def _tick(self, ended: threading.Event) -> None:
        while not ended.wait(_SILENCE):
            with self._lock:
                for source in self._lines:
                    text = self._progress_text(source)
                    if self._mode == "auto" and not self.quiet:
                        self._print(text)
                    self._write_log(text)

    def _take(self, source: str, job: Any, event: "Event | Line") -> None:
        from vremove_cli.job.events import Expected, Progress

        if isinstance(event, dict):
            self._take_line(source, job, event)
        elif isinstance(event, Progress):
            self._show(source, job.update(event.stage, event.done, event.total))
        elif isinstance(event, Expected):
            job.expect(event.seconds)
        else:
            self._event(event)

    def _take_line(self, source: str, job: Any, line: "Line") -> None:
        """Show a line of another process."""
        if line["type"] == "progress":
            job.percent, job.eta = line["percent"], line["eta"]
            self._show(source, line)
        elif line["type"] == "note" and self._mode != "json":
            self.say(f"{source}: {line['text']}")
        elif line["type"] in ("note", "task") and self._mode == "json":
            self._json({**line, "input": _absolute(source)})

    def _event(self, event: "Event") -> None:
        from vremove_cli.job.events import Note
        from vremove_cli.job.report import event_of

        if self._mode == "json":
            line = event_of(event)
            if line is not None:
                self._json(line)
        elif isinstance(event, Note):
            self.say(event.text)
            return
        if isinstance(event, Note):
            self._write_log(event.text)

    def _show(self, source: str, line: "Line") -> None:
        """Show a line of progress in the way that was chosen."""
        with self._lock:
            self._show_locked(source, line)

    def _show_locked(self, source: str, line: "Line") -> None:
        stage, now = str(line["stage"]), time.monotonic()
        begins = source not in self._lines or self._lines[source]["stage"] != stage
        self._lines[source] = line
        if self._mode == "json":
            last = self._shown.get((source, stage), -_JSON_EVERY)
            if line["done"] == line["total"] or begins or now - last >= _JSON_EVERY:
                self._shown[source, stage] = now
                self._json(self._progress_json(source, line))
        elif self._bars is not None:
            assert self._jobs is not None
            self._bars.update_all(self._jobs.percent, self._jobs.eta)
            if self._jobs.at_once == 1:
                self._bars.update_stage(_verb(line) or VERBS[stage], line)
        verb = _verb(line)
        if begins and verb and self._mode != "json" and not self._live:
            text = f"{self._place(source)}{verb} ..."
            if self._mode == "auto" and not self.quiet:
                self._print(text)
            self._write_log(text)

    def _progress_json(self, source: str, line: "Line") -> dict[str, Any]:
        from vremove_cli.job.report import enveloped

        jobs = self._jobs
        assert jobs is not None
        facts = {**line, "input": _absolute(source or None)}
        if jobs.total > 1:
            percent, eta = jobs.percent, jobs.eta
            facts |= {"percent": None if percent is None else round(percent, 1)}
            facts |= {"eta": None if eta is None else round(eta, 1)}
            facts |= {"clip": jobs.place(source), "clips": jobs.total}
        return enveloped("progress", facts)

    def _progress_text(self, source: str) -> str:
        """Return how far the work is, as `tracking 34 of 96, 41 % of the job, about 12 s left`."""
        line, jobs = self._lines[source], self._jobs
        assert jobs is not None
        parts = [f"{self._place(source)}{_verb(line) or line['stage']} {line['done']}"]
        parts[0] += f" of {line['total']}" if line["total"] else ""
        if jobs.percent is not None:
            parts.append(f"{jobs.percent:.0f} % of the job")
        parts.append("time left unknown" if jobs.eta is None else f"about {format_seconds(jobs.eta)} left")
        return ", ".join(parts)

    def _place(self, source: str) -> str:
        assert self._jobs is not None
        return f"[{self._jobs.place(source)}/{self._jobs.total}] {source}: " if self._jobs.total > 1 else ""


def _absolute(source: str | None) -> str | None:
    """Return a clip's path as reports name it; an address stays as it is."""
    return source if source is None or "://" in source else os.path.abspath(source)


def format_bytes(size: int) -> str:
    """Return bytes as a person reads them, such as `1.2 GB`."""
    from rich.filesize import decimal

    return decimal(size)


def format_seconds(seconds: float) -> str:
    """Return a time as a person reads it, such as `12 s`, `3 min` or `1 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def frames_text(frames: int) -> str:
    """Return a number of frames as a person reads it: one is a picture."""
    return "1 picture" if frames == 1 else f"{frames} frames"


def _verb(line: "Line") -> str:
    """Return what a stage does, for people; nothing for what goes by unseen where there is one picture."""
    stage = str(line["stage"])
    return (_PICTURE_VERBS if line["total"] == 1 else VERBS).get(stage, stage)


def summary_text(summary: "Summary") -> str:
    """Return the lines at the end of a run."""
    if summary.frames == 1 and not summary.recovered:  # nothing but the picture itself could show what was hidden
        shares = []
    else:
        source = "the reference" if summary.frames == 1 else "other frames"
        shares = [
            f"of the erased pixels {summary.recovered:.1%} were recovered from {source}, {summary.doubtful:.1%} are "
            f"doubtful, {summary.unseen:.1%} no frame shows"
        ]
    streams = f", kept {', '.join(summary.streams)}" if summary.streams else ""
    reused = f", {summary.reused} task(s) reused" if summary.reused else ""
    lines = [
        f"{frames_text(summary.frames)}, {summary.width}x{summary.height}, {summary.encoder}{streams}",
        *shares,
        *_attempts_text(summary.attempts),
        f"{summary.seconds:.1f} s{reused}",
        *(f"better: {way}" for way in summary.better),
    ]
    return "\n".join(lines)


def _attempts_text(attempts: "tuple[Attempts, ...]") -> list[str]:
    """Return a line about fills that were made more than once."""
    if not attempts:
        return []
    count = sum(len(a.scores) for a in attempts)
    kept = [a.scores[a.kept] for a in attempts]
    span = f"{min(kept):.2f}" if len(kept) == 1 else f"{min(kept):.2f} to {max(kept):.2f}"
    return [f"{count} attempts, the best kept: score {span}"]


def mask_text(summary: "Summary") -> str:
    """Return the line at the end of a run that made masks."""
    better = "".join(f"\nbetter: {way}" for way in summary.better)
    return f"{frames_text(summary.frames)}, {summary.width}x{summary.height}, {summary.seconds:.1f} s{better}"
