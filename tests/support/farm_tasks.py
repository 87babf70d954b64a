"""The pieces of work of a job on a farm: the planner's own task graph, with counted or measured seconds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from support.farm_simulation import CPU, GPU, NOBODY, Piece
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job import planner
from vremove_cli.job.speeds import measured
from vremove_cli.job.task_graph import PLATE_SEGMENT, Task, segments_in, shot_info
from vremove_cli.removers.base import Remover
from vremove_cli.removers.common.temporal_windows import is_join
from vremove_cli.tracking.base import ObjectPrompts


@dataclass(frozen=True)
class Footage:
    """A clip, by its numbers.

    Attributes:
        frames: Its frames.
        shot: Frames of each shot; 0: it has no cut.
        width: Width in pixels.
        height: Height in pixels.
        keyframes: Frames from one keyframe of its codec to the next.
    """

    frames: int
    shot: int = 0
    width: int = 1280
    height: int = 720
    keyframes: int = 250

    @property
    def clip(self) -> Any:
        """What the planner reads of a scanned clip."""
        cuts = tuple(range(self.shot, self.frames, self.shot)) if self.shot else ()
        return SimpleNamespace(frames=self.frames, cuts=cuts, width=self.width, height=self.height)


@dataclass(frozen=True)
class Costs:
    """What takes how long.

    Attributes:
        tracking: Seconds of computing that the tracker's network takes a frame; None for the flow tracker, on the CPU.
        window: Seconds of computing that the remover's networks take for a window of so many frames.
        weights: Seconds that a GPU's worker takes to load the weights of `track` and of `fill`.
        joins: Kind of worker that fades windows into each other: they are tasks of filling, and run no network.
    """

    tracking: float | None
    window: Callable[[int], float]
    weights: dict[str, float]
    joins: str = CPU


def tasks_of(footage: Footage, remover: Remover, *, masked: bool, conditional: bool = False) -> tuple[Task, ...]:
    """Return a job's tasks as the planner makes them: one object, clicked on the first frame of each shot.

    Args:
        footage: The clip.
        remover: The remover.
        masked: Whether the user gives a mask file instead.
        conditional: Whether the remover works only where recovery leaves too much, as it does when `auto` chose it.
    """
    clip, span = footage.clip, FrameRange(0, footage.frames)
    request: Any = SimpleNamespace(mask_file="mask.mkv" if masked else "")
    click = ObjectPrompts(points=((10.0, 10.0),))
    prompts = {} if masked else {"it": dict.fromkeys((0, *clip.cuts), click)}
    pieces = segments_in(span, clip, PLATE_SEGMENT)
    return planner._tasks(request, clip, span, pieces, prompts, remover, [], conditional=conditional)


def pieces_of(
    footage: Footage, tasks: Sequence[Task], remover: Remover, costs: Costs, *, ends: bool, along: bool = False
) -> list[Piece]:
    """Return a job's pieces of work.

    Args:
        footage: The clip.
        tasks: Its tasks.
        remover: The remover.
        costs: What takes how long.
        ends: Whether scanning the clip before all else and writing the result after it count, too.
        along: Whether the result is written segment by segment as its tasks are done, which the tool does not do.
    """
    clip, rates = footage.clip, measured().frames_per_second
    pieces = segments_in(FrameRange(0, footage.frames), clip, PLATE_SEGMENT)
    stages = {f"fill-{s.id}": s for s in remover.stages(shot_info(clip, FrameRange(0, footage.frames), pieces))}
    pixels = footage.width * footage.height / measured().pixels
    read, write = pixels / rates["scan"], pixels / rates["write"]

    def piece(task: Task) -> Piece:
        count = task.span.length
        if task.kind == "fill":
            stage = stages[task.id]
            if is_join(stage):
                return Piece("crossfade", (), count * (read + write), costs.joins)
            busy = costs.window(len(stage.frames))
            decoded = min(count, len(stage.frames) * (footage.keyframes // 2 + 1))  # `Clip.picked` reads no more
            return Piece("fill", (), busy + decoded * read, GPU, "fill", busy)
        if task.kind in ("track", "backward_correction") and costs.tracking is not None:
            busy = count * costs.tracking
            return Piece(task.kind, (), max(busy, count * read), GPU, "track", busy)  # frames are read ahead
        # As `job/estimate.py` assumes that the time grows with the frame's size.
        seconds = {
            "mask": read,
            "track": (1 + 0.1 * pixels) / rates["track"],
            "backward_correction": (1 + 0.1 * pixels) / rates["track"],
            "background": 1 / rates["background"],
            "plate": max(1.0, pixels**0.5) / rates["plate"],
        }[task.kind]
        return Piece(task.kind, (), count * seconds, CPU)

    where = {task.id: k + ends for k, task in enumerate(tasks)}
    first = (0,) if ends else ()
    out = [Piece("scan", (), footage.frames * read, CPU)] if ends else []
    out += [replace(piece(t), needs=tuple(where[n] for n in t.needs) or first) for t in tasks]
    if ends and along:
        for segment in pieces:
            needs = tuple(where[t.id] for t in tasks if t.span.overlaps(segment))
            before = (len(out) - 1,) if out[-1].kind == "write" else ()
            out.append(Piece("write", needs + before, segment.length * write, CPU))
    elif ends:
        needed = {n for p in out for n in p.needs}
        out.append(Piece("write", tuple(set(range(len(out))) - needed), footage.frames * write, CPU))
    return out


def with_regions(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the same work where pieces with many equal needs share one small piece that stands for those needs.

    It takes no time here: it changes the number of needs, and not what may begin when.
    """
    plates = {k for k, piece in enumerate(pieces) if piece.kind == "plate"}
    shared: dict[tuple[int, ...], int] = {}
    out: list[Piece] = []
    place: dict[int, int] = {}
    for k, piece in enumerate(pieces):
        common = tuple(n for n in piece.needs if n in plates) if piece.kind in ("fill", "crossfade") else ()
        if len(common) > 1 and common not in shared:
            shared[common] = len(out)
            out.append(Piece("region", tuple(place[n] for n in common), 0.0, NOBODY))
        rest = tuple(place[n] for n in piece.needs if len(common) < 2 or n not in plates)
        place[k] = len(out)
        out.append(replace(piece, needs=rest + ((shared[common],) if len(common) > 1 else ())))
    return out


def batch_of(pieces: Sequence[Piece], clips: int) -> list[Piece]:
    """Return the work of several equal clips, one clip after the other in the order of the plan."""
    out = list(pieces)
    for k in range(1, clips):
        base = k * len(pieces)
        out += [replace(piece, needs=tuple(n + base for n in piece.needs)) for piece in pieces]
    return out
