"""Rendering: every frame of the source, edited where it must be, encoded and put in place."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vremove_cli.compose import blend
from vremove_cli.job.attempts import Attempts
from vremove_cli.job.composite import FillResult, PlateResult, by_frame, patches
from vremove_cli.job.doubts import doubts
from vremove_cli.job.erase_mask import effect_notes, unused_reference_notes
from vremove_cli.job.events import Emit, Note, Progress
from vremove_cli.job.exports import Sheet, write_side_files
from vremove_cli.job.mask_store import mask_notes
from vremove_cli.job.output_paths import report_path
from vremove_cli.job.plan import Plan
from vremove_cli.job.recovery import better_ways
from vremove_cli.job.request import Exports
from vremove_cli.job.workdir.artifacts import Patch
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.read import Clip, Frame
from vremove_cli.media.write import open_writer


@dataclass(frozen=True)
class Output:
    """A file or folder that was written.

    Attributes:
        kind: `result`, `report`, or what was asked for with a --write option: `preview`, `mask`, `matte`, `effects`,
            `quadmask`, `plate`, `patch` or `cutout`.
        path: Its path.
        object: Name of the object whose mask it is; empty for all together.
    """

    kind: str
    path: str
    object: str = ""


@dataclass(frozen=True)
class Summary:
    """What was done.

    Attributes:
        input: Path of the clip.
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
        outputs: Everything that was written; the first is `output`.
        warnings: What a person should look at, with the frames; their texts are among `notes`.
        phases: Seconds of the remover by phase, of all runs together: read, load, text, encode, warm-up (the first
            step), steps, decode, restore; and write, of this one. Empty for a remover without networks.
        better: What would give a better result and what it needs, such as weights that are not here.
        attempts: What was filled more than once, with the score of each attempt.
        doubts: Why the result is doubtful, as --strict sees it; empty when nothing speaks against it.
    """

    input: str
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
    outputs: tuple[Output, ...] = ()
    warnings: tuple[Note, ...] = ()
    doubts: tuple[Note, ...] = ()
    phases: dict[str, float] = field(default_factory=dict)
    better: tuple[str, ...] = ()
    attempts: tuple[Attempts, ...] = ()


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
    notes = mask_notes(plan, folder) + effect_notes(plan, folder) + unused_reference_notes(plan, folder)
    for note in notes:
        emit(note)
    recovered, doubtful, unseen = _shares(plan, folder)
    width, height = plan.clip.shown_size
    target = Path(plan.request.output)
    return Summary(
        input=plan.request.input,
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
        notes=tuple(note.text for note in notes),
        outputs=(*written("result", plan.request.output, exports), Output("report", str(report_path(target)))),
        warnings=tuple(notes),
        doubts=doubts(plan, folder),
        phases=_phases(plan, folder, time.monotonic() - started),
        better=better_ways(plan, folder),
        attempts=tuple(attempt for result in _fills(plan, folder) for attempt in result.attempts),
    )


def _phases(plan: Plan, folder: WorkFolder, writing: float) -> dict[str, float]:
    """Return the seconds of a remover's phases, and of writing; nothing for a remover without networks."""
    total: dict[str, float] = {}
    for result in _fills(plan, folder):
        for phase, seconds in result.phases.items():
            total[phase] = total.get(phase, 0.0) + seconds
    return {**total, "write": writing} if total else {}


def _fills(plan: Plan, folder: WorkFolder) -> list[FillResult]:
    """Return what the remover's tasks left."""
    return [r for r in (folder.result(t.id, FillResult) for t in plan.tasks_of("fill")) if r is not None]


def written(kind: str, path: str, exports: Exports) -> tuple[Output, ...]:
    """Return what a run writes: its result of some kind, and the exports beside it."""
    beside = ((name.removeprefix("write_"), value) for name, value in vars(exports).items())
    return (Output(kind, path), *(Output(what, value) for what, value in beside if value))


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
