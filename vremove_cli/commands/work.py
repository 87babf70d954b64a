"""vremove work: do the tasks of planned jobs, beside any number of other workers."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vremove_cli.commands.on_ray import as_lines, cluster_of
from vremove_cli.commands.signature import Given, RayOptions, command, reporting
from vremove_cli.console import Console
from vremove_cli.errors import ExitCode, NotReadyError, UsageError, VremoveError
from vremove_cli.job.request import Request
from vremove_cli.options import options_of, values_from

if TYPE_CHECKING:
    from vremove_cli.farm.ray_cluster import Cluster
    from vremove_cli.job.events import Event
    from vremove_cli.job.work_lists import Round
    from vremove_cli.job.working import Assignment, Tally

Jobs = Annotated[
    list[str], typer.Argument(metavar="JOB...", help="Work folders of `vremove plan`, or a list of them in a file.")
]
Other = Annotated[
    bool, typer.Option("--allow-other-version", help="Work with other versions of libraries than planned.")
]
PLANNED = tuple(name for name in options_of(Request) if name != "threads")  # options that the plan holds


@command(Request, RayOptions, name="work", only=lambda o: o.name not in PLANNED)
def work(
    jobs: Jobs,
    given: Given,
    task: Annotated[str | None, typer.Option("--task", metavar="ID", help="Do only this task.")] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="KINDS", help="Do only track,plate,..., or only what needs a gpu (or cpu)."),
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="End with exit 9 when no task is ready, instead of waiting.")
    ] = False,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="Begin no task after 90s, 30m or 2h; exit 9.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="End with 0 although some jobs cannot be done: finish names them.")
    ] = False,
    allow_other_version: Other = False,
    list_tasks: Annotated[bool, typer.Option("--list", help="Name the tasks and whether they are done.")] = False,
) -> None:
    """Do the tasks of plans that are left.

    vremove work job
    vremove work job --only gpu --no-wait
    vremove work clips.jobs --time-limit 50m

    Run it on as many machines as see the folders. A worker that is asked to
    end (SIGTERM) gives its task back.
    """
    with reporting(given) as console:
        from vremove_cli.job.work_lists import assignment_of, folders_in
        from vremove_cli.job.workdir.shares import share_notes

        folders = folders_in(jobs)
        if list_tasks:
            _list(console, folders)
            return
        if task is not None and len(folders) > 1:
            raise UsageError("--task names a task of one job", "give one work folder")
        for text in share_notes(Path(folders[0])) if Path(folders[0]).is_dir() else ():
            console.say(text)
        wanted = assignment_of(only, task=task, wait=not no_wait, time_limit=time_limit)
        cluster = cluster_of(given, allow_other_version=allow_other_version)
        if cluster is not None:
            if any((task, only, no_wait, time_limit)):
                raise UsageError("Ray chooses tasks itself", "leave out --task, --only, --no-wait and --time-limit")
            _on_ray(console, folders, cluster)
            return
        options = {**values_from(Request, given.of(Request)), "allow_other_version": allow_other_version}
        if len(folders) == 1:
            _one(console, folders[0], wanted, options)
        else:
            _several(console, folders, wanted, options, keep_going=keep_going)


def _list(console: Console, folders: list[str]) -> None:
    """Print the tasks of jobs, and whether they are done."""
    from vremove_cli.job.plan import Plan
    from vremove_cli.job.workdir.folder import WorkFolder

    for folder in folders:
        place = WorkFolder(Path(folder))
        states = {t.id: place.finished(t.id) for t in Plan.load(place.plan).tasks}
        named = f" {folder}" if len(folders) > 1 else ""
        text = "\n".join(f"{'done' if done else 'left'}{named} {name}" for name, done in states.items())
        console.data("tasks", {"work": folder, "tasks": [{"id": k, "done": v} for k, v in states.items()]}, text)


def _one(console: Console, folder: str, wanted: "Assignment", options: dict[str, Any]) -> None:
    """Work on one job."""
    from vremove_cli.job.runner import run_work

    with console.watching() as event:
        tally = run_work(folder, wanted=wanted, on_event=event, **options)
    _say(console, folder, tally)
    _refuse_rest(tally.left, wanted)


def _several(
    console: Console, folders: list[str], wanted: "Assignment", options: dict[str, Any], *, keep_going: bool
) -> None:
    """Work on whatever is ready in any of several jobs."""
    from vremove_cli.job.runner import run_work
    from vremove_cli.job.work_lists import work_through

    said: set[tuple[str, str]] = set()

    def do(folder: str, visit: "Assignment") -> "Tally":
        with console.watching(folder) as event:
            return run_work(folder, wanted=visit, on_event=_news_of(folder, said, event), **options)

    console.expect_jobs(len(folders), 1)
    made = work_through(folders, wanted, do, console.complain, keep_going=keep_going)
    for folder, tally in made.tallies.items():
        _say(console, folder, tally)
    if not keep_going:
        _refuse_failures(made, len(folders))
    _refuse_rest(made.left, wanted)


def _on_ray(console: Console, folders: list[str], cluster: "Cluster") -> None:
    """Do the tasks of all jobs on a cluster."""
    from vremove_cli.batch.jobs import Job
    from vremove_cli.batch.run import batch_error, run_all
    from vremove_cli.farm.ray_erase import work_on

    def do(job: "Job") -> str:
        with console.watching(job.name) as event:
            _say(console, job.name, work_on(cluster, job.name, as_lines(event)))
        return ""

    with cluster:
        if len(folders) == 1:  # its failure is the command's own
            do(Job(folders[0], name=folders[0]))
            return
        jobs = [Job(folder, name=folder) for folder in folders]
        error = batch_error(run_all(console, jobs, do, at_once=max(1, min(len(jobs), cluster.at_once))))
    if error is not None:
        raise error


def _say(console: Console, folder: str, tally: "Tally") -> None:
    text = f"{len(tally.done)} done, {len(tally.reused)} were done already"
    console.data("work", {"work": folder, **asdict(tally)}, f"{text}, {tally.left} are left" if tally.left else text)


def _news_of(folder: str, said: set[tuple[str, str]], event: "Callable[[Event], None]") -> "Callable[[Event], None]":
    """Return a callback that leaves out what was said of a job when it was visited before."""
    from vremove_cli.job.events import Note, TaskDone

    def take(news: "Event") -> None:
        words = news.id if isinstance(news, TaskDone) else news.text if isinstance(news, Note) else ""
        if not words or (folder, words) not in said:
            event(news)
        said.add((folder, words))

    return take


def _refuse_failures(made: "Round", count: int) -> None:
    if made.failed:
        error = VremoveError(
            f"{len(made.failed)} of {count} jobs cannot be done ({', '.join(made.failed)})", "see above for each"
        )
        error.code = ExitCode.BATCH
        raise error


def _refuse_rest(left: int, wanted: "Assignment") -> None:
    """Raise `NotReadyError` for tasks that are left."""
    if not left:
        return
    tasks = "1 task is" if left == 1 else f"{left} tasks are"
    if wanted.over:
        raise NotReadyError(f"{tasks} left, and the time limit is over", "run the same command again")
    raise NotReadyError(
        f"{tasks} left, and none is ready: other workers have them, or must do others first",
        "run the same command again later, or leave out --no-wait",
    )
