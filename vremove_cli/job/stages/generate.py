"""What both ways to fill share: running a remover, its progress, and a part of a frame as R'G'B'."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vremove_cli.errors import VremoveError
from vremove_cli.geometry import Array
from vremove_cli.job.events import Emit, Progress, Waiting
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.media.colour import to_rgb
from vremove_cli.networks.gpu_lock import only_user
from vremove_cli.networks.phases import clock
from vremove_cli.removers.base import Fill, Remover, Shot, Stage
from vremove_cli.removers.common.temporal_windows import is_join


def run_remover(
    plan: Plan, remover: Remover, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill], emit: Emit
) -> Fill:
    """Return a remover's fill; one remover at a time uses a GPU.

    Raises:
        VremoveError: The fill has another shape than the shot.
    """
    device = plan.arithmetic.device if remover.spec.network and not is_join(stage) else "cpu"
    with only_user(device, Waiting(emit, "uses the GPU").wait), clock.phase("steps"):
        fill = remover.run(stage, shot, inputs)
    if fill.frames.shape != shot.frames.shape:
        raise VremoveError(f"{plan.remover} returned {fill.frames.shape} instead of {shot.frames.shape}")
    return fill


@dataclass(frozen=True)
class FillProgress:
    """Turns the share of a task that is done into frames of the range. Made once a task: a long plan has thousands.

    Attributes:
        before: Tasks of filling before this one.
        tasks: Tasks of filling in all.
        frames: Frames of the range.
    """

    before: int
    tasks: int
    frames: int

    @classmethod
    def of(cls, plan: Plan, task: Task) -> "FillProgress":
        """Return the progress of a task of a plan."""
        fills = [t.id for t in plan.tasks_of("fill")]
        return cls(fills.index(task.id), len(fills), plan.span.length)

    def at(self, share: float) -> Progress:
        """Return how far filling is when a share of the task is done."""
        return Progress("fill", round((self.before + share) / self.tasks * self.frames), self.frames)


def as_rgb(plan: Plan, planes: tuple[Array, ...]) -> Array:
    """Return components as R'G'B' (H, W, 3) float32 in [0, 1]."""
    values = to_rgb(planes, plan.clip.layout, plan.clip.colour, plan.clip.height)
    return np.clip(values, 0, 1, out=values)
