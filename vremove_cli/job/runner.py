"""Running a job: plan, work and finish; `erase` is the three in one process."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vremove_cli import atomic
from vremove_cli.errors import UsageError
from vremove_cli.job.choices import Ask
from vremove_cli.job.delivery import complete, deliver, order_of
from vremove_cli.job.estimate import check_resources, expected
from vremove_cli.job.events import Emit, Note, silent
from vremove_cli.job.output_paths import (
    check_targets,
    default_work_folder,
    make_request,
    planned_folder,
    report_path,
    resolved_output,
)
from vremove_cli.job.plan import InputWatch, Plan, watched
from vremove_cli.job.render import Summary, render
from vremove_cli.job.report import result_of
from vremove_cli.job.request import Exports, Request
from vremove_cli.job.resume import open_plan
from vremove_cli.job.tool_versions import check_versions
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.workdir.shares import share_notes
from vremove_cli.job.working import Assignment, Tally, check_masks, do_tasks
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
        plan = open_plan(folder, request, on_event, ask, elsewhere=True)
        folder.settle()
        for text in share_notes(folder.path):
            on_event(Note(text))
    return plan, folder.path


_ALL = Assignment()


def run_work(
    path: str,
    *,
    wanted: Assignment = _ALL,
    allow_other_version: bool = False,
    threads: int | None = None,
    on_event: Emit = silent,
) -> Tally:
    """Do tasks of a planned job; other processes may work on it, too.

    Args:
        path: The work folder.
        wanted: Which tasks, and whether to wait for those of other processes.
        allow_other_version: Whether other versions of libraries than planned may be used.
        threads: Threads to use; default as planned.
        on_event: Gets notes and progress.
    """
    folder, plan = planned_job(path, on_event, allow_other_version=allow_other_version)
    if wanted.task is not None and wanted.task not in {t.id for t in plan.tasks}:
        raise UsageError(f"the plan has no task '{wanted.task}'", "`vremove work FOLDER --list` names them")
    if wanted.task is not None and not wanted.tasks_of(plan):
        raise UsageError(f"the task {wanted.task} is none of those that --only names", "leave --only out")
    with limited(threads or plan.request.threads):
        on_event(expected(plan, folder, "track", "background", "plate", "fill"))
        return do_tasks(plan, folder, wanted, on_event, watched(plan))


def run_finish(
    path: str,
    output: str | None = None,
    *,
    overwrite: bool = False,
    exports: Exports | None = None,
    allow_other_version: bool = False,
    threads: int | None = None,
    on_event: Emit = silent,
) -> Summary:
    """Write the result of a job whose tasks are done; arguments as of `run_work` and `run_erase`."""
    folder, plan = planned_job(path, on_event, allow_other_version=allow_other_version)
    watched(plan).check()
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
    order, started, watch = order_of("finish", plan.request, exports), time.time(), watched(plan)
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


def planned_job(path: str, emit: Emit, *, allow_other_version: bool = False) -> tuple[WorkFolder, Plan]:
    """Return a planned job whose inputs are unchanged, and whose versions this machine has.

    Args:
        path: The work folder.
        emit: Gets a note where versions differ.
        allow_other_version: Whether other versions of libraries than planned may be used.

    Raises:
        VremoveError: There is no such plan, or it cannot be carried out here.
    """
    folder = WorkFolder(Path(path))
    plan = Plan.load(folder.plan)
    other = check_versions(plan, allow_other=allow_other_version)
    if other:
        emit(Note(other))
    watched(plan)
    folder.forget_the_dead()
    return folder, plan


@dataclass(frozen=True)
class Erasure:
    """One clip to erase from: the steps of `run_erase`, which may run in several processes.

    Attributes:
        request: What the user asked for.
        exports: What to write beside the result.
        place: The work folder.
        overwrite: Whether existing files may be replaced.
        keep_work: Whether the work folder stays.
        began: When the run began, in seconds since the epoch.
    """

    request: Request
    exports: Exports
    place: str
    overwrite: bool
    keep_work: bool
    began: float

    @property
    def folder(self) -> WorkFolder:
        """The work folder."""
        return WorkFolder(Path(self.place))

    @property
    def _order(self) -> str:
        return order_of("erase", self.request, self.exports)

    def completed(self) -> Summary | None:
        """Complete what a killed run had ready and return what it did, or check that the results may be written.

        Raises:
            UsageError: A result exists, or cannot be written.
        """
        done = complete(self.folder, self._order, keep=self.keep_work)
        if not done:
            check_targets(self.request, self.exports, overwrite=self.overwrite)
        return done

    def planned(self, emit: Emit, ask: Ask | None = None, *, elsewhere: bool = False) -> Plan:
        """Return the job's plan, made or read.

        Args:
            emit: Gets notes and progress.
            ask: Asks the user whether to fetch what auto would take; None where nobody can be asked.
            elsewhere: Whether the work will be done on other machines.

        Raises:
            VremoveError: The job cannot be done.
        """
        plan = open_plan(self.folder, self.request, emit, ask, elsewhere=elsewhere)
        check_output(self.request.output, plan.clip, plan.encode, overwrite=self.overwrite)
        check_resources(plan, self.folder.path)
        return plan

    def delivered(self, plan: Plan, tally: Tally, watch: InputWatch, emit: Emit) -> Summary:
        """Write the results once all tasks are done, and return what was done."""
        folder = self.folder
        check_masks(plan, folder)

        def total(made: Summary) -> Summary:
            seconds = max(0.0, time.time() - self.began)
            return replace(made, seconds=seconds, done=len(tally.done), reused=len(tally.reused))

        def write(again: bool) -> Summary:
            made = render(plan, folder, self.exports, overwrite=self.overwrite or again, emit=emit)
            made = total(replace(made, notes=(*plan.notes, *made.notes)))
            _write_report(plan, made)
            return made

        keep = self.keep_work or not folder.temporary
        return total(deliver(plan, folder, self._order, self.began, write, watch.check, emit, keep=keep))


def erasure_of(
    source: str,
    output: str | None,
    *,
    work: str | None,
    keep_work: bool,
    overwrite: bool,
    exports: Exports | None,
    options: dict[str, Any],
) -> Erasure:
    """Return what is to be done; arguments as of `run_erase`."""
    began, request = time.time(), make_request(source, output, options)
    place = str(Path(work) if work else default_work_folder(request.output))
    return Erasure(request, exports or Exports(), place, overwrite, keep_work, began)


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
    job = erasure_of(
        source, output, work=work, keep_work=keep_work, overwrite=overwrite, exports=exports, options=options
    )
    completed = job.completed()
    if completed:
        return completed
    with limited(job.request.threads), job.folder.occupied(keep=keep_work):
        plan = job.planned(on_event, ask)
        watch = InputWatch(plan)
        on_event(expected(plan, job.folder, "track", "background", "plate", "fill", "write"))
        tally = do_tasks(plan, job.folder, _ALL, on_event, watch)
        return job.delivered(plan, tally, watch, on_event)


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
