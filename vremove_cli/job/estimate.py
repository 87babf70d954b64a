"""What a job will take, before it is done: memory, disk, time and downloads, from the plan's numbers alone."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vremove_cli.errors import VremoveError
from vremove_cli.job.events import Expected
from vremove_cli.job.gpu_memory import demand_of
from vremove_cli.job.model_fetch import helper_is_here
from vremove_cli.job.plan import Plan
from vremove_cli.job.speeds import measured
from vremove_cli.job.task_graph import PLATE_SEGMENT, REACH, kept_frames, shot_info
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.plate.motion_field import LONG_SIDE
from vremove_cli.plate.recover import BATCH_BYTES, FLOW_BYTES_PER_PIXEL
from vremove_cli.removers import registry
from vremove_cli.removers.base import Remover
from vremove_cli.removers.common.vram_estimate import TILES, MemoryMode
from vremove_cli.weights.catalogue import DETECTOR, Model, catalogue, find
from vremove_cli.weights.store import Checkpoint

_STAGES = ("scan", "track", "background", "plate", "fill", "write")
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container, in bytes
_BASE = 250 << 20  # bytes of Python, NumPy, OpenCV and FFmpeg themselves
_HOLE = 0.15  # share of the frame that the hole and its surroundings are assumed to take
_EFFECT_BYTES = 600_000  # bytes a frame: pictures, differences and their means, at the size of the effects stage
_KEPT_BYTES = 6  # of a pixel that a later stage needs: R'G'B' in float16
_FILE_BITS = 2.0  # bits a pixel of the result, at the default quality
_LOSSLESS = 0.6  # share of the raw frame that a lossless codec takes


@dataclass(frozen=True)
class Estimate:
    """What a job will take.

    Attributes:
        input: Path of the clip.
        output: Path of the result.
        frames: Frames of the clip.
        width: Displayed width in pixels.
        height: Displayed height in pixels.
        start: First frame that is edited.
        stop: Frame after the last one that is edited.
        tasks: Ids of all tasks.
        memory: Bytes of memory at the peak.
        memory_here: Bytes of memory that this machine has, and that this process may use.
        fits: Whether the memory is enough.
        work: Bytes of work files.
        result: Bytes of the result.
        seconds: Time on the machine whose speeds were measured, good to a factor of two; None if that of a stage is
            not known.
        stages: The same by stage; None where nothing was measured.
        machine: The machine whose speeds were measured, in words.
        gpu: Bytes of GPU memory of the remover's networks with all weights resident, in 8 bits, and block by block,
            the last two with the VAE in its smallest tiles; those of the plan's mode (chosen); that mode and its tile
            in latents. None without a network.
        downloads: Models that would be fetched, with their size in MB; None where it is not known.
        encoder: The encoder and its settings.
        notes: What the user should know.
    """

    input: str
    output: str
    frames: int
    width: int
    height: int
    start: int
    stop: int
    tasks: tuple[str, ...]
    memory: int
    memory_here: int
    fits: bool
    work: int
    result: int
    seconds: float | None
    stages: dict[str, float | None]
    machine: str
    gpu: dict[str, Any] | None
    downloads: tuple[dict[str, Any], ...]
    encoder: str
    notes: tuple[str, ...]


def estimate(plan: Plan) -> Estimate:
    """Return what a plan will take, assuming a hole of 15 % of the frame."""
    work, result = _disk(plan)
    memory, stages = memory_of(plan, "track", "background", "plate", "fill", "write"), stage_seconds(plan)
    known = [seconds for seconds in stages.values() if seconds is not None]
    width, height = plan.clip.shown_size
    return Estimate(
        input=plan.request.input,
        output=plan.request.output,
        frames=plan.clip.frames,
        width=width,
        height=height,
        start=plan.span.start,
        stop=plan.span.stop,
        tasks=tuple(t.id for t in plan.tasks),
        memory=memory,
        memory_here=memory_here(),
        fits=memory <= memory_here(),
        work=work,
        result=result,
        seconds=sum(known) if len(known) == len(stages) else None,
        stages=stages,
        machine=measured().machine,
        gpu=_gpu(plan),
        downloads=tuple({"name": m.name, "megabytes": m.megabytes or None} for m in downloads(plan)),
        encoder=str(plan.encode),
        notes=plan.notes,
    )


def check_resources(plan: Plan, work: Path) -> None:
    """Raise `VremoveError` for a size that the remover cannot work at, or for files that will not fit on a disk."""
    _gpu(plan)  # raises for a size that the remover cannot work at
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


def memory_of(plan: Plan, *kinds: str) -> int:
    """Return the peak of memory of some kinds of tasks, or of writing the result.

    Args:
        plan: The plan.
        *kinds: Kinds of tasks, or `write`.
    """
    return _BASE + max(_memory_beside_base(plan, kind) for kind in kinds)


def _memory_beside_base(plan: Plan, kind: str) -> int:
    """Return the bytes of motion and patches, of effects, of a network's weights, or of encoding ahead."""
    clip, edited, frame = plan.clip, plan.span.length, _frame_bytes(plan)
    reached = min(PLATE_SEGMENT, edited) + 2 * min(REACH, max(0, edited - PLATE_SEGMENT))
    if kind == "background":
        return 0 if plan.request.effects == "off" else reached * _EFFECT_BYTES
    if kind == "plate":
        scale = min(1.0, LONG_SIDE / max(clip.width, clip.height))
        motion = int(reached * clip.width * clip.height * scale**2 * (2 + _HOLE * FLOW_BYTES_PER_PIXEL))
        return motion + int(min(PLATE_SEGMENT, edited) * frame * _HOLE * 2) + BATCH_BYTES
    if kind == "fill":
        return max([c.model.memory << 20 for c in plan.checkpoints] + [_weights(plan)])
    if kind == "write":
        return frame * (60 + 4 * plan.encode.threads)
    return 0 if plan.tracker.checkpoint is None else plan.tracker.checkpoint.model.memory << 20


