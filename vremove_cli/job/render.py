"""Rendering: every frame of the source, edited where it must be, encoded and put in place."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from vremove_cli.compose import blend
from vremove_cli.job.composite import PlateResult, by_frame, patches
from vremove_cli.job.erase_mask import effect_notes, unused_reference_notes
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.exports import Sheet, write_side_files
from vremove_cli.job.mask_store import doubt_notes
from vremove_cli.job.plan import Plan
from vremove_cli.job.request import Exports
from vremove_cli.job.workdir.artifacts import Patch
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.read import Clip, Frame
from vremove_cli.media.write import open_writer


@dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        output: Path of the result.
        frames: Frames of the clip.
        width: Displayed width in pixels.
        height: Displayed height in pixels.
        encoder: The encoder and its settings.
        streams: The other streams that were kept.
        recovered: Share of the erased pixels that other frames showed (0 to 1).
        doubtful: Share of the erased pixels that may be wrong.
        unseen: Share of the erased pixels that no frame showed.
        seconds: Time it took.
        notes: What the user should know.
        done: Tasks that this run did.
        reused: Tasks that an earlier run had done.
        outputs: With a mask for each object, the paths of all; the first is `output`.
    """

    output: str
    frames: int
    width: int
    height: int
    encoder: str
    streams: tuple[str, ...]
    recovered: float
    doubtful: float
    unseen: float
    seconds: float
    notes: tuple[str, ...] = ()
    done: int = 0
    reused: int = 0
    outputs: tuple[str, ...] = ()


def render(plan: Plan, folder: WorkFolder, exports: Exports, *, overwrite: bool, emit: Emit) -> Summary:
    """Encode the result to the request's output; it appears there whole or not at all.

    Args:
        plan: A plan whose tasks are done.
        folder: Its work folder.
        exports: What to write beside the result.
        overwrite: Whether existing files may be replaced.
        emit: Gets notes and progress.
    """
    started = time.monotonic()
    sheet = Sheet(plan, folder) if exports.write_preview else None
    clip = Clip(plan.clip)
    write_side_files(plan, folder, exports, overwrite=overwrite)  # first: when they fail, no result claims success
    with open_writer(plan.request.output, plan.clip, plan.encode, plan.streams, overwrite=overwrite) as writer:
        for frame in edited_frames(clip, patches(plan, folder, 0, plan.clip.frames), sheet):
            writer.write(frame)
            emit(Progress("write", frame.index + 1, plan.clip.frames))
    if sheet and exports.write_preview:
        sheet.write(exports.write_preview)
    notes = doubt_notes(plan, folder) + effect_notes(plan, folder) + unused_reference_notes(plan, folder)
    for note in notes:
        emit(Note(note))
    recovered, doubtful, unseen = _shares(plan, folder)
    width, height = plan.clip.shown_size
    return Summary(
        output=plan.request.output,
        frames=plan.clip.frames,
        width=width,
        height=height,
        encoder=str(plan.encode),
        streams=tuple(s.label for s in plan.streams if s.action != "drop"),
        recovered=recovered,
        doubtful=doubtful,
        unseen=unseen,
        seconds=time.monotonic() - started,
        notes=tuple(notes),
    )


def _shares(plan: Plan, folder: WorkFolder) -> tuple[float, float, float]:
    """Return the shares of the erased pixels that were recovered, are doubtful, and were never seen."""
    results = [folder.result(t.id, PlateResult) for t in plan.tasks_of("plate")]
    plates = [r for r in results if r is not None]
    counts = (sum(r.recovered for r in plates), sum(r.doubtful for r in plates), sum(r.unseen for r in plates))
    if any(plan.tasks_of("fill")) and plan.request.recover == "off":
        counts = (0, 0, sum(counts))  # the remover made all of the hole, whatever other frames show
    total = max(1, sum(counts))
    return counts[0] / total, counts[1] / total, counts[2] / total


def edited_frames(
    clip: Clip, changes: Iterator[tuple[int, Patch | None]], sheet: Sheet | None = None
) -> Iterator[Frame]:
    """Yield the clip's frames in order with the patches blended in; a frame without one passes untouched."""
    for frame, patch in zip(clip.frames(), by_frame(changes, clip.info.frames), strict=True):
        shown = sheet is not None and frame.index in sheet.wanted
        if sheet is not None and shown:
            sheet.before(frame)
        if patch is not None:
            blend(frame.editable(), frame.layout, patch.box, patch.planes, patch.matte)
        if sheet is not None and shown:
            sheet.after(frame)
        yield frame
