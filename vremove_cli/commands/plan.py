"""vremove plan, work and finish: the three steps of erase, for farms, CI shards and resuming."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vremove_cli.commands.signature import Given, StrictOptions, command, refuse_doubtful, reporting
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Exports, Request
from vremove_cli.options import options_of, values_from

Folder = Annotated[str, typer.Argument(metavar="WORK", help="The work folder that `vremove plan` made.")]
_PLANNED = tuple(name for name in options_of(Request) if name != "threads")  # options that the plan holds


@command(
    Request, FileOptions, name="plan", settings_of="erase", only=lambda o: o.name not in ("overwrite", "keep_work")
)
def plan(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A video, image sequence or folder.")],
    given: Given,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT", help="Result. \\[{stem}.clean{ext}]")
    ] = None,
) -> None:
    """Decide everything about a job and write it to a work folder; do nothing else.

    vremove plan clip.mp4 --point 320,240 --work job

    The settings of `vremove erase` count here, too.
    """
    with reporting(given, source) as console:
        from vremove_cli.job.runner import run_plan

        with console.watching(source) as event:
            made, folder = run_plan(
                source,
                output,
                work=given.read(FileOptions).work,
                on_event=event,
                ask=console.asker,
                **given.of(Request),
            )
        tasks = [{"id": t.id, "needs": list(t.needs)} for t in made.tasks]
        facts = {"input": made.request.input, "work": str(folder), "tasks": tasks, "notes": list(made.notes)}
        console.data("plan", facts, str(folder))


@command(Request, name="work", only=lambda o: o.name not in _PLANNED)
def work(
    folder: Folder,
    given: Given,
    task: Annotated[str | None, typer.Option("--task", metavar="ID", help="Do only this task.")] = None,
    list_tasks: Annotated[bool, typer.Option("--list", help="Name the tasks and whether they are done.")] = False,
) -> None:
    """Do the tasks of a plan that are left.

    vremove work job
    vremove work job --task plate-0003

    Run it on as many machines as see the folder.
    """
    with reporting(given) as console:
        from vremove_cli.job.plan import Plan
        from vremove_cli.job.runner import run_work
        from vremove_cli.job.workdir.folder import WorkFolder

        if list_tasks:
            place = WorkFolder(Path(folder))
            states = {t.id: place.finished(t.id) for t in Plan.load(place.plan).tasks}
            text = "\n".join(f"{'done' if done else 'left'} {name}" for name, done in states.items())
            console.data("tasks", {"work": folder, "tasks": [{"id": k, "done": v} for k, v in states.items()]}, text)
            return
        with console.watching() as event:
            tally = run_work(folder, task=task, on_event=event, **values_from(Request, given.of(Request)))
        console.data(
            "work", {"work": folder, **asdict(tally)}, f"{len(tally.done)} done, {len(tally.reused)} were done already"
        )


@command(
    Request,
    Exports,
    FileOptions,
    StrictOptions,
    name="finish",
    only=lambda o: o.name not in (*_PLANNED, "work", "keep_work"),
)
def finish(
    folder: Folder,
    given: Given,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT", help="Result. \\[as planned]")] = None,
) -> None:
    """Write the result of a plan whose tasks are done.

    vremove finish job -o clip.clean.mp4
    """
    with reporting(given) as console:
        from vremove_cli.job.runner import run_finish

        with console.watching() as event:
            summary = run_finish(
                folder,
                output,
                overwrite=given.read(FileOptions).overwrite,
                exports=given.read(Exports),
                on_event=event,
                **values_from(Request, given.of(Request)),
            )
        console.done(summary)
        refuse_doubtful(given, summary)
