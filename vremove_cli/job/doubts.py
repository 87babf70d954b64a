"""What makes a finished result doubtful: the conditions of `--strict`."""

from vremove_cli.frame_ranges import ranges_of, ranges_text
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.events import Note
from vremove_cli.job.mask_store import UNCERTAIN, confidences, mask_notes
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.folder import WorkFolder

MOST_GUESSED = 0.5  # share of the erased pixels that are doubtful or never seen; above it, most of them are
# Share of the tracked frames whose mask is uncertain or not found. On 31 drawn scenes, followed from a point and from a
# box, the masks of a clip are nearly all uncertain or nearly all not: see docs/masks.md.
MANY_UNCERTAIN = 0.4


def doubts(plan: Plan, folder: WorkFolder) -> tuple[Note, ...]:
    """Return why a result is doubtful, one note for each reason, with the frames; none when nothing speaks against it.

    Args:
        plan: A plan whose masks are made, and whose plates are made unless it is for masks alone.
        folder: Its work folder.
    """
    first = (n for n in mask_notes(plan, folder) if n.kind == "first_mask")
    found = [
        Note(n.text.partition(": look")[0] + _place(plan, f"frame {n.frames[0][0]}"), n.kind, n.frames, n.object)
        for n in first
    ]
    tracked = confidences(plan, folder)
    uncertain = [t for t, confidence in tracked.items() if confidence < UNCERTAIN]
    if len(uncertain) > MANY_UNCERTAIN * len(tracked):
        found.append(
            _share(plan, "of the masks are uncertain or empty", len(uncertain) / len(tracked), uncertain, "uncertain")
        )
    return (*found, *_guessed(plan, folder))


def _guessed(plan: Plan, folder: WorkFolder) -> list[Note]:
    """Return that most of the fill is guessed.

    What a generative remover makes is not, since it was asked for; nor that of one picture, where all has to be.
    """
    if any(plan.tasks_of("fill")) or plan.clip.frames == 1:
        return []
    erased = guessed = 0
    frames: list[int] = []
    for task in plan.tasks_of("plate"):
        result = folder.result(task.id, PlateResult)
        if result is not None:
            unsure, total = result.doubtful + result.unseen, result.recovered + result.doubtful + result.unseen
            erased, guessed = erased + total, guessed + unsure
            if unsure > MOST_GUESSED * total:
                frames += range(*task.span)
    if guessed <= MOST_GUESSED * erased:
        return []
    return [_share(plan, "of the erased pixels are guessed", guessed / erased, frames, "guessed")]


def _place(plan: Plan, frames: str) -> str:
    """Return where something is, in brackets; nothing where there is one frame alone."""
    return "" if plan.clip.frames == 1 else f" ({frames})"


def _share(plan: Plan, what: str, share: float, frames: list[int], kind: str) -> Note:
    ranges = ranges_of(frames)
    return Note(f"{share:.0%} {what}{_place(plan, f'frames {ranges_text(ranges)}')}", kind, ranges)
