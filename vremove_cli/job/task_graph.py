"""The task graph: which pieces of work a job consists of, and what each needs."""

from dataclasses import dataclass

from vremove_cli.frame_ranges import FrameRange, segments, shot_context
from vremove_cli.job.object_prompts import UNNAMED, PromptsByObject, is_affected
from vremove_cli.media.clip import ClipInfo
from vremove_cli.removers.base import ShotInfo, Stage

PLATE_SEGMENT = 180  # frames of a segment of the plate, at most
TRACK_SEGMENT = 60  # frames of a segment of tracking, at most: what a correction redoes at least
REACH = 60  # frames before and after a segment in which the plate looks for the background


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes:
        id: Unique in the plan; also the stem of its files.
        kind: `mask`, `track`, `backward_correction`, `background`, `plate` or `fill`.
        span: Its frames.
        needs: Ids of the tasks that must be done before.
        target: Name of the object, of tracking tasks.
        origin: The prompted frame that a tracking task starts from.
        key: Digest of all that its result depends on.
    """

    id: str
    kind: str
    span: FrameRange
    needs: tuple[str, ...] = ()
    target: str = ""
    origin: int | None = None
    key: str = ""


def segments_in(span: FrameRange, clip: ClipInfo, longest: int) -> tuple[FrameRange, ...]:
    """Return a span in segments of at most `longest` frames, none of them across a cut."""
    found = segments(span.length, [c - span.start for c in clip.cuts], longest)
    return tuple(FrameRange(a + span.start, b + span.start) for a, b in found)


def shots_in(span: FrameRange, clip: ClipInfo) -> tuple[FrameRange, ...]:
    """Return a span in whole shots."""
    return segments_in(span, clip, clip.frames + 1)


def mask_tasks(pieces: tuple[FrameRange, ...]) -> list[Task]:
    """Return a task for each segment of the user's mask."""
    return [Task(f"mask-{k:04d}", "mask", piece) for k, piece in enumerate(pieces)]


def tracking_tasks(
    prompts: PromptsByObject, pieces: tuple[FrameRange, ...], cuts: tuple[int, ...], notes: list[str]
) -> list[Task]:
    """Return the tasks that follow objects.

    Each object and shot gets a chain of tasks, outwards from the segment that holds its first prompt there, and tasks
    that carry later prompts back over the segments before theirs.

    Args:
        prompts: Prompts by object name and frame.
        pieces: Segments of tracking.
        cuts: First frames of new shots.
        notes: Gets a sentence for each shot in which an object is not followed, and for each useless negative point.
    """
    out: list[Task] = []
    for name, by_frame in prompts.items():
        for shot in _segments_by_shot(pieces, cuts):
            start, stop = pieces[shot[0]].start, pieces[shot[-1]].stop
            frames = sorted(f for f in by_frame if start <= f < stop)
            positive = [f for f in frames if by_frame[f].positive]
            if not positive:
                if not is_affected(name):
                    notes.append(
                        f"{name or UNNAMED} is not looked for after the cut at frame {start}: "
                        f"add a prompt @{start}:X,Y there"
                    )
                continue
            notes += [
                f"the negative point on frame {f} says nothing: {name or UNNAMED} is first shown "
                f"on frame {positive[0]} of its shot"
                for f in frames
                if f < positive[0]
            ]
            out += _chain(name, shot, positive[0], pieces)
            out += _backward_corrections(name, [f for f in frames if f >= positive[0]], pieces)
    return out


def _label(name: str) -> str:
    """Return an object's name as it stands in task ids: a task's files are named ID.WHAT, so it has no dot."""
    return name.replace(".", "~") or UNNAMED


def _chain(name: str, shot: list[int], first: int, pieces: tuple[FrameRange, ...]) -> list[Task]:
    """Return an object's tasks in one shot, from the segment of its first prompt outwards."""
    label = _label(name)
    home = next(k for k in shot if pieces[k].start <= first < pieces[k].stop)
    out = []
    for k in sorted(shot, key=lambda k: abs(k - home)):
        neighbour = home if k == home else (k - 1 if k > home else k + 1)
        needs = () if k == home else (f"track-{label}-{neighbour:04d}",)
        out.append(Task(f"track-{label}-{k:04d}", "track", pieces[k], needs, name, first))
    return out


