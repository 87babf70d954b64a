"""vremove finish: write the results of planned jobs whose tasks are done."""

import time
from collections import deque
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vremove_cli.commands.signature import Given, StrictOptions, command, refuse_doubtful, reporting, tell_doubts
from vremove_cli.commands.work import PLANNED, Jobs, Other
from vremove_cli.console import Console
from vremove_cli.errors import UsageError, VremoveError, explain
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Exports, Request
from vremove_cli.options import values_from

if TYPE_CHECKING:
    from vremove_cli.batch.jobs import Job
    from vremove_cli.batch.run import Outcome
    from vremove_cli.job.render import Summary
    from vremove_cli.job.workdir.folder import WorkFolder

_PAUSE = 0.5  # seconds between two looks at results that other processes write


@command(
    Request,
    Exports,
    FileOptions,
    StrictOptions,
    name="finish",
    only=lambda o: o.name not in (*PLANNED, "work", "keep_work"),
)
def finish(
    jobs: Jobs,
    given: Given,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT", help="Result. \\[as planned]")] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave results that are written already.")
    ] = False,
    allow_other_version: Other = False,
) -> None:
    """Write the results of plans whose tasks are done.

    vremove finish job -o clip.clean.mp4
    vremove finish clips.jobs --skip-existing

    Of several jobs it prints a table; several processes may write them.
    """
    with reporting(given) as console:
        from vremove_cli.job.work_lists import folders_in

        folders = folders_in(jobs)
        options: dict[str, Any] = {
            "overwrite": given.read(FileOptions).overwrite,
            "exports": given.read(Exports),
            "allow_other_version": allow_other_version,
            **values_from(Request, given.of(Request)),
        }
        if skip_existing and options["overwrite"]:
            raise UsageError("--skip-existing and --overwrite contradict each other", "use one of them")
        if len(folders) == 1:
            _one(console, folders[0], output, given, options, skip_existing=skip_existing)
            return
        if output or given.of(Exports):
            raise UsageError(f"one output was given for {len(folders)} jobs", "give outputs to `vremove plan`")
        _Finishing(console, given, options, skip_existing=skip_existing).all(folders)


def _one(
    console: Console, folder: str, output: str | None, given: Given, options: dict[str, Any], *, skip_existing: bool
) -> None:
    """Write the result of one job."""
    from vremove_cli.job.workdir.folder import WorkFolder

    with console.watching() as event:
        summary = _finished(WorkFolder(Path(folder)), skip_existing, output=output, on_event=event, **options)
    console.done(summary)
    refuse_doubtful(given, summary)


def _finished(place: "WorkFolder", skip_existing: bool, **options: Any) -> "Summary":
    """Write the result of a job, unless it is there and may stay; return what was done."""
    from vremove_cli.job.delivery import delivered
    from vremove_cli.job.runner import run_finish

    summary = delivered(place) if skip_existing else None
    if summary is not None:
        return summary
    try:
        return run_finish(str(place.path), **options)
    except UsageError:
        summary = delivered(place) if skip_existing else None  # another process has just written it
        if summary is None:
            raise
        return summary


@dataclass
class _Finishing:
    """Writes the results of several jobs, beside other processes that do the same.

    A result that another process is writing is left for later, so that processes which began together do not follow
    one another from job to job.
    """

    console: Console
    given: Given
    options: dict[str, Any]
    _: KW_ONLY
    skip_existing: bool
    summaries: dict[str, "Summary"] = field(default_factory=dict)
    _folders: dict[str, str] = field(default_factory=dict)  # by the names of their jobs

    def all(self, folders: list[str]) -> None:
        """Write all results, print the table, and raise the error of those that failed."""
        from vremove_cli.batch.run import batch_error
        from vremove_cli.batch.table import table

        self.console.expect_jobs(len(folders), 1)
        outcomes: dict[str, Outcome] = {}
        waiting, busy = deque(folders), 0
        while waiting:
            folder = waiting.popleft()
            outcome = self._outcome(folder)
            if outcome is not None:
                outcomes[folder], busy = outcome, 0
                continue
            waiting.append(folder)
            busy += 1
            if busy >= len(waiting):
                time.sleep(_PAUSE)
        self.console.tell_people(table([outcomes[f] for f in folders], self.summaries))
        error = batch_error(outcomes.values())
        if error is not None:
            raise error

    def _outcome(self, folder: str) -> "Outcome | None":
        """Write one result; None while another process is writing it."""
        from vremove_cli.batch.jobs import Job
        from vremove_cli.batch.run import Outcome
        from vremove_cli.job.plan import Plan
        from vremove_cli.job.workdir.folder import FINISH, WorkFolder

        place = WorkFolder(Path(folder))
        job = Job(folder, name=folder)
        try:
            request = Plan.load(place.plan).request
            job = Job(request.input, request.output, name=self._name(folder, request))
            if place.in_use(FINISH):
                return None
            return Outcome(job, *self._written(place, job))
        except VremoveError as error:
            self.console.complain(error, job.name)
            return Outcome(job, "failed", explain(error)[1])

    def _name(self, folder: str, request: Request) -> str:
        """Return what a job is called: its clip, with the result where another job has the same clip."""
        names = (request.input, f"{request.input} -> {request.output}", folder)
        return next(name for name in names if self._folders.setdefault(name, folder) == folder)

    def _written(self, place: "WorkFolder", job: "Job") -> 'tuple[Literal["done", "doubtful"], str]':
        """Write one result unless it was written before; return its state and words."""
        with self.console.watching(job.name) as event:
            summary = _finished(place, self.skip_existing, on_event=event, **self.options)
        self.summaries[job.name] = summary
        self.console.done(summary)
        doubts = tell_doubts(self.console, self.given, summary, job.name)
        return ("doubtful" if doubts else "done"), doubts
