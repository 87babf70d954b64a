"""Live progress bars on a terminal: one for the job, and one for each of its stages."""

import os
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console as Rich
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TransferSpeedColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import TaskID

    from vremove_cli.job.progress import Line

_JOB = "all"


class _Amount(ProgressColumn):
    """How much is done."""

    def render(self, task: Task) -> Text:
        if task.fields["job"]:
            return Text(f"{task.completed:.0f} %")
        return (DownloadColumn() if task.fields["bytes"] else MofNCompleteColumn()).render(task)


class _Rate(ProgressColumn):
    """How fast it goes, and how long the job will still take."""

    def render(self, task: Task) -> Text:
        if task.fields["job"]:
            eta = task.fields["eta"]
            return Text("" if eta is None else f"{int(eta) // 60}:{int(eta) % 60:02d} left")
        if task.fields["bytes"]:
            return TransferSpeedColumn().render(task)
        return Text(f"{task.finished_speed or task.speed or 0:.1f} frames/s")


class LiveBars:
    """The bars of one job."""

    def __init__(self, stream: TextIO) -> None:
        rich = Rich(file=stream, no_color=bool(os.environ.get("NO_COLOR")))
        self._bars = Progress(TextColumn("{task.description}"), BarColumn(), _Amount(), _Rate(), console=rich)
        self._tasks: dict[str, TaskID] = {}
        self._bars.start()

    def update_all(self, percent: float | None, eta: float | None) -> None:
        """Show how far the whole command is."""
        self._set(_JOB, percent or 0.0, 100, job=True, bytes=False, eta=eta)

    def update_stage(self, verb: str, line: "Line") -> None:
        """Show how far a stage is."""
        total: Any = line["total"] or None
        self._set(verb, float(line["done"] or 0), total, job=False, bytes="bytes_per_second" in line, eta=None)

    def _set(self, name: str, done: float, total: float | None, **fields: Any) -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total, **fields)
        self._bars.update(self._tasks[name], completed=done, total=total, **fields)

    def print(self, text: str) -> None:
        """Print a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)

    def start(self) -> None:
        """Show the bars again after a stop."""
        self._bars.start()

    def stop(self) -> None:
        """Leave the bars as they are."""
        self._bars.stop()
