"""Running a job: plan, work and finish; `erase` is the three in one process, `mask` the masks alone."""

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vremove_cli.errors import NothingError, UsageError, VremoveError
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.estimate import check_resources
from vremove_cli.job.events import Emit, Note, TaskDone, silent
from vremove_cli.job.exports import (
    check_exports,
    mask_frames,
    object_paths,
    write_cutout,
    write_mask_sheet,
    write_object_masks,
)
from vremove_cli.job.mask_store import doubt_notes, mask_results
from vremove_cli.job.object_prompts import object_prompts
from vremove_cli.job.output_paths import (
    check_targets,
    default_work_folder,
    make_request,
    planned_folder,
    report_path,
    resolved_output,
)
from vremove_cli.job.plan import Plan, check_input, nothing_to_erase
from vremove_cli.job.render import Summary, render
from vremove_cli.job.request import Exports
from vremove_cli.job.resume import PATIENCE, open_plan
from vremove_cli.job.stages.kinds import MASK_STAGES, STAGES
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.folder import WorkFolder, write_json
from vremove_cli.masks.io import write_masks
from vremove_cli.media.encoder_choice import container_of
from vremove_cli.media.write import check_output
from vremove_cli.removers import registry
from vremove_cli.threads import limited


@dataclass
class Tally:
    """Which tasks were done.

    Attributes:
        done: Ids of the tasks that this process did.
        reused: Ids of those that were done already.
    """

    done: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Finished:
    """The result of the last step, for a process that works on the same job.

    Attributes:
        summary: What was done.
        at: When, in seconds since the epoch.
    """

    summary: Summary
    at: float


def run_plan(
    source: str, output: str | None = None, *, work: str | None = None, on_event: Emit = silent, **options: Any
) -> tuple[Plan, Path]:
    """Decide everything about a job and write it to a work folder.

    Args:
        source: The clip.
        output: The result.
        work: The work folder; default `clip.vremove` beside `clip.mp4`.
        on_event: Gets notes and progress.
        **options: Fields of `Request`.

    Returns:
        The plan and its folder.
    """
    request = make_request(source, output, options)
    folder = WorkFolder(Path(work) if work else planned_folder(request.input))
    with limited(request.threads), folder.occupied():
        plan = open_plan(folder, request, on_event)
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
    folder = WorkFolder(Path(path))
    plan = Plan.load(folder.plan)
    check_input(plan)
    if task is not None and task not in {t.id for t in plan.tasks}:
        raise UsageError(f"the plan has no task '{task}'", "`vremove work FOLDER --list` names them")
    with limited(threads or plan.request.threads):
        return _work(plan, folder, task, on_event)


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
    folder = WorkFolder(Path(path))
    plan = Plan.load(folder.plan)
    check_input(plan)
    missing = [t.id for t in plan.tasks if not folder.finished(t.id)]
    if missing:
        raise UsageError(f"{len(missing)} task(s) are not done ({missing[0]} ...)", f"run `vremove work {path}` first")
    _check_masks(plan, folder)
    if output:
        output = resolved_output(output, plan.request.input)
        if not Path(output).parent.is_dir():
            raise UsageError(f"the folder {Path(output).parent} does not exist", "make it first")
        plan = replace(plan, request=replace(plan.request, output=output))
        if container_of(output, images=plan.clip.is_sequence) != plan.encode.container:
            raise UsageError(f"{output} is another kind of file than was planned", "plan again with this output")
    exports = exports or Exports()
    check_targets(plan.request, exports, overwrite=overwrite)
    with limited(threads or plan.request.threads):
        summary = render(plan, folder, exports, overwrite=overwrite, emit=on_event)
    _write_report(plan, summary)
    return summary


