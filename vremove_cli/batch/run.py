"""Do the jobs of a command, one after the other or several at the same time; a failure does not stop the others."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from vremove_cli import threads
from vremove_cli.batch.jobs import Job
from vremove_cli.console import Console
from vremove_cli.errors import ExitCode, VremoveError, explain

Do = Callable[[Job], str]  # does a job, prints its result, and returns why it is doubtful, or ""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: The job.
        state: Whether it was done, done with doubts that count, skipped, or failed.
        words: What is to be said about it.
    """

    job: Job
    state: Literal["done", "doubtful", "skipped", "failed"]
    words: str = ""


def run_job(job: Job, emit: Callable[[Any], None], ask: Callable[[Any], bool] | None = None) -> Any:
    """Erase from one clip; returns the summary. `ask` asks the user whether to fetch a model."""
    from vremove_cli.job.runner import run_erase

    exports, files = job.read()
    return run_erase(job.input, job.output, exports=exports, on_event=emit, ask=ask, **asdict(files), **job.options)


def run_all(
    console: Console, jobs: list[Job], do: Do, *, at_once: int = 1, skip_existing: bool = False
) -> list[Outcome]:
    """Do all jobs.

    Args:
        console: Where failures are printed.
        jobs: The jobs.
        do: Does one of them.
        at_once: How many run at the same time.
        skip_existing: Whether a job is left out when its result exists.

    Returns:
        What became of each job, in their order.
    """

    def outcome(job: Job) -> Outcome:
        if skip_existing and job.target and job.target.exists():
            console.skip(job.input, str(job.target))
            return Outcome(job, "skipped", f"{job.target} exists")
        try:
            doubt = do(job)
        except Exception as error:
            console.complain(error, job.name)
            return Outcome(job, "failed", explain(error)[1])
        return Outcome(job, "doubtful" if doubt else "done", doubt)

    console.expect_jobs(len(jobs), at_once)
    if at_once == 1:
        return [outcome(job) for job in jobs]
    with console.alive(), ThreadPoolExecutor(at_once) as pool:
        waiting = [pool.submit(outcome, job) for job in jobs]
        try:
            return [one.result() for one in waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _end_processes()
            raise


def batch_error(outcomes: Iterable[Outcome]) -> VremoveError | None:
    """Return the error of a command some of whose jobs failed or are doubtful; None when all is well."""
    every = list(outcomes)
    for state, code, what in (
        ("failed", ExitCode.BATCH, "failed"),
        ("doubtful", ExitCode.DOUBTFUL, "are written and doubtful"),
    ):
        found = [o.job.name for o in every if o.state == state]
        if found:
            rest = sum(o.state in ("done", "skipped") for o in every)
            problem = f"{len(found)} of {len(every)} inputs {what} ({', '.join(found)})"
            error = VremoveError(problem, f"see above for each; done: {rest}")
            error.code = code
            return error
    return None


_ROOT = str(Path(__file__).parents[2])
_processes: set["subprocess.Popen[str]"] = set()


def run_elsewhere(job: Job, at_once: int, emit: Callable[[Any], None]) -> Any:
    """Erase from one clip in a process of its own, which gets its share of the cores; returns the summary.

    Raises:
        VremoveError: The job failed, or its process was killed.
    """
    import json

    from vremove_cli.job.render import Summary
    from vremove_cli.job.workdir.records import from_json

    share = max(1, threads.available() // at_once)
    told = {**asdict(job), "options": {"threads": share, **job.options}}
    command = [sys.executable, "-m", "vremove_cli.batch.worker"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))}
    with subprocess.Popen(command, text=True, env=env, errors="replace", **pipes) as process:
        _processes.add(process)
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(told))
                process.stdin.close()
            for line in process.stderr:
                with suppress(ValueError):  # what a library prints is no line of ours
                    emit(json.loads(line))
            said = process.stdout.read().splitlines()
        finally:
            _processes.discard(process)
    report = json.loads(said[-1]) if said else {}
    if report.get("type") == "result":
        return from_json(Summary, {k: v for k, v in report.items() if k not in ("type", "schema")})
    raise _failure(report, process.returncode)


def _failure(report: dict[str, Any], status: int) -> VremoveError:
    """Return the error that another process reported, or that its end stands for."""
    if report.get("type") == "error":
        error = VremoveError(report["error"])
        error.code = ExitCode(report["exit"])
        return error
    how = f"was killed (signal {-status})" if status < 0 else f"ended with status {status}"
    error = VremoveError(f"its process {how}", "if memory was short, run again with fewer --jobs")
    error.code = ExitCode.MEMORY if status == -9 else ExitCode.ERROR
    return error


def _end_processes() -> None:
    """Interrupt the processes that are still at work; they tidy up as after Ctrl-C."""
    for process in list(_processes):
        with suppress(OSError):
            process.terminate()
    for process in list(_processes):
        with suppress(OSError):
            process.wait()
