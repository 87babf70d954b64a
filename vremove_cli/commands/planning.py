"""Planning one clip or several, and handing the plans over to a scheduler."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vremove_cli.commands.signature import ExportOptions, Given
from vremove_cli.console import Console, format_bytes
from vremove_cli.errors import UsageError
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Request

if TYPE_CHECKING:
    from vremove_cli.batch.jobs import Job
    from vremove_cli.batch.run import Outcome
    from vremove_cli.farm.export import Exported
    from vremove_cli.farm.steps import Submission

_TO_FINISH = ("overwrite", "keep_work")  # options about files that a plan does not hold


def jobs_to_plan(inputs: list[str], output: str | None, batch: str | None, given: Given) -> list["Job"]:
    """Return the jobs of the inputs, or of a list.

    Raises:
        UsageError: There are none, a row is wrong, or two jobs would share a work folder.
    """
    from vremove_cli.batch.jobs import Job, jobs_given

    jobs = jobs_given(inputs, batch, Job("", output, given.of(Request), {}, given.of(FileOptions)))
    taken: dict[Path, Job] = {}
    for job in jobs:
        later = [*job.exports, *(name for name in _TO_FINISH if name in job.files)]
        if later:
            raise UsageError(f"{job.name}: a plan does not hold '{later[0]}'", "give it to `vremove finish`")
        other = taken.setdefault(_work_folder(job), job)
        if other is not job:
            problem = f"{other.name} and {job.name} would share the work folder {_work_folder(job)}"
            raise UsageError(problem, "name one for each with --work and {stem} or {name}, or in a column 'work'")
    return jobs


def _work_folder(job: "Job") -> Path:
    from vremove_cli.job.output_paths import planned_folder

    return Path(job.files.get("work") or planned_folder(job.input)).absolute()


def check_export(options: ExportOptions) -> None:
    """Raise `UsageError` for options that do not belong together, or a place where nothing can be written."""
    from vremove_cli.farm.export import check_place

    if options.export is None:
        flags = {"--export-to": options.export_to, "--workers": options.workers, "--gpu-type": options.gpu_type}
        lone = [flag for flag, value in flags.items() if value is not None]
        if lone:
            raise UsageError(f"{lone[0]} is about an export", "add --export openjd or --export slurm, or leave it out")
    elif options.export_to is None:
        raise UsageError(f"--export {options.export} writes a file", "name it with --export-to")
    else:
        check_place(options.export, Path(options.export_to))


def plan_all(console: Console, jobs: list["Job"], options: ExportOptions, *, alone: bool) -> None:
    """Plan clips, write an export if one is wanted, and raise the error of those that failed.

    Args:
        console: Where to print.
        jobs: The clips.
        options: What to export.
        alone: Whether the one clip's own error is raised, and no table is printed.
    """
    from vremove_cli.farm.steps import Submission

    check_export(options)
    submission = Submission() if options.export else None
    if alone:
        _plan_one(console, jobs[0], submission)
        _export(console, submission, options)
        return
    from vremove_cli.batch.run import batch_error, run_all

    planned: dict[str, tuple[str, int]] = {}

    def do(job: "Job") -> str:
        console.tell_people(f"== {job.name}")
        planned[job.name] = _plan_one(console, job, submission)
        return ""

    outcomes = run_all(console, jobs, do)
    console.tell_people(_table(outcomes, planned))
    if any(outcome.state == "done" for outcome in outcomes):
        _export(console, submission, options)
    error = batch_error(outcomes)
    if error is not None:
        raise error


def _plan_one(console: Console, job: "Job", submission: "Submission | None") -> tuple[str, int]:
    """Plan one clip, print where, and add it to the submission; return its work folder and how many tasks it has."""
    from vremove_cli.job.runner import run_plan

    with console.watching(job.name) as event:
        made, folder = run_plan(
            job.input, job.output, work=job.files.get("work"), on_event=event, ask=console.asker, **job.options
        )
    if submission is not None:
        submission.add(made, folder)
    tasks = [{"id": t.id, "needs": list(t.needs)} for t in made.tasks]
    facts = {"input": made.request.input, "work": str(folder), "tasks": tasks, "notes": list(made.notes)}
    console.data("plan", facts, str(folder))
    return str(folder), len(made.tasks)


def _table(outcomes: list["Outcome"], planned: dict[str, tuple[str, int]]) -> str:
    """Return a line for each clip: its work folder and how many tasks there are, or that it failed."""
    from vremove_cli.batch.table import aligned

    rows = [("input", "work", "tasks", "")]
    for outcome in outcomes:
        work, tasks = planned.get(outcome.job.name, ("", ""))
        rows.append((outcome.job.name, work, str(tasks), "" if outcome.state == "done" else outcome.state))
    return aligned(rows)


def _export(console: Console, submission: "Submission | None", options: ExportOptions) -> None:
    """Write the export that is wanted, and say what it asks for."""
    if submission is None or options.export is None or options.export_to is None:
        return
    from vremove_cli.farm.export import export

    made = export(options.export, Path(options.export_to), submission, options.workers, options.gpu_type)
    if options.export == "openjd" and options.gpu_type:
        console.say("OpenJD names no types of GPUs: --gpu-type is left out of the template")
    facts = {"export": options.export, "path": str(made.path), "jobs": str(made.jobs), "workers": made.workers}
    steps = [{k: v for k, v in asdict(s).items() if k not in ("command", "options", "always")} for s in made.steps]
    console.tell_people(_described(made, chosen=options.workers is None))
    console.data("export", {**facts, "steps": steps}, str(made.path))


def _described(made: "Exported", *, chosen: bool) -> str:
    """Return what an export asks for, one line for each step."""
    how = "chosen; --workers changes it" if chosen else "as asked"
    lines = [f"workers at once: at most {made.workers} ({how})"]
    for step in made.steps:
        gpu = f", a GPU of {format_bytes(step.gpu_memory << 20)}" if step.gpu_memory else ", a GPU" if step.gpu else ""
        needs = f"{step.cores} cores, {format_bytes(step.memory << 20)}{gpu}"
        lines.append(f"{step.name}: {step.workers} x {needs}")
    return "\n".join(lines)