def _backward_corrections(name: str, frames: list[int], pieces: tuple[FrameRange, ...]) -> list[Task]:
    """Return tasks for the segments between two prompts, from the later prompt's down to half-way."""
    out: list[Task] = []
    label = _label(name)
    for before, frame in zip(frames, frames[1:], strict=False):
        home = next(k for k, piece in enumerate(pieces) if piece.holds(frame))
        later = f"track-{label}-{home:04d}"
        for k in range(home - 1, -1, -1):
            if pieces[k].stop <= (before + frame) / 2:
                break
            needs = (f"track-{label}-{k:04d}", later)
            out.append(Task(f"correct-{label}-{k:04d}", "backward_correction", pieces[k], needs, name, frame))
            later = out[-1].id
    return out


def _segments_by_shot(pieces: tuple[FrameRange, ...], cuts: tuple[int, ...]) -> list[list[int]]:
    """Return the indices of each shot's segments."""
    out: list[list[int]] = []
    for k, piece in enumerate(pieces):
        if not out or piece.start in cuts:
            out.append([])
        out[-1].append(k)
    return out


def frames_in_reach(piece: FrameRange, span: FrameRange, clip: ClipInfo) -> FrameRange:
    """Return the frames that may show what a segment hides: near it, in its shot, and among those that have masks."""
    low, high = shot_context(piece, clip.frames, clip.cuts, REACH)
    return FrameRange(max(low, span.start), min(high, span.stop))


def tasks_with_reach(
    kind: str, tasks: list[Task], pieces: tuple[FrameRange, ...], clip: ClipInfo, span: FrameRange
) -> list[Task]:
    """Return a task for each segment that needs all of the given tasks within its reach."""
    out = []
    for k, piece in enumerate(pieces):
        reached = frames_in_reach(piece, span, clip)
        needs = tuple(t.id for t in tasks if t.span.overlaps(reached))
        if needs:
            out.append(Task(f"{kind}-{k:04d}", kind, piece, needs))
    return out


def shot_info(clip: ClipInfo, span: FrameRange, pieces: tuple[FrameRange, ...]) -> ShotInfo:
    """Return the numbers that a remover plans its stages from."""
    return ShotInfo(pieces, shots_in(span, clip), clip.width, clip.height)


def connected_groups(stages: list[Stage]) -> dict[str, FrameRange]:
    """Return for each stage the frames of its connected group: stages that need each other, directly or not."""
    leader = {s.id: s.id for s in stages}

    def find(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for stage in stages:
        for need in stage.needs:
            leader[find(stage.id)] = find(need)
    spans: dict[str, FrameRange] = {}
    for stage in stages:
        low, high = spans.get(find(stage.id), stage.span)
        spans[find(stage.id)] = FrameRange(min(low, stage.start), max(high, stage.stop))
    return {s.id: spans[find(s.id)] for s in stages}


def kept_frames(stages: list[Stage]) -> dict[str, list[int]]:
    """Return for each stage those of its frames that later stages need, in order."""
    frames = {s.id: s.frames for s in stages}
    wanted: dict[str, set[int]] = {s.id: set() for s in stages}
    for stage in stages:
        for need in stage.needs:
            wanted[need].update(t for t in stage.frames if t in frames[need])
    return {name: sorted(found) for name, found in wanted.items()}


def fill_tasks(stages: list[Stage], plates: list[Task], *, whole_frame: bool) -> list[Task]:
    """Return the tasks of a remover's stages.

    Each needs the stages before it and the plates of its frames. A cropping remover waits for all plates in its
    connected group, because the crop is computed from them.

    Args:
        stages: The remover's stages.
        plates: The plate tasks.
        whole_frame: Whether the remover sees the whole frame instead of a crop.
    """
    spans = {s.id: s.span for s in stages} if whole_frame else connected_groups(stages)
    out = []
    for stage in stages:
        below = tuple(p.id for p in plates if p.span.overlaps(spans[stage.id]))
        out.append(Task(f"fill-{stage.id}", "fill", stage.span, below + tuple(f"fill-{n}" for n in stage.needs)))
    return out
