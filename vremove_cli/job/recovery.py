"""What recovery from other frames has left: whether a network is to fill it, and what would give a better result."""

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.choices import fill_wanted
from vremove_cli.job.composite import PlateResult
from vremove_cli.job.erase_mask import BackgroundResult
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.folder import WorkFolder


def leaves_much(plan: Plan, folder: WorkFolder, span: FrameRange) -> bool:
    """Return whether recovery left so much of some frames' hole or effects that a network is to fill it."""
    plates = [folder.result(t.id, PlateResult) for t in plan.tasks_of("plate") if t.span.overlaps(span)]
    scenes = [folder.result(t.id, BackgroundResult) for t in plan.tasks_of("background") if t.span.overlaps(span)]
    known = [r for r in plates if r is not None]
    recovered, doubtful = sum(r.recovered for r in known), sum(r.doubtful for r in known)
    unseen, clear = sum(r.unseen for r in known), all(s.clear for s in scenes if s is not None)
    return fill_wanted(recovered, doubtful, unseen, clear=clear)


def better_ways(plan: Plan, folder: WorkFolder) -> tuple[str, ...]:
    """Return what would give a better result; another remover only where recovery left much."""
    ways = [c for c in plan.choices if c.better and (c.what == "tracker" or leaves_much(plan, folder, plan.span))]
    return tuple(f"{'masks' if c.what == 'tracker' else 'fill'} with {c.better}" for c in ways)
