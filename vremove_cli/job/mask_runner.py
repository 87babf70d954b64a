"""Running a job for its masks alone."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vremove_cli.errors import UsageError
from vremove_cli.job.choices import Ask
from vremove_cli.job.delivery import complete, deliver, order_of
from vremove_cli.job.doubts import doubts
from vremove_cli.job.estimate import expected
from vremove_cli.job.events import Emit, Note, silent
from vremove_cli.job.exports import (
    check_exports,
    mask_frames,
    object_paths,
    write_cutout,
    write_mask_sheet,
    write_object_masks,
)
from vremove_cli.job.mask_store import mask_notes
from vremove_cli.job.object_prompts import object_prompts
from vremove_cli.job.output_paths import default_work_folder, make_request
from vremove_cli.job.plan import InputWatch, Plan
from vremove_cli.job.render import Output, Summary, written
from vremove_cli.job.request import Exports
from vremove_cli.job.resume import open_plan
from vremove_cli.job.stages.kinds import MASK_STAGES
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.job.working import Assignment, check_masks, do_tasks
from vremove_cli.masks.io import write_masks
from vremove_cli.threads import limited


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
    ask: Ask | None = None,
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
        ask: Asks the user whether to fetch what auto would take; None where nobody can be asked.
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

    folder = WorkFolder(Path(work) if work else default_work_folder(output))
    order = order_of("mask", request, exports, str(Path(output).absolute()), per_object, grid)
    completed = complete(folder, order, keep=keep_work)
    if completed:
        return completed
    targets(names)
    clock = time.time()
    with limited(request.threads), folder.occupied(keep=keep_work):
        plan = open_plan(folder, request, on_event, ask)
        watch = InputWatch(plan)
        outputs = [str(Path(path).absolute()) for path in targets(plan.prompts)]
        on_event(expected(plan, folder, "track"))
        tally = do_tasks(plan, folder, Assignment(kinds=MASK_STAGES), on_event, watch)
        check_masks(plan, folder)

        def write(again: bool) -> Summary:
            _write_results(plan, folder, output, exports, per_object, grid, overwrite or again)
            notes = mask_notes(plan, folder)
            for note in notes:
                on_event(note)
            named = zip(plan.prompts, outputs, strict=True) if per_object else [("", outputs[0])]
            masks = tuple(Output("mask", path, name) for name, path in named)
            beside = written("mask", outputs[0], exports)[1:]
            return replace(_summary(plan, outputs[0], notes), outputs=masks + beside, doubts=doubts(plan, folder))

        summary = deliver(
            plan, folder, order, clock, write, watch.check, on_event, keep=keep_work or not folder.temporary
        )
    return replace(summary, **tally.counted(started))


def _write_results(
    plan: Plan, folder: WorkFolder, output: str, exports: Exports, per_object: bool, grid: bool, overwrite: bool
) -> None:
    """Write the masks and what was asked for beside them."""
    if per_object:
        write_object_masks(plan, folder, output, overwrite=overwrite)
    else:
        write_masks(output, mask_frames(plan, folder), plan.clip, overwrite=overwrite, tracked=plan.tracked)
    if exports.write_cutout:
        write_cutout(plan, folder, exports.write_cutout)
    if exports.write_preview:
        write_mask_sheet(plan, folder, exports.write_preview, grid=grid)


def _summary(plan: Plan, output: str, notes: list[Note]) -> Summary:
    """Return what was done when only masks were written."""
    width, height = plan.clip.shown_size
    return Summary(
        input=plan.request.input,
        output=output,
        frames=plan.clip.frames,
        width=width,
        height=height,
        encoder="ffv1" if Path(output).suffix.lower() == ".mkv" else "png",
        streams=(),
        recovered=0.0,
        doubtful=0.0,
        unseen=0.0,
        seconds=0.0,
        notes=(*plan.notes, *(note.text for note in notes)),
        warnings=tuple(notes),
        better=tuple(f"masks with {c.better}" for c in plan.choices if c.what == "tracker" and c.better),
    )