def run_erase(
    source: str,
    output: str | None = None,
    *,
    work: str | None = None,
    keep_work: bool = False,
    overwrite: bool = False,
    exports: Exports | None = None,
    on_event: Emit = silent,
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
        **options: Fields of `Request`.

    Raises:
        VremoveError: The job cannot be done; the error says why and what to do.
    """
    started, clock = time.monotonic(), time.time()
    request = make_request(source, output, options)
    exports = exports or Exports()
    check_targets(request, exports, overwrite=overwrite)
    folder = WorkFolder(Path(work) if work else default_work_folder(request.output))
    with limited(request.threads), folder.occupied(keep=keep_work):
        plan = open_plan(folder, request, on_event)
        check_output(request.output, plan.clip, plan.encode, overwrite=overwrite)
        check_resources(plan, folder.path)
        tally = _work(plan, folder, None, on_event)
        _check_masks(plan, folder)
        summary = _render_once(plan, folder, exports, overwrite, clock, on_event)
    total = replace(
        summary,
        seconds=time.monotonic() - started,
        done=len(tally.done),
        reused=len(tally.reused),
        notes=(*plan.notes, *summary.notes),
    )
    _write_report(plan, total)
    return total


def run_mask(
    source: str,
    output: str,
    *,
    work: str | None = None,
    keep_work: bool = True,
    overwrite: bool = False,
    per_object: bool = False,
    grid: bool = False,
    exports: Exports | None = None,
    on_event: Emit = silent,
    **options: Any,
) -> Summary:
    """Write the masks that `erase` would use, as .mkv or as a folder of PNG files.

    The work folder stays, so that a call with one prompt more does only what that changes.

    Args:
        source: The clip.
        output: The masks.
        work: The work folder; default `mask.mkv.vremove` beside the masks.
        keep_work: Whether the work folder stays.
        overwrite: Whether existing files may be replaced.
        per_object: Whether each object gets a mask of its own.
        grid: Whether the preview has coordinates.
        exports: What to write beside the masks: a preview, a cutout.
        on_event: Gets notes and progress.
        **options: Fields of `Request`.
    """
    started, exports = time.monotonic(), exports or Exports()
    request = make_request(source, None, options)
    if per_object and request.mask_file:
        raise UsageError("a mask knows no objects", "leave out --per-object, or give points or boxes instead of --mask")
    if grid and not exports.write_preview:
        raise UsageError("--grid draws on the preview", "add --write-preview sheet.png")
    names = [p.name for p in object_prompts(request)] + ([""] if request.text else [])  # more may be found by the text

    def targets(names: Iterable[str]) -> tuple[str, ...]:
        paths = tuple(object_paths(output, list(dict.fromkeys(names))).values()) if per_object else (output,)
        for path in paths:
            check_exports(replace(exports, write_mask=path), request, overwrite=overwrite)
        return paths

    targets(names)
    folder = WorkFolder(Path(work) if work else default_work_folder(output))
    with limited(request.threads), folder.occupied(keep=keep_work):
        plan = open_plan(folder, request, on_event)
        outputs = targets(plan.prompts)
        tally = _work(plan, folder, None, on_event, kinds=MASK_STAGES)
        _check_masks(plan, folder)
        if per_object:
            write_object_masks(plan, folder, output, overwrite=overwrite)
        else:
            write_masks(output, mask_frames(plan, folder), plan.clip, overwrite=overwrite, tracked=plan.tracked)
        if exports.write_cutout:
            write_cutout(plan, folder, exports.write_cutout)
        if exports.write_preview:
            write_mask_sheet(plan, folder, exports.write_preview, grid=grid)
        doubts = doubt_notes(plan, folder)
        for doubt in doubts:
            on_event(Note(doubt))
    made = _mask_summary(plan, tally, [str(Path(p).absolute()) for p in outputs], doubts)
    return replace(made, seconds=time.monotonic() - started, outputs=made.outputs if per_object else ())


def _mask_summary(plan: Plan, tally: Tally, outputs: list[str], doubts: list[str]) -> Summary:
    """Return what was done when only masks were written."""
    width, height = plan.clip.shown_size
    return Summary(
        output=outputs[0],
        frames=plan.clip.frames,
        width=width,
        height=height,
        encoder="ffv1" if Path(outputs[0]).suffix.lower() == ".mkv" else "png",
        streams=(),
        recovered=0.0,
        doubtful=0.0,
        unseen=0.0,
        seconds=0.0,
        notes=(*plan.notes, *doubts),
        done=len(tally.done),
        reused=len(tally.reused),
        outputs=tuple(outputs),
    )


def _work(
    plan: Plan, folder: WorkFolder, only: str | None, emit: Emit, kinds: tuple[str, ...] = tuple(STAGES)
) -> Tally:
    """Do every task that is left, in an order that its needs allow; wait for what another process is doing."""
    tally = Tally()
    left = [t for t in plan.tasks_of(*kinds) if only is None or t.id == only]
    for task in [t for t in left if folder.finished(t.id)]:
        tally.reused.append(task.id)
        emit(TaskDone(task.id, reused=True))
        left.remove(task)
    if any(t.kind == "fill" for t in left):
        registry.spec_of(plan.remover)  # before hours of work: the remover may not be installed here
    checked = False
    while left:
        ready = [t for t in left if all(folder.finished(n) for n in t.needs)]
        if not ready and only is not None:
            raise UsageError(f"task {only} needs {', '.join(left[0].needs)} first", "run those tasks before")
        if not checked and all(t.kind not in MASK_STAGES for t in left):
            _check_masks(plan, folder)
            checked = True
        finished = _first_done(plan, ready, folder, tally, emit)
        if finished is not None:
            emit(TaskDone(finished.id))
            left.remove(finished)
        else:
            if not folder.plan.exists():
                raise VremoveError(f"the work folder {folder.path} has gone", "run the command again")
            time.sleep(PATIENCE)
    return tally


def _first_done(plan: Plan, ready: list[Task], folder: WorkFolder, tally: Tally, emit: Emit) -> Task | None:
    """Do the first task that no other process has; return it, or one that another process has just finished."""
    for task in ready:
        if _do(plan, task, folder, emit):
            tally.done.append(task.id)
            return task
        if folder.finished(task.id):
            tally.reused.append(task.id)
            return task
    return None


def _do(plan: Plan, task: Task, folder: WorkFolder, emit: Emit) -> bool:
    """Do a task unless another process has it or has just finished it."""
    with folder.lease(task.id) as acquired:
        if not acquired or folder.finished(task.id):
            return False
        started = time.monotonic()
        result = STAGES[task.kind].run(plan, task, folder, emit)
        folder.finish(task.id, result, time.monotonic() - started)
        return True


def _check_masks(plan: Plan, folder: WorkFolder) -> None:
    """Raise `NothingError` when nothing was found, or everything is masked."""
    frames = found = full = 0
    for task, result in mask_results(plan, folder):
        frames += task.span.length
        found += result.table.used
        full += result.full
    if not found:
        what = "the mask is empty on every frame" if plan.request.mask_file else "nothing was found at the prompt"
        raise nothing_to_erase(what)
    plates = [folder.result(t.id, PlateResult) for t in plan.tasks_of("plate")]
    if plates and not any(r is None or r.recovered + r.doubtful + r.unseen for r in plates):
        raise nothing_to_erase("nothing is left of the mask after --grow shrank it")
    if full == frames:
        raise NothingError(
            "the mask file covers the whole picture on every frame",
            "white means erase: add --invert-mask if it is black",
        )
    if plates and sum(r.unseen for r in plates if r) == plan.span.length * plan.clip.width * plan.clip.height:
        raise NothingError(
            "the mask covers the whole picture on every frame once it is grown",
            "give a smaller --grow or a smaller mask",
        )


def _render_once(
    plan: Plan, folder: WorkFolder, exports: Exports, overwrite: bool, started: float, emit: Emit
) -> Summary:
    """Write the result unless a process that works on the same job has done it since this one began."""
    while True:
        with folder.lease("finish") as acquired:
            done = folder.result("finish", _Finished)
            if done is not None and done.at > started and Path(plan.request.output).exists():
                if exports == Exports():
                    return done.summary
                overwrite = True  # the other process wrote the result, but not these exports
            if acquired:
                summary = render(plan, folder, exports, overwrite=overwrite, emit=emit)
                folder.finish("finish", _Finished(summary, time.time()), summary.seconds)
                return summary
        time.sleep(PATIENCE)


def _write_report(plan: Plan, summary: Summary) -> None:
    """Write the report, `clip.clean.vremove.json` beside `clip.clean.mp4`: what was done, and what did it."""
    write_json(report_path(Path(plan.request.output)), {**asdict(summary), "plan": _provenance(plan)})


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
