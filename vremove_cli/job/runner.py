"""Running a job: plan, work and finish; `erase` is the three in one process."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from vremove_cli import atomic
from vremove_cli.errors import UsageError
from vremove_cli.job.choices import Ask
from vremove_cli.job.delivery import complete, deliver, order_of
from vremove_cli.job.estimate import check_resources, expected
from vremove_cli.job.events import Emit, silent
from vremove_cli.job.output_paths import (
    check_targets,
    default_work_folder,
    make_request,
    planned_folder,
    report_path,
    resolved_output,
)
from vremove_cli.job.plan import InputWatch, Plan, check_input
from vremove_cli.job.render import Summary, render
from vremove_cli.job.report import result_of
from vremove_cli.job.request import Exports
from vremove_cli.job.resume import open_plan
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.working import Tally, check_masks, do_tasks
from vremove_cli.media.encoder_choice import container_of
from vremove_cli.media.write import check_output
from vremove_cli.threads import limited


def run_plan(
    source: str,
    output: str | None = None,
    *,
    work: str | None = None,
    on_event: Emit = silent,
    ask: Ask | None = None,
    **options: Any,
) -> tuple[Plan, Path]:
    """Decide everything about a job and write it to a work folder.

    Args:
        source: The clip.
        output: The result.
        work: The work folder; default `clip.vremove` beside `clip.mp4`.
        on_event: Gets notes and progress.
        ask: Asks the user whether to fetch what auto would take; None where nobody can be asked.
        **options: Fields of `Request`.

    Returns:
        The plan and its folder.
    """
    request = make_request(source, output, options)
    folder = WorkFolder(Path(work) if work else planned_folder(request.input))
    with limited(request.threads), folder.occupied():
        plan = open_plan(folder, request, on_event, ask)
        folder.settle()
    return plan, folder.path


def run_work(path: str, *, task: str | None = None, threads: int | None = None, on_event: Emit = silent) -> Tally:
    """Do one task of a planned job, or all that are left; other processes may work on it, too.

    Args:
        path: The work folder.
        task: Id of the only task to do.
        threads: Threads to use; default as planned.
        on_event: Gets notes and progress.
    """
    folder, plan = _planned(path)
    if task is not None and task not in {t.id for t in plan.tasks}:
        raise UsageError(f"the plan has no task '{task}'", "`vremove work FOLDER --list` names them")
    with limited(threads or plan.request.threads):
        on_event(expected(plan, folder, "track", "background", "plate", "fill"))
        return do_tasks(plan, folder, task, on_event, InputWatch(plan))


def run_finish(
    path: str,
    output: str | None = None,
    *,
    overwrite: bool = False,
    exports: Exports | None = None,
    threads: int | None = None,
    on_event: Emit = silent,
) -> Summary:
    """Write the result of a job whose tasks are done; arguments as of `run_work` and `run_erase`."""
    folder, plan = _planned(path)
    missing = [t.id for t in plan.tasks if not folder.finished(t.id)]
    if missing:
        raise UsageError(f"{len(missing)} task(s) are not done ({missing[0]} ...)", f"run `vremove work {path}` first")
    check_masks(plan, folder)
    if output:
        output = resolved_output(output, plan.request.input)
        if not Path(output).parent.is_dir():
            raise UsageError(f"the folder {Path(output).parent} does not exist", "make it first")
        plan = replace(plan, request=replace(plan.request, output=output))
        if container_of(output, images=plan.clip.is_sequence) != plan.encode.container:
            raise UsageError(f"{output} is another kind of file than was planned", "plan again with this output")
    exports = exports or Exports()
    order, started, watch = order_of("finish", plan.request, exports), time.time(), InputWatch(plan)
    completed = complete(folder, order, keep=True)
    if completed:
        return completed
    check_targets(plan.request, exports, overwrite=overwrite)

    def write(again: bool) -> Summary:
        summary = render(plan, folder, exports, overwrite=overwrite or again, emit=on_event)
        _write_report(plan, summary)
        return summary

    with limited(threads or plan.request.threads):
        on_event(expected(plan, folder, "write"))
        return deliver(plan, folder, order, started, write, watch.check, on_event, keep=True)


def _planned(path: str) -> tuple[WorkFolder, Plan]:
    """Return a planned job whose inputs are unchanged."""
    folder = WorkFolder(Path(path))
    plan = Plan.load(folder.plan)
    check_input(plan)
    folder.forget_the_dead()
    return folder, plan


def run_erase(
    source: str,
    output: str | None = None,
    *,
    work: str | None = None,
    keep_work: bool = False,
    overwrite: bool = False,
    exports: Exports | None = None,
    on_event: Emit = silent,
    ask: Ask | None = None,
    **options: Any,
) -> Summary:
    """Erase an object from a clip.

    A killed run leaves its work folder; the same call continues from there.

    Args:
        source: The clip.
        output: The result; default `clip.clean.mp4` beside `clip.mp4`.
        work: The work folder; default `clip.clean.mp4.vremove` beside the result.
        keep_work: Whether the work folder stays.
        overwrite: Whether existing files may be replaced.
        exports: What to write beside the result.
        on_event: Gets notes and progress.
        ask: Asks the user whether to fetch what auto would take; None where nobody can be asked.
        **options: Fields of `Request`.

    Raises:
        VremoveError: The job cannot be done; the error says why and what to do.
    """
    started, clock = time.monotonic(), time.time()
    request = make_request(source, output, options)
    exports = exports or Exports()
    folder = WorkFolder(Path(work) if work else default_work_folder(request.output))
    order = order_of("erase", request, exports)
    completed = complete(folder, order, keep=keep_work)
    if completed:
        return completed
    check_targets(request, exports, overwrite=overwrite)
    with limited(request.threads), folder.occupied(keep=keep_work):
        plan = open_plan(folder, request, on_event, ask)
        watch = InputWatch(plan)
        check_output(request.output, plan.clip, plan.encode, overwrite=overwrite)
        check_resources(plan, folder.path)
        on_event(expected(plan, folder, "track", "background", "plate", "fill", "write"))
        tally = do_tasks(plan, folder, None, on_event, watch)
        check_masks(plan, folder)

        def write(again: bool) -> Summary:
            made = render(plan, folder, exports, overwrite=overwrite or again, emit=on_event)
            total = replace(made, notes=(*plan.notes, *made.notes), **tally.counted(started))
            _write_report(plan, total)
            return total

        summary = deliver(
            plan, folder, order, clock, write, watch.check, on_event, keep=keep_work or not folder.temporary
        )
    return replace(summary, **tally.counted(started))


def _write_report(plan: Plan, summary: Summary) -> None:
    """Write the report, `clip.clean.vremove.json` beside `clip.clean.mp4`: what was done, and what did it."""
    report = {**result_of(summary, "report"), "plan": _provenance(plan)}
    path = report_path(Path(plan.request.output))
    path.parent.mkdir(exist_ok=True)  # of a pattern, the folder comes with the pictures, later
    atomic.write_text(path, json.dumps(report, indent=1))


def _provenance(plan: Plan) -> dict[str, Any]:
    """Return the plan without its long lists."""
    data = plan.to_json()
    for clip in filter(
        None, (data["clip"], data["mask"], data["effects"], data["affected"], *data["references"].values())
    ):
        clip["times"].pop("pts")
        for key in ("keyframes", "files", "file_numbers"):
            clip.pop(key)
    return data
