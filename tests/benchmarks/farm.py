"""What a farm would take: discrete events over the planner's own task graph, with counted multiplications.

    python tests/benchmarks/farm.py                                   one clip of 81, 1,000 and 100,000 frames
    python tests/benchmarks/farm.py --clips 1000 --frames 81,1000     many clips at once
    python tests/benchmarks/farm.py --policy pull,static,apart,longest --barriers
    python tests/benchmarks/farm.py --capacity --share 0.4 --price 2  GPUs, CPU cores, disk, money by hour of footage

All of it is arithmetic, and a floor; no GPU is needed. A GPU computes `--flops` TFLOP/s, or a `--share` of them,
without a pause. Multiplications are counted as floors.py does it, for windows of full length, without text encoders and
without the step cache of drafts. SAM 2 counts with image encoder, memory attention and memory encoder on every frame.
Everything else takes the seconds of job/speeds.json, measured on 2 cores, grown with the frame's size as
job/estimate.py assumes: a CPU worker is 2 cores. A worker whose last task needed other weights loads those of the size
in models.toml at `--load` GB/s. Files, network and scheduler take no time.

Efficiency is the seconds in which GPUs compute over all GPUs' seconds. Speed-up is against the first number of GPUs.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE)]

import floors
import torch

import networks
from support.counted_vram import empty
from support.farm_simulation import CPU, GPU, TRACK, Piece, Policy, longest_chain, simulate, with_barriers
from support.farm_tasks import Costs, Footage, batch_of, pieces_of, tasks_of, with_regions
from support.metered import metered
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job import estimate
from vremove_cli.job.speeds import measured
from vremove_cli.job.task_graph import PLATE_SEGMENT, Task, kept_frames, segments_in, shot_info
from vremove_cli.media.pixel_format import layout_of
from vremove_cli.removers import registry
from vremove_cli.removers.base import Remover, Settings, Stage
from vremove_cli.removers.void import remover as void
from vremove_cli.removers.void.latent_windows import padded_length
from vremove_cli.weights.catalogue import catalogue

ROW = "{:<12} {:>9} {:>6} {:>5} {:<8} {:>12} {:>11} {:>9} {:>11}  {}"
HEAD = ("remover", "frames", "clips", "GPUs", "policy", "makespan s", "efficiency", "speed-up", "tasks", "what limits")
RATE = 24  # frames a second of the footage of the capacity plan
DAILY = 10_000  # hours of footage a day


@cache
def coder_work(name: str, frames: int, size: tuple[int, int]) -> float:
    return sum(floors.coder_work(name, frames, size))


@cache
def step_work(name: str, frames: int, size: tuple[int, int]) -> float:
    return floors.step_work(name, frames, size)


def window_work(name: str, remover: Any, settings: Settings, size: tuple[int, int]) -> Callable[[int], float]:
    """Return what gives the TFLOP of a window of some frames."""

    def work(frames: int) -> float:
        if name != "void":
            return coder_work(name, remover.length(frames), size) + remover.steps() * step_work(name, 81, size)
        length = padded_length(frames)
        coding, step = coder_work(name, length, size), step_work(name, length, size)
        first, second = void.STEPS[settings.quality]
        passes = first * step + coding
        return passes + (second * 2 * step + coding if settings.second_pass != "off" else 0.0)

    return work


@cache
def tracking_work(tracker: str) -> float:
    """TFLOP of a frame of SAM 2.1, with a full memory."""
    with torch.device("meta"):
        model = networks.full_size(tracker.removeprefix("sam2-"))
    config = model.config
    side, wide, narrow = config.image_size // 16, config.memory_attention_hidden_size, model.mem_dim
    pointers = (
        config.max_object_pointers_in_encoder * wide // narrow
    )  # a pointer is split into tokens of a memory's width

    def tensor(*shape: int) -> torch.Tensor:
        return empty(*shape, dtype=torch.float32)

    now, past = tensor(side**2, 1, wide), tensor(config.num_maskmem * side**2 + pointers, 1, narrow)
    with metered(model) as meter:
        model.get_image_features(tensor(1, 3, config.image_size, config.image_size))
        model.memory_attention(now, past, now, past, pointers)
        model.memory_encoder(tensor(1, wide, side, side), tensor(1, 1, config.image_size, config.image_size))
    return meter.flops / 1e12


def costs_of(args: argparse.Namespace, name: str, remover: Remover, settings: Settings) -> Costs:
    models, footage = catalogue(), Footage(1, 0, *args.size)
    rate = args.flops * args.share
    size = remover.size(footage.width, footage.height) or args.size
    sizes = {"track": models[args.tracker].megabytes if args.tracker in models else 0}
    sizes["fill"] = sum(models[m].megabytes for m in remover.spec.models_for(settings))
    work = window_work(name, remover, settings, size)
    return Costs(
        tracking_work(args.tracker) / rate if args.tracker in models else None,
        lambda frames: work(frames) / rate,
        {what: megabytes / 1e3 / args.load for what, megabytes in sizes.items()},
        args.joins,
    )


def phases_of(pieces: list[Piece]) -> list[list[str]]:
    """Return the kinds between two barriers, as an exported job has them: neighbours alike in what they run on."""
    out: list[list[str]] = []
    last = "nothing"
    for kinds in (
        ["mask", "track", "backward_correction"],
        ["background"],
        ["plate"],
        ["fill", "crossfade"],
        ["write"],
    ):
        where = next((p.where for p in pieces if p.kind in kinds), last)
        if where == last and kinds != ["write"]:
            out[-1] += kinds
        else:
            out.append([*kinds])
        last = where
    return out


def chain_text(pieces: list[Piece]) -> str:
    chain = longest_chain(pieces)
    counts, seconds = Counter(p.kind for p in chain), dict.fromkeys((p.kind for p in chain), 0.0)
    for piece in chain:
        seconds[piece.kind] += piece.seconds
    parts = (f"{n} {kind} {seconds[kind]:,.0f} s" for kind, n in counts.items() if seconds[kind])
    return f"{sum(seconds.values()):,.0f} s: {', '.join(parts)}"


def limit_of(pieces: list[Piece], workers: dict[str, int], makespan: float) -> str:
    """Return which lower bound of the time is the highest: the longest chain, or the work of all GPUs or CPUs."""
    work = {where: sum(p.seconds for p in pieces if p.where == where) / count for where, count in workers.items()}
    bounds = {"chain": sum(p.seconds for p in longest_chain(pieces)), "GPUs": work[GPU], "CPUs": work[CPU]}
    most = max(bounds, key=lambda name: bounds[name])
    return f"{most} ({bounds[most] / makespan:.0%} of it)"


def settings_of(args: argparse.Namespace, preset: str, *, second_pass: bool) -> Settings:
    return Settings(quality=preset, second_pass="on" if second_pass else "off")


def farm(args: argparse.Namespace) -> None:
    print(ROW.format(*HEAD))
    for name in args.remover:
        settings = settings_of(args, args.preset, second_pass=args.second_pass)
        remover = registry.make(name, settings)
        costs = costs_of(args, name, remover, settings)
        for frames in args.frames:
            footage = Footage(frames, args.shot, *args.size)
            tasks = tasks_of(footage, remover, masked=args.tracker == "file", conditional=args.conditional)
            one = with_regions(pieces_of(footage, tasks, remover, costs, ends=not args.no_ends, along=args.along))
            needs = sum(len(t.needs) for t in tasks)
            print(f"# {name}, {frames:,} frames: {len(tasks):,} tasks, {needs:,} needs; chain of {chain_text(one)}")
            for clips in args.clips:
                pieces = batch_of(one, clips)
                rows(args, (name, f"{frames:,}", clips), pieces, "", costs)
                if args.barriers:
                    rows(args, (name, f"{frames:,}", clips), with_barriers(pieces, phases_of(pieces)), "|", costs)


def rows(args: argparse.Namespace, what: tuple[Any, ...], pieces: list[Piece], mark: str, costs: Costs) -> None:
    """Print a line for each policy and number of GPUs."""
    busy = sum(p.busy for p in pieces)
    for policy in args.policy:
        base = 0.0
        for gpus in args.gpus:
            workers = {GPU: gpus, CPU: args.cpus * gpus}
            makespan = run(pieces, workers, policy, costs)
            base = base or makespan
            numbers = (
                f"{makespan:,.0f}",
                f"{busy / gpus / makespan:.3f}",
                f"{base / makespan:.1f}",
                f"{len(pieces):,}",
            )
            print(ROW.format(*what, gpus, policy + mark, *numbers, limit_of(pieces, workers, makespan)), flush=True)


def run(pieces: list[Piece], workers: dict[str, int], policy: Policy, costs: Costs) -> float:
    if policy == "apart":
        pieces = [replace(p, where=TRACK) if p.weights == "track" else p for p in pieces]
        workers = {**workers, TRACK: workers[GPU]}
    return simulate(pieces, workers, policy, costs.weights).makespan


def capacity(args: argparse.Namespace) -> None:
    """Print what an hour of footage takes, and what a farm for many hours a day needs."""
    footage = Footage(3600 * RATE, args.shot, *args.size)
    rate = f"{args.flops:.0f} TFLOP/s"
    print(f"An hour of footage: {footage.frames:,} frames, {footage.width}x{footage.height}, {RATE} frames/s, ", end="")
    print(f"{f'shots of {args.shot} frames' if args.shot else 'no cut'}; masks by {args.tracker}\n")
    print(
        f"| remover, preset | PFLOP | GPU hours at {rate} | at {args.share:.0%} of it | at {args.price:g} a GPU hour ",
        end="",
    )
    print(f"| CPU core hours | GPUs for {DAILY:,} hours a day | CPU cores |\n" + "|---" * 8 + "|")
    for name in args.remover:
        for preset in ("draft", "standard", "best"):
            for second in (False, True) if name == "void" else (False,):
                label = f"{name}, {preset}{', both passes' if second else ''}"
                print(
                    capacity_row(args, label, name, settings_of(args, preset, second_pass=second), footage), flush=True
                )
    storage(args, footage)


def capacity_row(args: argparse.Namespace, label: str, name: str, settings: Settings, footage: Footage) -> str:
    remover = registry.make(name, settings)
    costs = replace(costs_of(args, name, remover, settings), joins=CPU)
    tasks = tasks_of(footage, remover, masked=args.tracker == "file")
    pieces = pieces_of(footage, tasks, remover, costs, ends=True)
    gpu = sum(p.busy for p in pieces) / 3600  # at the share that is reached
    found = zip(pieces, (None, *tasks, None), strict=True)  # scanning and writing are no tasks
    steps = {f"fill-{s.id}": s.step for s in stages_of(remover, footage)}
    cores = 2 * sum(p.seconds if t is None or p.where == CPU else beside(p, t, steps, footage) for p, t in found) / 3600
    flops = gpu * 3600 * args.flops * args.share / 1e3
    values = (f"{flops:,.0f}", f"{gpu * args.share:.1f}", f"{gpu:.1f}", f"{gpu * args.price:.2f}", f"{cores:.1f}")
    return f"| {label} | {' | '.join(values)} | {gpu * DAILY / 24:,.0f} | {cores * DAILY / 24:,.0f} |"


def stages_of(remover: Remover, footage: Footage) -> list[Stage]:
    span = FrameRange(0, footage.frames)
    return remover.stages(shot_info(footage.clip, span, segments_in(span, footage.clip, PLATE_SEGMENT)))


def beside(piece: Piece, task: Task, steps: dict[str, int], footage: Footage) -> float:
    """Seconds of a CPU beside a network: its frames are read, and those of a window are written."""
    rates, pixels = measured().frames_per_second, footage.width * footage.height / measured().pixels
    if piece.kind != "fill":
        return task.span.length * pixels / rates["scan"]
    written = task.span.length if steps[task.id] == 1 else 0  # keyframes are not shown
    return piece.seconds - piece.busy + written * pixels / rates["write"]


def kept_bytes(remover: Remover, footage: Footage) -> int:
    """Bytes of the fills that later stages need, as `job/stages/fill.py` keeps them: R'G'B' in float16."""
    kept = kept_frames(stages_of(remover, footage))
    width, height = remover.size(footage.width, footage.height) or (footage.width, footage.height)
    return sum(map(len, kept.values())) * width * height * estimate._KEPT_BYTES


