"""What both ways to fill share: running a remover, its progress, and a part of a frame as R'G'B'."""

from collections.abc import Mapping

import numpy as np

from vremove_cli.errors import VremoveError
from vremove_cli.geometry import Array
from vremove_cli.job.events import Emit, Progress, Waiting
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import Task
from vremove_cli.media.colour import to_rgb
from vremove_cli.networks import devices
from vremove_cli.networks.gpu_lock import only_user
from vremove_cli.networks.phases import clock
from vremove_cli.removers.base import Fill, Remover, Shot, Stage


def run_remover(
    plan: Plan, remover: Remover, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill], emit: Emit
) -> Fill:
    """Return a remover's fill; one remover at a time uses a GPU.

    Raises:
        VremoveError: The fill has another shape than the shot.
    """
    device = devices.choose_device(plan.request.device)[0] if remover.spec.network else "cpu"
    with only_user(device, Waiting(emit, "uses the GPU").wait), clock.phase("steps"):
        fill = remover.run(stage, shot, inputs)
    if fill.frames.shape != shot.frames.shape:
        raise VremoveError(f"{plan.remover} returned {fill.frames.shape} instead of {shot.frames.shape}")
    return fill


def fill_progress(plan: Plan, task: Task, share: float) -> Progress:
    """Return how far filling is, in frames of the range, when a share of a task is done."""
    fills = [t.id for t in plan.tasks_of("fill")]
    length = plan.span.length
    return Progress("fill", round((fills.index(task.id) + share) / len(fills) * length), length)


def as_rgb(plan: Plan, planes: tuple[Array, ...]) -> Array:
    """Return components as R'G'B' (H, W, 3) float32 in [0, 1]."""
    values = to_rgb(planes, plan.clip.layout, plan.clip.colour, plan.clip.height)
    return np.clip(values, 0, 1, out=values)
