"""Plans as a machine with a GPU would make them, made without one."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from support.clips import write_clip, write_masks
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.events import silent
from vremove_cli.job.output_paths import make_request
from vremove_cli.job.plan import Plan
from vremove_cli.job.planner import make_plan
from vremove_cli.job.task_graph import Task
from vremove_cli.networks.arithmetic import arithmetic_elsewhere


def plate_plan(place: Path) -> Plan:
    """A plan of a mask file and the plate, without any network."""
    clip = write_clip(place / "clip.mkv", codec="ffv1")
    masks = str(write_masks(place / "masks"))
    return make_plan(make_request(str(clip), None, {"mask": masks, "remover": "plate", "tracker": "flow"}), silent)


def with_network(plan: Plan, device: Literal["cpu", "cuda"]) -> Plan:
    """The same plan with a network's fill after it, on a device that need not be here."""
    fill = Task("fill-rose-000000", "fill", FrameRange(0, 10), tuple(t.id for t in plan.tasks))
    return replace(plan, remover="rose", arithmetic=arithmetic_elsewhere(device), tasks=(*plan.tasks, fill))
