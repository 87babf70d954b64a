"""The task graph: which pieces of work a job consists of, what each needs, and what its result depends on."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from vremove_cli import __version__
from vremove_cli.frame_ranges import FrameRange, segments, shot_context
from vremove_cli.job.request import Request
from vremove_cli.media.clip import ClipInfo
from vremove_cli.removers.base import ShotInfo, Stage
from vremove_cli.tracking.base import ObjectPrompts

PLATE_SEGMENT = 180  # frames of a segment
TRACK_SEGMENT = 60  # ... of one in which an object is followed: what a correction redoes at least
UNNAMED = "object"  # what the object without a name is called
AFFECTED = "affected"  # what is followed under this name, or one that begins so, is not erased: it will move
REACH = 60  # frames on both sides in which the plate looks for the background


@dataclass(frozen=True)
class Task:
    """One piece of work: `kind` is mask, track, mend, effects, plate or fill; `span` its frames; `needs` ids of others.

    `origin` is the prompted frame it starts from; `key` a digest of all that its result depends on.
    """

    id: str
    kind: str
    span: FrameRange
    needs: tuple[str, ...] = ()
    target: str = ""
    origin: int | None = None
    key: str = ""


def is_affected(name: str) -> bool:
    """Whether what is followed under a name is not erased, but will move once the object is gone."""
    return name == AFFECTED or name.startswith(f"{AFFECTED}.")


def segments_in(span: FrameRange, clip: ClipInfo, longest: int) -> tuple[FrameRange, ...]:
    """A run of frames in segments."""
    found = segments(span.length, [c - span.start for c in clip.cuts], longest)
    return tuple(FrameRange(a + span.start, b + span.start) for a, b in found)


def mask_tasks(pieces: tuple[FrameRange, ...]) -> list[Task]:
    """A task for each segment of the user's mask."""
    return [Task(f"mask-{k:04d}", "mask", piece) for k, piece in enumerate(pieces)]


def tracking_tasks(
    clicks: dict[str, dict[int, ObjectPrompts]],
    pieces: tuple[FrameRange, ...],
    cuts: tuple[int, ...],
    notes: list[str],
) -> list[Task]:
    """A chain of tasks for each object and shot, outwards from the segment that holds its first prompt there, and
    tasks that carry later prompts back over segments before theirs."""
    out = []
    for name, by_frame in clicks.items():
        label = name.replace(".", "~") or UNNAMED  # a file of a task is named ID.WHAT
        for shot in _shots(pieces, cuts):
            frames = sorted(f for f in by_frame if pieces[shot[0]][0] <= f < pieces[shot[-1]][1])
            positive = [f for f in frames if by_frame[f].points or by_frame[f].boxes]
            if not positive:
                start = pieces[shot[0]][0]
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
            home = next(k for k in shot if pieces[k][0] <= positive[0] < pieces[k][1])
            for k in sorted(shot, key=lambda k: abs(k - home)):
                toward = home if k == home else (k - 1 if k > home else k + 1)
                needs = () if k == home else (f"track-{label}-{toward:04d}",)
                out.append(Task(f"track-{label}-{k:04d}", "track", pieces[k], needs, name, positive[0]))
            out += _mend_tasks(label, name, [f for f in frames if f >= positive[0]], pieces)
    return out


def _mend_tasks(label: str, name: str, frames: list[int], pieces: tuple[FrameRange, ...]) -> list[Task]:
    """Tasks for the segments between two prompts, from the later one's down to half-way."""
    out = []
    for before, frame in zip(frames, frames[1:], strict=False):
        home = next(k for k, piece in enumerate(pieces) if piece[0] <= frame < piece[1])
        later = f"track-{label}-{home:04d}"
        for k in range(home - 1, -1, -1):
            if pieces[k][1] <= (before + frame) / 2:
                break
            out.append(Task(f"mend-{label}-{k:04d}", "mend", pieces[k], (f"track-{label}-{k:04d}", later), name, frame))
            later = out[-1].id
    return out


