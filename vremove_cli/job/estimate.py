"""What a job will take, before it is done: memory, disk and time, from the plan's numbers alone."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from vremove_cli.errors import VremoveError
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import PLATE_SEGMENT, REACH
from vremove_cli.networks import devices
from vremove_cli.plate.motion_field import LONG_SIDE
from vremove_cli.plate.recover import BATCH_BYTES, FLOW_BYTES_PER_PIXEL
from vremove_cli.removers import registry
from vremove_cli.removers.common.vram_estimate import VramEstimate, vram_estimate

_BASE = 250 << 20  # Python, NumPy, OpenCV and FFmpeg themselves
_HOLE = 0.15  # share of the frame that the hole and its surroundings are assumed to take
# Measured on 640x360 clips with two cores (tests/benchmarks/erase.py prints them for any machine): frames a second.
_TRACK, _EFFECTS, _PLATE, _WRITE = 9.0, 18.0, 7.0, 40.0
_NETWORK = 3.0  # seconds that the smallest SAM 2.1 takes for a frame on two cores
_STUDY_PIXELS = 640 * 360
_EFFECT_BYTES = 600_000  # a frame: pictures, differences and their means, at the size effects are looked for
_FILE_BITS = 2.0  # bits a pixel of the result, at the default quality


@dataclass(frozen=True)
class Estimate:
    """Bytes of memory, bytes of work and output files, seconds without a remover's network, and its bytes of a GPU."""

    memory: int
    work: int
    output: int
    seconds: float
    network: VramEstimate | None = None


def estimate(plan: Plan) -> Estimate:
    """What a plan will take, assuming a hole of 15 % of the frame. Times are good to a factor of two or so."""
    clip = plan.clip
    pixels = clip.width * clip.height
    frame = int(pixels * max(clip.layout.bytes_per_pixel, 1))
    edited = plan.span.length
    scale = min(1.0, LONG_SIDE / max(clip.width, clip.height))
    reached = min(PLATE_SEGMENT, edited) + 2 * min(REACH, max(0, edited - PLATE_SEGMENT))
    motion = int(reached * pixels * scale**2 * (2 + _HOLE * FLOW_BYTES_PER_PIXEL))
    patches = int(min(PLATE_SEGMENT, edited) * frame * _HOLE * 2)
    effects = 0 if plan.request.effects == "off" else reached * _EFFECT_BYTES
    lookahead = frame * (60 + 4 * plan.encode.threads)
    parts = [*plan.parts, *filter(None, [plan.tracker.part])]
    network = max([part.model.memory << 20 for part in parts] + [_weights(plan)])
    memory = _BASE + max(motion + patches + BATCH_BYTES, effects, lookahead, network)
    factor = pixels / _STUDY_PIXELS
    track = _tracking(plan, edited, factor)
    search = 0 if plan.request.effects == "off" else edited / _EFFECTS
    seconds = track + search + edited / _PLATE * max(1.0, factor**0.5) + clip.frames / _WRITE * factor
    lossless = plan.encode.lossless or plan.encode.encoder in ("prores_ks", "dnxhd", "mjpeg")
    output = int(clip.frames * (frame * 0.6 if lossless else pixels * _FILE_BITS / 8))
    return Estimate(memory, int(edited * frame * _HOLE) + (1 << 20), output, seconds, _budget(plan))


def _weights(plan: Plan) -> int:
    """Bytes of a remover's weights in the machine's own memory, where they are before they go to a GPU."""
    network = registry.spec_of(plan.remover).network
    if network is None:
        return 0
    return network.parameters * (2 if devices.choose_device(plan.request.device)[0] == "cuda" else 4)


def _budget(plan: Plan) -> VramEstimate | None:
    """What a remover's network takes, if the region it is shown is the whole frame."""
    remover = registry.make(plan.remover, plan.request.settings({p.model.name: p.path for p in plan.parts}))
    size, network = remover.size(*plan.clip.shown_size), remover.spec.network
    return vram_estimate(network, size) if network and size else None


def _tracking(plan: Plan, edited: int, factor: float) -> float:
    """Seconds of following: of flow, of a network, or of flow both ways between a network's keyframes."""
    if plan.tracker.name == "file":
        return 0.0
    flow = edited / _TRACK * (1 + 0.1 * factor)
    if plan.tracker.part is None:
        return flow
    network = edited / plan.tracker.every * _NETWORK
    return network + (2 * flow if plan.tracker.every > 1 else 0.0)


def check_disk(plan: Plan, work: Path) -> None:
    """Raise `VremoveError` when the work or the result will not fit."""
    need = estimate(plan)
    target = Path(plan.request.output).absolute().parent
    for place, size, advice in (
        (work, need.work, "free some space, or put the work on another disk with --work"),
        (target, need.output, "free some space, or write elsewhere with -o"),
    ):
        existing = next((p for p in (place, *place.parents) if p.exists()), Path(os.sep))
        free = shutil.disk_usage(existing).free
        if free < size:
            raise VremoveError(f"{existing} has {free >> 20} MB free and about {size >> 20} MB are needed", advice)
