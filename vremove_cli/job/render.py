"""The last step: every frame of the source, edited where it must be, encoded and put in place."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from vremove_cli.compose import blend
from vremove_cli.job.composite import by_frame, patches
from vremove_cli.job.erase_mask import effect_notes, unused_reference_notes
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.exports import Exports, Sheet, write_side_files
from vremove_cli.job.mask_store import doubt_notes
from vremove_cli.job.plan import Plan
from vremove_cli.job.stages.plate import Patch
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.read import Clip, Frame
from vremove_cli.media.write import open_writer


@dataclass(frozen=True)
class Summary:
    """What was done. `recovered`, `doubtful` and `unseen` are shares of the erased pixels; `outputs` are the masks of
    each object, the first of which is `output`, where there is none of all together."""

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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Summary":
        known: dict[str, Any] = {f.name: data[f.name] for f in fields(cls)}
        lists: dict[str, Any] = {k: tuple(known[k]) for k in ("streams", "notes", "outputs")}
        return cls(**{**known, **lists})


def render(plan: Plan, folder: WorkFolder, exports: Exports, *, overwrite: bool, emit: Emit) -> Summary:
    """Encode the result to the request's output; it appears there whole or not at all."""
    started = time.monotonic()
    sheet = Sheet(plan, folder) if exports.preview else None
    clip = Clip(plan.clip)
    write_side_files(plan, folder, exports, overwrite=overwrite)  # first: when they fail, no result claims success
    with open_writer(plan.request.output, plan.clip, plan.encode, plan.streams, overwrite=overwrite) as writer:
        for frame in edited(clip, patches(plan, folder, 0, plan.clip.frames), sheet):
            writer.write(frame)
            emit(Progress("write", frame.index + 1, plan.clip.frames))
    if sheet and exports.preview:
        sheet.write(exports.preview)
    doubts = doubt_notes(plan, folder) + effect_notes(plan, folder) + unused_reference_notes(plan, folder)
    for doubt in doubts:
        emit(Note(doubt))
    counts = [
        sum((folder.result(t.id) or {}).get(key, 0) for t in plan.tasks) for key in ("recovered", "doubtful", "unseen")
    ]
    if any(t.kind == "fill" for t in plan.tasks) and not plan.request.recover:
        counts = [0, 0, sum(counts)]  # all of the hole was made anew, whatever other frames show
    total = max(1, sum(counts))
    recovered, doubtful, unseen = (c / total for c in counts)
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
        notes=tuple(doubts),
    )


def edited(clip: Clip, changes: Iterator[tuple[int, Patch | None]], sheet: Sheet | None = None) -> Iterator[Frame]:
    """The clip's frames in order with the patches blended in; a frame without one passes untouched."""
    for frame, patch in zip(clip.frames(), by_frame(changes, clip.info.frames), strict=True):
        shown = sheet is not None and frame.index in sheet.wanted
        if sheet is not None and shown:
            sheet.before(frame)
        if patch is not None:
            box, planes, matte = patch
            blend(frame.editable(), frame.layout, box, planes, matte)
        if sheet is not None and shown:
            sheet.after(frame)
        yield frame