def _checkpoints(plan: Plan) -> list[Checkpoint]:
    """Return the models of the remover and the tracker."""
    return [*plan.checkpoints, *filter(None, [plan.tracker.checkpoint])]


def _weights(plan: Plan) -> int:
    """Return the bytes of a remover's weights in main memory.

    On a CPU they are there in float32. Block by block they stay there. Else they are read on the way to a GPU.
    """
    network = registry.spec_of(plan.remover).network
    if network is None:
        return 0
    device = plan.arithmetic.device
    if device != "cpu" and plan.memory.weights == "resident":
        return 0
    return network.resident * (2 if device == "cpu" else 1)


def _disk(plan: Plan) -> tuple[int, int]:
    """Return the bytes of work files and of the result."""
    clip, frame = plan.clip, _frame_bytes(plan)
    lossless = plan.encode.lossless or plan.encode.encoder in ("prores_ks", "dnxhd", "mjpeg", "jpeg")
    pixels = clip.width * clip.height
    if plan.encode.bit_rate:
        result = int(plan.encode.bit_rate / 8 * clip.times.end_seconds)
    else:
        result = int(clip.frames * (frame * _LOSSLESS if lossless else pixels * _FILE_BITS / 8))
    return int(plan.span.length * frame * _HOLE) + _kept(plan) + (1 << 20), result


def _kept(plan: Plan) -> int:
    """Return the bytes of fills that later stages of the remover need, at most: R'G'B' in float16.

    None are counted for a remover that `auto` chose for where recovery leaves much: it may have nothing to do.
    """
    if plan.conditional or not any(plan.tasks_of("fill")) or registry.spec_of(plan.remover).paints:
        return 0
    remover = planned_remover(plan)
    kept = kept_frames(remover.stages(shot_info(plan.clip, plan.span, plan.segments)))
    if not any(kept.values()):
        return 0
    width, height = remover.size(*plan.clip.shown_size) or plan.clip.shown_size
    return sum(map(len, kept.values())) * width * height * _KEPT_BYTES


