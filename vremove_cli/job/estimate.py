"""What a job will take, before it is done: memory, disk, time and downloads, from the plan's numbers alone."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vremove_cli.errors import VremoveError
from vremove_cli.job.model_fetch import helper_is_here
from vremove_cli.job.plan import Plan
from vremove_cli.job.task_graph import PLATE_SEGMENT, REACH
from vremove_cli.networks import devices
from vremove_cli.plate.motion_field import LONG_SIDE
from vremove_cli.plate.recover import BATCH_BYTES, FLOW_BYTES_PER_PIXEL
from vremove_cli.removers import registry
from vremove_cli.removers.common.vram_estimate import VramEstimate, vram_estimate
from vremove_cli.weights.catalogue import DETECTOR, Model, catalogue, find
from vremove_cli.weights.store import Checkpoint

_BASE = 250 << 20  # bytes of Python, NumPy, OpenCV and FFmpeg themselves
_HOLE = 0.15  # share of the frame that the hole and its surroundings are assumed to take
# Frames a second on 640x360 clips with two cores; tests/benchmarks/erase.py prints them for any machine.
_TRACK, _EFFECTS, _PLATE, _WRITE = 9.0, 18.0, 7.0, 40.0
_NETWORK = 3.0  # seconds a frame of the smallest SAM 2.1 on two cores
_STUDY_PIXELS = 640 * 360
_EFFECT_BYTES = 600_000  # bytes a frame: pictures, differences and their means, at the size of the effects stage
_FILE_BITS = 2.0  # bits a pixel of the result, at the default quality
_LOSSLESS = 0.6  # share of the raw frame that a lossless codec takes


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        output: Path of the result.
        tasks: Ids of all tasks.
        memory: Bytes of memory at the peak.
        work: Bytes of work files.
        result: Bytes of the result.
        seconds: Time without a remover's network, good to a factor of two.
        gpu: Bytes of GPU memory of the remover's network by memory mode; None without a network.
        downloads: Models that would be fetched, with their size in MB (0: unknown).
        encoder: The encoder and its settings.
        notes: What the user should know.
    """

    output: str
    tasks: tuple[str, ...]
    memory: int
    work: int
    result: int
    seconds: float
    gpu: dict[str, int] | None
    downloads: tuple[dict[str, Any], ...]
    encoder: str
    notes: tuple[str, ...]


def estimate(plan: Plan) -> Estimate:
    """Return what a plan will take, assuming a hole of 15 % of the frame."""
    vram = _vram(plan)
    work, result = _disk(plan)
    return Estimate(
        output=plan.request.output,
        tasks=tuple(t.id for t in plan.tasks),
        memory=_memory(plan),
        work=work,
        result=result,
        seconds=_seconds(plan),
        gpu=None if vram is None else asdict(vram),
        downloads=tuple({"name": m.name, "megabytes": m.megabytes} for m in _downloads(plan)),
        encoder=str(plan.encode),
        notes=plan.notes,
    )


def check_resources(plan: Plan, work: Path) -> None:
    """Raise `VremoveError` for a size that the remover cannot work at, or for files that will not fit on a disk."""
    _vram(plan)  # raises for a size that the remover cannot work at
    work_bytes, result_bytes = _disk(plan)
    for place, size, advice in (
        (work, work_bytes, "free some space, or put the work on another disk with --work"),
        (Path(plan.request.output).absolute().parent, result_bytes, "free some space, or write elsewhere with -o"),
    ):
        existing = next((p for p in (place, *place.parents) if p.exists()), Path(os.sep))
        free = shutil.disk_usage(existing).free
        if free < size:
            raise VremoveError(f"{existing} has {free >> 20} MB free and about {size >> 20} MB are needed", advice)


def _frame_bytes(plan: Plan) -> int:
    return int(plan.clip.width * plan.clip.height * max(plan.clip.layout.bytes_per_pixel, 1))


def _memory(plan: Plan) -> int:
    """Return the peak of memory: of motion and patches, of effects, of encoding ahead, or of a network's weights."""
    clip, edited, frame = plan.clip, plan.span.length, _frame_bytes(plan)
    scale = min(1.0, LONG_SIDE / max(clip.width, clip.height))
    reached = min(PLATE_SEGMENT, edited) + 2 * min(REACH, max(0, edited - PLATE_SEGMENT))
    motion = int(reached * clip.width * clip.height * scale**2 * (2 + _HOLE * FLOW_BYTES_PER_PIXEL))
    patches = int(min(PLATE_SEGMENT, edited) * frame * _HOLE * 2)
    effects = 0 if plan.request.effects == "off" else reached * _EFFECT_BYTES
    lookahead = frame * (60 + 4 * plan.encode.threads)
    network = max([c.model.memory << 20 for c in _checkpoints(plan)] + [_weights(plan)])
    return _BASE + max(motion + patches + BATCH_BYTES, effects, lookahead, network)


def _checkpoints(plan: Plan) -> list[Checkpoint]:
    """Return the models of the remover and the tracker."""
    return [*plan.checkpoints, *filter(None, [plan.tracker.checkpoint])]


def _weights(plan: Plan) -> int:
    """Return the bytes of a remover's weights in main memory, where they are before they go to a GPU."""
    network = registry.spec_of(plan.remover).network
    if network is None:
        return 0
    return network.parameters * (2 if devices.choose_device(plan.request.device)[0] == "cuda" else 4)


def _disk(plan: Plan) -> tuple[int, int]:
    """Return the bytes of work files and of the result."""
    clip, frame = plan.clip, _frame_bytes(plan)
    lossless = plan.encode.lossless or plan.encode.encoder in ("prores_ks", "dnxhd", "mjpeg")
    pixels = clip.width * clip.height
    result = int(clip.frames * (frame * _LOSSLESS if lossless else pixels * _FILE_BITS / 8))
    return int(plan.span.length * frame * _HOLE) + (1 << 20), result


def _seconds(plan: Plan) -> float:
    edited, factor = plan.span.length, plan.clip.width * plan.clip.height / _STUDY_PIXELS
    effects = 0.0 if plan.request.effects == "off" else edited / _EFFECTS
    plate = edited / _PLATE * max(1.0, factor**0.5)
    return _tracking_seconds(plan, edited, factor) + effects + plate + plan.clip.frames / _WRITE * factor


def _tracking_seconds(plan: Plan, edited: int, factor: float) -> float:
    """Return the time of flow, of a network, or of flow both ways between a network's keyframes."""
    if plan.tracker.name == "file":
        return 0.0
    flow = edited / _TRACK * (1 + 0.1 * factor)
    if plan.tracker.checkpoint is None:
        return flow
    network = edited / plan.tracker.every * _NETWORK
    return network + (2 * flow if plan.tracker.every > 1 else 0.0)


def _vram(plan: Plan) -> VramEstimate | None:
    """Return what a remover's network takes of a GPU, if the region it sees is the whole frame."""
    remover = registry.make(plan.remover, plan.request.settings({p.model.name: p for p in plan.checkpoints}))
    size, network = remover.size(*plan.clip.shown_size), remover.spec.network
    return vram_estimate(network, size) if network and size else None


def _downloads(plan: Plan) -> list[Model]:
    """Return the models that a run would fetch."""
    wanted = [c.model for c in _checkpoints(plan) if not c.path]
    helpers = filter(None, [DETECTOR if plan.request.text else None, plan.request.vlm])
    missing = [name for name in helpers if not helper_is_here(name, plan.request)]
    return wanted + [find(name, catalogue(plan.request.models)) for name in missing]
