"""vremove plan: the first of the three steps of erase, for farms, CI shards and resuming."""

from typing import Annotated

import typer

from vremove_cli.commands.planning import jobs_to_plan, plan_all
from vremove_cli.commands.signature import BatchOptions, ExportOptions, Given, command, reporting
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Request


@command(
    Request,
    FileOptions,
    BatchOptions,
    ExportOptions,
    name="plan",
    settings_of="erase",
    only=lambda o: o.name not in ("overwrite", "keep_work", "jobs", "skip_existing"),
)
def plan(
    given: Given,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT", help="Videos, image sequences, folders, patterns.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="OUT", help="Result. \\[{stem}.clean{ext}]")
    ] = None,
) -> None:
    """Decide everything about a job and write it to a work folder; do nothing else.

    vremove plan clip.mp4 --point 320,240 --work job
    vremove plan --batch jobs.csv --export slurm --export-to jobs.sh

    The settings of `vremove erase` count here, too.
    """
    with reporting(given) as console:
        batch = given.read(BatchOptions).batch
        jobs = jobs_to_plan(inputs or [], output, batch, given)
        alone = len(jobs) == 1 and not batch
        if alone:
            console.input = jobs[0].input
        plan_all(console, jobs, given.read(ExportOptions), alone=alone)
