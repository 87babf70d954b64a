"""vremove erase: the main job, for one clip or several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vremove_cli.commands.on_ray import as_lines, cluster_of, erase_there
from vremove_cli.commands.signature import (
    BatchOptions,
    Given,
    RayOptions,
    StrictOptions,
    command,
    refuse_doubtful,
    reporting,
    tell_doubts,
)
from vremove_cli.console import Console, format_bytes, format_seconds, frames_text
from vremove_cli.errors import UsageError
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Exports, Request

if TYPE_CHECKING:
    from vremove_cli.batch.jobs import Job
    from vremove_cli.job.estimate import Estimate
    from vremove_cli.job.render import Summary


@command(Request, Exports, FileOptions, StrictOptions, BatchOptions, RayOptions, name="erase")
def erase(
    given: Given,
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT", help="Videos, image sequences, folders, patterns.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="OUT", help="Result. \\[{stem}.clean{ext}]"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; do nothing.")] = False,
) -> None:
    r"""Erase an object from a video and write the same video without it.

    vremove erase clip.mp4 --point 320,240
    vremove erase clip.mp4 --box @2.5s:100,80,240,300 -o clean.mov

    A prompt may name its object and its frame or time: ball=@2.5s:320,240.
    Defaults stand in brackets; set others as VREMOVE_ERASE_CRF=12, or as
    crf = 12 under \[erase] in vremove.toml.
    """
    with reporting(given) as console:
        many = given.read(BatchOptions)
        if many.skip_existing and given.of(FileOptions).get("overwrite"):
            raise UsageError("--skip-existing and --overwrite contradict each other", "use one of them")
        found = _jobs(inputs or [], output, many.batch, given)
        if len(found) == 1 and not many.batch and not many.skip_existing:
            console.input = found[0].input
            _one(console, found[0], given, dry_run=dry_run)
        else:
            _several(console, found, given, many, dry_run=dry_run)


def _jobs(inputs: list[str], output: str | None, batch: str | None, given: Given) -> list["Job"]:
    """Return the jobs of the inputs, or of a list."""
    from vremove_cli.batch.jobs import Job, jobs_given

    return jobs_given(inputs, batch, Job("", output, given.of(Request), given.of(Exports), given.of(FileOptions)))


def _one(console: Console, job: "Job", given: Given, *, dry_run: bool) -> None:
    """Erase from one clip, or say what that would take."""
    if dry_run:
        _rehearse(console, job)
        return
    from vremove_cli.batch.run import run_job

    cluster = cluster_of(given)
    with cluster or nullcontext(), console.watching(job.input) as event:
        summary = erase_there(cluster, job, event) if cluster else run_job(job, event, console.asker)
    console.done(summary)
    refuse_doubtful(given, summary)


def _several(console: Console, jobs: list["Job"], given: Given, many: BatchOptions, *, dry_run: bool) -> None:
    """Erase from several clips, and say at the end what became of each."""
    from vremove_cli.batch.run import batch_error, run_all
    from vremove_cli.batch.table import table

    summaries: dict[str, Summary] = {}

    def do(job: "Job") -> str:
        if at_once == 1:
            console.tell_people(f"== {job.name}")
        if dry_run:
            _rehearse(console, job)
            return ""
        summary = erase_one(job)
        summaries[job.name] = summary
        console.done(summary, name=job.name if at_once > 1 else "")
        return tell_doubts(console, given, summary, job.name)

    with _way(console, given, 1 if dry_run else many.jobs) as (erase_one, at_once):
        outcomes = run_all(console, jobs, do, at_once=at_once, skip_existing=many.skip_existing)
    if not dry_run:
        console.tell_people(table(outcomes, summaries))
    error = batch_error(outcomes)
    if error is not None:
        raise error


@contextmanager
def _way(console: Console, given: Given, jobs: int) -> Iterator[tuple[Callable[["Job"], "Summary"], int]]:
    """Yield what erases from one of several clips, and how many clips at once: here, in processes, or on a cluster."""
    from vremove_cli.batch.run import run_elsewhere, run_job

    cluster = cluster_of(given)

    def erase_one(job: "Job") -> "Summary":
        with console.watching(job.name, elsewhere=cluster is None and jobs > 1) as event:
            if cluster is not None:
                return erase_there(cluster, job, as_lines(event))
            summary: Summary = run_elsewhere(job, jobs, event) if jobs > 1 else run_job(job, event, console.asker)
            return summary

    with cluster or nullcontext():
        yield erase_one, jobs if cluster is None else max(jobs, cluster.at_once)


def _rehearse(console: Console, job: "Job") -> None:
    """Print what a job would do and take."""
    from vremove_cli.job.dry_run import rehearse

    exports, files = job.read()
    with console.watching(job.name) as event:
        need = rehearse(job.input, job.output, job.options, exports, files, event)
    console.data("estimate", asdict(need), estimate_text(need))


def estimate_text(need: "Estimate") -> str:
    """Return what a job will take as lines for a person."""
    kinds = [task.rpartition("-")[0].partition("-")[0] for task in need.tasks]
    tasks = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    downloads = ", ".join(f"{d['name']} ({_size(d['megabytes'])})" for d in need.downloads)
    room = "" if need.fits else ": it cannot hold that, so leave out the network, or take a larger machine"
    edited = [] if need.frames == 1 else [f"frames {need.start} to {need.stop - 1} edited"]
    lines = [
        ", ".join([frames_text(need.frames), f"{need.width}x{need.height}", *edited]),
        *([] if need.frames == 1 else [f"tasks: {tasks}"]),
        f"memory: about {format_bytes(need.memory)}; this machine has {format_bytes(need.memory_here)}{room}",
        f"disk: about {format_bytes(need.work)} for the work, {format_bytes(need.result)} for the result",
        f"time: {_time(need)}",
        *_gpu_line(need.gpu),
        f"downloads: {downloads or 'none'}",
        f"output: {need.output} ({need.encoder})",
    ]
    return "\n".join(lines)


def _size(megabytes: int | None) -> str:
    return "size unknown" if megabytes is None else format_bytes(megabytes * 1_000_000)


def _time(need: "Estimate") -> str:
    """Return how long a job will take, or which part of that is not known."""
    if need.seconds is not None:
        return f"about {format_seconds(need.seconds)} on {need.machine}"
    unknown = " and ".join(stage for stage, seconds in need.stages.items() if seconds is None)
    rest = sum(seconds for seconds in need.stages.values() if seconds is not None)
    return f"unknown ({unknown}: not measured); the rest about {format_seconds(rest)} on {need.machine}"


def _gpu_line(gpu: dict[str, Any] | None) -> list[str]:
    """Return a line on what a remover's networks take; none for one that has no network."""
    if gpu is None:
        return []
    resident, fp8, offload = (format_bytes(gpu[mode]) for mode in ("resident", "fp8", "offload"))
    table = f"{resident} with all weights there, {fp8} with them in 8 bits, {offload} block by block"
    return [f"GPU memory, computed: {format_bytes(gpu['chosen'])} (--memory {gpu['mode']}); {table}"]