def _shots(pieces: tuple[FrameRange, ...], cuts: tuple[int, ...]) -> list[list[int]]:
    """Indices of the segments of each shot."""
    out: list[list[int]] = []
    for k, (start, _) in enumerate(pieces):
        if not out or start in cuts:
            out.append([])
        out[-1].append(k)
    return out


def frames_in_reach(piece: FrameRange, span: FrameRange, clip: ClipInfo) -> FrameRange:
    """Frames that may show what a segment hides: near it, in its shot, and in the range whose masks are known."""
    low, high = shot_context(piece, clip.frames, clip.cuts, REACH)
    return FrameRange(max(low, span.start), min(high, span.stop))


def tasks_with_reach(
    kind: str, tasks: list[Task], pieces: tuple[FrameRange, ...], clip: ClipInfo, span: FrameRange
) -> list[Task]:
    """A task for each segment that needs all of the given ones within its reach."""
    out = []
    for k, piece in enumerate(pieces):
        reached = frames_in_reach(piece, span, clip)
        needs = tuple(t.id for t in tasks if t.span.overlaps(reached))
        if needs:
            out.append(Task(f"{kind}-{k:04d}", kind, piece, needs))
    return out


def shot_info(clip: ClipInfo, span: FrameRange, pieces: tuple[FrameRange, ...]) -> ShotInfo:
    """The numbers that a remover plans its stages from."""
    return ShotInfo(pieces, segments_in(span, clip, clip.frames + 1), clip.width, clip.height)


def connected_groups(stages: list[Stage]) -> dict[str, FrameRange]:
    """For each stage the frames of all that hang together with it: they need each other, directly or through others."""
    leader = {s.id: s.id for s in stages}

    def led(name: str) -> str:
        while leader[name] != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for stage in stages:
        for need in stage.needs:
            leader[led(stage.id)] = led(need)
    spans: dict[str, FrameRange] = {}
    for stage in stages:
        low, high = spans.get(led(stage.id), stage.span)
        spans[led(stage.id)] = FrameRange(min(low, stage.start), max(high, stage.stop))
    return {s.id: spans[led(s.id)] for s in stages}


def fill_tasks(stages: list[Stage], plates: list[Task], *, whole: bool) -> list[Task]:
    """The tasks of a remover's stages: each needs the stages before it, and the plates under it; or, unless it is shown
    the whole frame, under all that hangs together with it: those decide what part of the picture it is shown."""
    spans = {s.id: s.span for s in stages} if whole else connected_groups(stages)
    return [_fill_task(s, spans[s.id], plates) for s in stages]


def _fill_task(stage: Stage, group: FrameRange, plates: list[Task]) -> Task:
    over = tuple(p.id for p in plates if p.span.overlaps(group))
    return Task(f"fill-{stage.id}", "fill", stage.span, over + tuple(f"fill-{n}" for n in stage.needs))


def with_keys(
    tasks: tuple[Task, ...],
    request: Request,
    clicks: dict[str, dict[int, ObjectPrompts]],
    digests: list[str],
    tracker: list[Any],
    remover: list[Any],
) -> tuple[Task, ...]:
    """The tasks with a key each: a task of another plan that has the same one leaves the same result.

    `tracker` is what masks depend on besides the prompts, `remover` what fills depend on besides the request.
    """
    made: dict[str, Task] = {}
    for task in tasks:
        here: Any = [__version__, task.kind, task.span, task.target, task.origin, [made[n].key for n in task.needs]]
        if task.kind == "track":
            inside = {f: asdict(c) for f, c in clicks[task.target].items() if task.span.start <= f < task.span.stop}
            here += [digests[0], tracker, request.static, request.skip_errors, inside]
        elif task.kind == "mend":
            here += [digests[0], sorted(clicks[task.target])]
        elif task.kind == "mask":
            here += [digests[:2], request.mask, request.invert_mask, request.quadmask, request.skip_errors]
        else:
            here += [digests, request.to_json(), remover if task.kind == "fill" else []]
        key = hashlib.sha256(json.dumps(here, sort_keys=True).encode()).hexdigest()[:16]
        made[task.id] = replace(task, key=key)
    return tuple(made.values())
