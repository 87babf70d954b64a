"""plan -> work -> finish, and `erase`, which is the three in one process."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.job.erase_mask import run_effects
from vremove_cli.job.estimate import check_disk
from vremove_cli.job.events import Emit, Note, TaskDone, silent
from vremove_cli.job.exports import (
    Exports,
    mask_frames,
    object_paths,
    write_cutout,
    write_mask_sheet,
    write_object_masks,
)  # fmt: skip
from vremove_cli.job.mask_store import doubt_notes, mask_results, run_mask_import
from vremove_cli.job.output_paths import check_targets, make_request, sidecar_of, work_folder
from vremove_cli.job.plan import Plan, check_input, nothing
from vremove_cli.job.planner import parse_prompts
from vremove_cli.job.render import Summary, render
from vremove_cli.job.resume import PATIENCE, occupied, open_plan
from vremove_cli.job.stages.fill import run_fill
from vremove_cli.job.stages.plate import run_plate
from vremove_cli.job.stages.track import run_backward_correction, run_track
from vremove_cli.job.task_graph import Task
from vremove_cli.job.workdir.folder import WorkFolder, write_json
from vremove_cli.masks.io import write_masks
from vremove_cli.media.encoder_choice import container_of
from vremove_cli.media.write import check_free

_RUN: dict[str, Callable[[Plan, Task, WorkFolder, Emit], dict[str, Any]]] = {
    "mask": run_mask_import,
    "track": run_track,
    "mend": run_backward_correction,
    "effects": run_effects,
    "plate": run_plate,
    "fill": run_fill,
}
_MASKS = ("mask", "track", "mend")


@dataclass
class Tally:
    """Which tasks this process did, which were done already."""

    done: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)


def run_plan(
    source: str, output: str | None = None, *, work: str | None = None, on_event: Emit = silent, **options: Any
) -> tuple[Plan, Path]:
    """Decide everything about a job and write it to a work folder (default: `clip.vremove` beside `clip.mp4`).

    Gives the plan and the folder; `options` are the fields of `Request`.
    """
    request = make_request(source, output, options)
    folder = WorkFolder(Path(work) if work else Path(request.input).with_suffix(".vremove"))
    with occupied(folder):
        made = open_plan(folder, request, on_event)
        folder.settle()
    return made, folder.path


def run_work(path: str, *, task: str | None = None, on_event: Emit = silent) -> Tally:
    """Do one task of a planned job, or all that are left; other processes may work beside."""
    folder = WorkFolder(Path(path))
    made = Plan.load(folder.plan)
    check_input(made)
    if task is not None and task not in {t.id for t in made.tasks}:
        raise UsageError(f"the plan has no task '{task}'", "`vremove work FOLDER --list` names them")
    return _work(made, folder, task, on_event)


def run_finish(
    path: str, output: str | None = None, *, overwrite: bool = False, exports: Exports | None = None,
    on_event: Emit = silent,
) -> Summary:  # fmt: skip
    """Write the result of a job whose tasks are done."""
    folder = WorkFolder(Path(path))
    made = Plan.load(folder.plan)
    check_input(made)
    missing = [t.id for t in made.tasks if not folder.finished(t.id)]
    if missing:
        raise UsageError(f"{len(missing)} task(s) are not done ({missing[0]} ...)", f"run `vremove work {path}` first")
    _check_masks(made, folder)
    if output:
        if not Path(output).absolute().parent.is_dir():
            raise UsageError(f"the folder {Path(output).absolute().parent} does not exist", "make it first")
        made = replace(made, request=replace(made.request, output=str(Path(output).absolute())))
        if container_of(output, images=made.clip.is_sequence) != made.encode.container:
            raise UsageError(f"{output} is another kind of file than was planned", "plan again with this output")
    exports = exports or Exports()
    check_targets(made.request, exports, overwrite=overwrite)
    summary = render(made, folder, exports, overwrite=overwrite, emit=on_event)
    _write_report(made, summary)
    return summary


def run_erase(
    source: str, output: str | None = None, *, work: str | None = None, keep_work: bool = False,
    overwrite: bool = False, exports: Exports | None = None, on_event: Emit = silent, **options: Any,
) -> Summary:  # fmt: skip
    """Erase an object from a clip: plan, work and finish in one.

    `options` are the fields of `Request`. A killed run leaves its work folder; the same call goes on from there.
    Raises a `VremoveError` that says what to do.
    """
    started, clock = time.monotonic(), time.time()
    request = make_request(source, output, options)
    exports = exports or Exports()
    check_targets(request, exports, overwrite=overwrite)
    folder = WorkFolder(Path(work) if work else work_folder(request.output))
    with occupied(folder, keep=keep_work):
        made = open_plan(folder, request, on_event)
        check_free(request.output, made.clip, made.encode, overwrite=overwrite)
        check_disk(made, folder.path)
        tally = _work(made, folder, None, on_event)
        _check_masks(made, folder)
        summary = _finish_once(made, folder, exports, overwrite, clock, on_event)
    total = replace(
        summary, seconds=time.monotonic() - started, done=len(tally.done), reused=len(tally.reused),
        notes=(*made.notes, *summary.notes),
    )  # fmt: skip
    _write_report(made, total)
    return total


def run_mask(
    source: str, output: str, *, work: str | None = None, keep_work: bool = True, overwrite: bool = False,
    per_object: bool = False, cutout: str | None = None, preview: str | None = None, grid: bool = False,
    on_event: Emit = silent, **options: Any,
) -> Summary:  # fmt: skip
    """Write the masks that `erase` would use, to .mkv or a folder of PNG files. Options as for `erase`.

    The work stays, so that a call with one prompt more does only what that changes. `per_object` writes a mask for each
    object, `cutout` is a file or folder for the objects with alpha, `preview` a sheet to check by, with coordinates if
    `grid`.
    """
    started = time.monotonic()
    request = make_request(source, None, options)
    if per_object and request.mask:
        raise UsageError("a mask knows no objects", "leave out --per-object, or give points or boxes instead of --mask")
    names = [p.name for p in parse_prompts(request)] + ([""] if request.text else [])  # a text's others are found later

    def targets(names: Iterable[str]) -> tuple[str, ...]:
        paths = tuple(object_paths(output, list(dict.fromkeys(names))).values()) if per_object else (output,)
        for path in paths:
            Exports(mask=path, cutout=cutout, preview=preview).check(request, overwrite=overwrite)
        return paths

    targets(names)
    folder = WorkFolder(Path(work) if work else work_folder(output))
    with occupied(folder, keep=keep_work):
        made = open_plan(folder, request, on_event)
        outputs = targets(made.clicks)
        tally = _work(made, folder, None, on_event, kinds=_MASKS)
        _check_masks(made, folder)
        if per_object:
            write_object_masks(made, folder, output, overwrite=overwrite)
        else:
            write_masks(output, mask_frames(made, folder), made.clip, overwrite=overwrite)
        if cutout:
            write_cutout(made, folder, cutout)
        if preview:
            write_mask_sheet(made, folder, preview, grid=grid)
        doubts = doubt_notes(made, folder)
        for doubt in doubts:
            on_event(Note(doubt))
    return Summary(
        output=str(Path(outputs[0]).absolute()), frames=made.clip.frames,
        width=made.clip.shown_size[0],
        height=made.clip.shown_size[1], encoder="ffv1" if Path(output).suffix.lower() == ".mkv" else "png",
        streams=(), recovered=0.0, doubtful=0.0, unseen=0.0, seconds=time.monotonic() - started,
        notes=(*made.notes, *doubts), done=len(tally.done), reused=len(tally.reused),
        outputs=tuple(str(Path(p).absolute()) for p in outputs) if per_object else (),
    )  # fmt: skip


def _work(
    made: Plan,
    folder: WorkFolder,
    only: str | None,
    emit: Emit,
    kinds: tuple[str, ...] = tuple(_RUN),
) -> Tally:
    """Do every task that is left, in an order its needs allow; what another process is doing is waited for."""
    tally = Tally()
    todo = [t for t in made.tasks if t.kind in kinds and (only is None or t.id == only)]
    for task in list(todo):
        if folder.finished(task.id):
            tally.reused.append(task.id)
            emit(TaskDone(task.id, reused=True))
            todo.remove(task)
    checked = False
    while todo:
        ready = [t for t in todo if all(folder.finished(n) for n in t.needs)]
        if not ready and only is not None:
            raise UsageError(f"task {only} needs {', '.join(todo[0].needs)} first", "run those tasks before")
        if not checked and all(t.kind not in _MASKS for t in todo):
            _check_masks(made, folder)
            checked = True
        progressed = False
        for task in ready:
            if _do(made, task, folder, emit):
                tally.done.append(task.id)
            elif not folder.finished(task.id):
                continue
            else:
                tally.reused.append(task.id)
            emit(TaskDone(task.id))
            todo.remove(task)
            progressed = True
            break
        if not progressed:
            if not folder.plan.exists():
                raise VremoveError(f"the work folder {folder.path} has gone", "run the command again")
            time.sleep(PATIENCE)
    return tally


def _do(made: Plan, task: Task, folder: WorkFolder, emit: Emit) -> bool:
    """Do a task unless another process has it or has just finished it."""
    with folder.lease(task.id) as mine:
        if not mine or folder.finished(task.id):
            return False
        started = time.monotonic()
        result = _RUN[task.kind](made, task, folder, emit)
        folder.finish(task.id, {**result, "seconds": round(time.monotonic() - started, 3)})
        return True


def _check_masks(made: Plan, folder: WorkFolder) -> None:
    """Raise `NothingError` when nothing was found, or everything is masked."""
    frames = found = full = 0
    for task, result in mask_results(made, folder):
        frames += task.span.length
        found += sum(b[2] > b[0] for b in result["masks"]["boxes"])
        full += result.get("full", 0)
    if not found:
        raise nothing("the mask is empty on every frame" if made.request.mask else "nothing was found at the prompt")
    plates = [r for t in made.tasks if t.kind == "plate" and (r := folder.result(t.id)) is not None]
    if plates and len(plates) == sum(t.kind == "plate" for t in made.tasks):
        left = sum(r["recovered"] + r["doubtful"] + r["unseen"] for r in plates)
        if not left:
            raise nothing("nothing is left of the mask after --grow shrank it")
    if full == frames:
        raise nothing("the mask covers the whole picture on every frame (white means erase; see --invert-mask)")


def _finish_once(
    made: Plan, folder: WorkFolder, exports: Exports, overwrite: bool, started: float, emit: Emit
) -> Summary:
    """Write the result unless a process that works on the same job has done it since this one began."""
    while True:
        with folder.lease("finish") as mine:
            done = folder.result("finish")
            if done is not None and done["at"] > started and Path(made.request.output).exists():
                if exports == Exports():
                    return Summary.from_json(done)
                overwrite = True  # the other process wrote the result, but not what this one was asked for beside it
            if mine:
                summary = render(made, folder, exports, overwrite=overwrite, emit=emit)
                folder.finish("finish", {**asdict(summary), "at": time.time()})
                return summary
        time.sleep(PATIENCE)


def _write_report(made: Plan, summary: Summary) -> None:
    """The sidecar, `clip.clean.vremove.json` beside `clip.clean.mp4`: what was done, and what made it."""
    report = {**asdict(summary), "plan": _provenance(made)}
    write_json(sidecar_of(Path(made.request.output)), report)


def _provenance(made: Plan) -> dict[str, Any]:
    """The plan without its long lists."""
    data: dict[str, Any] = json.loads(json.dumps(made.to_json()))
    for clip in filter(
        None, (data["clip"], data["mask"], data["effects"], data["affected"], *data["references"].values())
    ):
        clip["times"].pop("pts")
        for key in ("keyframes", "files", "file_numbers"):
            clip.pop(key)
    return data