def storage(args: argparse.Namespace, footage: Footage) -> None:
    clip = SimpleNamespace(
        width=footage.width, height=footage.height, frames=footage.frames, layout=layout_of("yuv420p"),
        times=SimpleNamespace(end_seconds=3600.0),
    )  # fmt: skip
    encode = SimpleNamespace(lossless=False, encoder="libx264", bit_rate=0)
    plan: Any = SimpleNamespace(clip=clip, encode=encode, span=SimpleNamespace(length=footage.frames))
    plan.conditional, plan.tasks_of = False, lambda kind: ()  # what a remover keeps comes below
    work, result = estimate._disk(plan)
    print(f"\n| | GB an hour of footage | TB for {DAILY:,} hours |\n|---|---|---|")
    rows = {
        "work files without kept fills, as `--dry-run` estimates them": work,
        "result, as `--dry-run` estimates it": result,
    }
    kept = {
        f"{name}: fills kept for later stages": kept_bytes(registry.make(name, Settings()), footage)
        for name in args.remover
    }
    for label, size in {**rows, **kept}.items():
        print(f"| {label} | {size / 1e9:.1f} | {size * DAILY / 1e12:,.0f} |")


def numbers(text: str) -> list[int]:
    return [int(n.replace("_", "")) for n in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capacity", action="store_true", help="what an hour of footage takes")
    parser.add_argument("--remover", type=lambda s: s.split(","), default=["minimax", "rose", "undereraser", "void"])
    parser.add_argument("--frames", type=numbers, default=[81, 1000, 100_000])
    parser.add_argument("--shot", type=int, default=0, help="frames of a shot; 0: no cut")
    parser.add_argument("--clips", type=numbers, default=[1], help="equal clips at once")
    parser.add_argument("--gpus", type=numbers, default=[1, 8, 64, 512])
    parser.add_argument("--cpus", type=int, default=4, help="CPU workers (2 cores) for each GPU")
    parser.add_argument("--policy", type=lambda s: s.split(","), default=["pull"], help="pull, static, apart, longest")
    parser.add_argument("--barriers", action="store_true", help="also with a barrier between phases, marked |")
    parser.add_argument("--tracker", default="sam2-large", help="sam2-tiny, -small, -base-plus, -large, flow, or file")
    parser.add_argument("--preset", default="standard", help="draft, standard or best")
    parser.add_argument("--second-pass", action="store_true", help="of void")
    parser.add_argument("--joins", choices=[GPU, CPU], default=CPU, help="workers that fade windows into each other")
    parser.add_argument("--conditional", action="store_true", help="as where auto chose the remover")
    parser.add_argument("--no-ends", action="store_true", help="without scanning before and writing after")
    parser.add_argument("--along", action="store_true", help="as if results were written while frames become ready")
    parser.add_argument("--size", type=lambda s: tuple(map(int, s.split("x"))), default=(1280, 720))
    parser.add_argument("--flops", type=float, default=floors.RATE, help="TFLOP/s of a GPU")
    parser.add_argument("--share", type=float, default=1.0, help="of them that is reached")
    parser.add_argument("--load", type=float, default=2.0, help="GB/s at which weights are loaded")
    parser.add_argument("--price", type=float, default=1.0, help="of a GPU hour, in any currency: an example")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    (capacity if args.capacity else farm)(args)


if __name__ == "__main__":
    main()