def planned_remover(plan: Plan) -> Remover:
    """Return a plan's remover, for questions about what it takes; nothing is loaded."""
    return registry.make(plan.remover, plan.request.settings({p.model.name: p for p in plan.checkpoints}))


def stage_seconds(plan: Plan) -> dict[str, float | None]:
    """Return the seconds of each stage on the machine whose speeds were measured; None where nothing was measured."""
    stages = (s for s in _STAGES if s != "fill" or any(plan.tasks_of("fill")))
    return {stage: _seconds(plan, stage) for stage in stages}


def expected(plan: Plan, folder: WorkFolder, *stages: str) -> Expected:
    """Return what is left of some stages will take; nothing is looked up for a stage that is done."""
    out: dict[str, float | None] = {}
    for stage in stages:
        tasks = list(plan.tasks_of(*(("track", "mask") if stage == "track" else (stage,))))
        left = sum(t.span.length for t in tasks if not folder.finished(t.id))
        share = left / max(1, sum(t.span.length for t in tasks)) if stage != "write" else 1.0
        whole = _seconds(plan, stage) if share else 0.0
        out[stage] = None if whole is None else whole * share
    return Expected(out)


def _seconds(plan: Plan, stage: str) -> float | None:
    """Return the seconds of one stage.

    How the time grows with the frame's size is assumed: as its pixels for decoding and encoding, as its sides for the
    plate, hardly for tracking, and not for the background, both of which work at a fixed size.
    """
    if stage == "fill":
        return None  # no remover that generates was measured
    if stage == "track":
        return _tracking_seconds(plan)
    factor = plan.clip.width * plan.clip.height / measured().pixels
    frames = plan.clip.frames if stage in ("scan", "write") else plan.span.length
    growth = {"background": 1.0, "plate": max(1.0, factor**0.5)}.get(stage, factor)
    return frames / measured().frames_per_second[stage] * growth


def _tracking_seconds(plan: Plan) -> float | None:
    """Return the time of flow, of a network, or of flow both ways between a network's keyframes."""
    tracker = plan.tracker
    if tracker.name == "file":
        return 0.0
    factor = plan.clip.width * plan.clip.height / measured().pixels
    frames = plan.span.length * max(1, len({t.target for t in plan.tasks_of("track")}))
    flow = frames / measured().frames_per_second["track"] * (1 + 0.1 * factor)
    if tracker.name == "flow":
        return flow
    name = tracker.checkpoint.model.name if tracker.checkpoint else tracker.name
    network = measured().networks.get((name, plan.arithmetic.device))
    if network is None:
        return None
    return frames / tracker.every * network + (2 * flow if tracker.every > 1 else 0.0)


def memory_here() -> int:
    """Return the bytes of memory of this machine, or of the part of it that this process may use."""
    import psutil

    limits = [int(psutil.virtual_memory().total)]
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))  # "max" is no number: there is no limit
    with suppress(ImportError):
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(n for n in limits if n > 0)


def _gpu(plan: Plan) -> dict[str, Any] | None:
    """Return what a remover's networks take of a GPU, if it has any: by memory mode, and in the mode of the plan."""
    remover = planned_remover(plan)
    demand = demand_of(remover, plan.request, plan.clip)
    if demand.network is None:
        return None
    modes = {"resident": MemoryMode(), "fp8": MemoryMode("fp8", TILES[-1]), "offload": MemoryMode("offload", TILES[-1])}
    table = {name: demand.bytes_in(mode, plan.arithmetic) for name, mode in modes.items()}
    return {
        **table,
        "chosen": demand.bytes_in(plan.memory, plan.arithmetic),
        "mode": plan.memory.weights,
        "tile": plan.memory.tile,
    }


def downloads(plan: Plan) -> list[Model]:
    """Return the models that a run would fetch."""
    wanted = [c.model for c in _checkpoints(plan) if not c.path]
    helpers = filter(None, [DETECTOR if plan.request.text else None, plan.request.vlm])
    missing = [name for name in helpers if not helper_is_here(name, plan.request)]
    return wanted + [find(name, catalogue(plan.request.models)) for name in missing]
