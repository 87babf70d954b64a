"""Seconds and GPU memory of full-size removers with random weights, against the floor that floors.py counts.

    python tests/benchmarks/gpu.py                            a GPU: every remover, memory mode and order of kernels
    python tests/benchmarks/gpu.py --removers rose --compile  with compiled blocks, too
    python tests/benchmarks/gpu.py --tiny                     any machine: tiny networks, to try the script

For each remover: a step in each memory mode, then the VAE's encoding and decoding of a few frames, whole and in tiles.
A floor is the phase's multiplications over the speed that large matrix products reach in the same run.
"""

import argparse
import gc
import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import torch

from support import counted_vram as counted
from support.full_size import LARGE, ROSE, SMALL, VOID
from vremove_cli.networks import cogvideox, devices, wan
from vremove_cli.networks.arithmetic import arithmetic_here
from vremove_cli.networks.attention import attention_order
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.initial_latents import latents_of
from vremove_cli.removers.common.placement import runtime_of
from vremove_cli.removers.common.vae_tiling import vae_runner
from vremove_cli.removers.common.vram_estimate import MemoryMode, Weights, vram_bytes

TINY = {
    "minimax": {**SMALL, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "ffn_dim": 64},
    "rose": {**ROSE, "dim": 32, "ffn_dim": 64, "num_heads": 2, "num_layers": 2},
    "undereraser": {**LARGE, "dim": 32, "ffn_dim": 64, "num_heads": 2, "num_layers": 2},
    "void": {**VOID, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2},
}
SIZES = {"minimax": (832, 480), "rose": (832, 480), "undereraser": (832, 480), "void": (672, 384)}


def filled(model: Any, device: str) -> Any:
    """A network of the meta device with small random weights, made where they are to be."""
    for module in model.modules():
        for name, value in module.named_parameters(recurse=False):
            data = torch.empty(value.shape, dtype=value.dtype, device=device).normal_(0, 0.02)
            setattr(module, name, torch.nn.Parameter(data, requires_grad=False))
    if hasattr(model, "rope"):
        wan.with_rotary(model)
    return model.eval()


def seconds(run: Callable[[], object], device: str, times: int) -> float:
    run()
    devices.wait_for(device)
    started = time.perf_counter()
    for _ in range(times):
        run()
    devices.wait_for(device)
    return (time.perf_counter() - started) / times


def matmul_rate(device: str, side: int) -> float:
    """Multiplications and additions a second of square products in the networks' type."""
    a, b = (torch.randn(side, side, device=device, dtype=devices.network_dtype(device)) for _ in range(2))
    return 2 * side**3 / seconds(lambda: a @ b, device, 10)


def fresh(device: str) -> None:
    gc.collect()
    devices.empty_caches()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> str:
    return f"{torch.cuda.max_memory_allocated() / 1e9:.2f}" if device == "cuda" else "-"


def step_of(name: str, model: Any, size: tuple[int, int], device: str) -> Callable[[], object]:
    """One step on random inputs, through the same code that counts its bytes and multiplications."""

    def given(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
        wanted = devices.network_dtype(device) if dtype == torch.bfloat16 else dtype
        if not dtype.is_floating_point:
            return torch.full(shape, 500, device=device)
        return torch.randn(*shape, device=device, dtype=wanted)

    return counted.step_on(name, model, size, given)


def steps(name: str, args: argparse.Namespace, device: str, rate: float) -> None:
    size = (64, 48) if args.tiny else SIZES[name]
    own = counted.transformer(name, config=TINY[name]) if args.tiny else counted.transformer(name)
    floor = counted.run_step(name, own, size).flops / rate
    modes: tuple[Weights, ...] = ("resident", "fp8", "offload")
    for weights in modes:
        for compiled in (False, True) if args.compile and weights == "resident" else (False,):
            fresh(device)
            mode = MemoryMode(weights)
            runtime = replace(runtime_of(arithmetic_here(device), mode), compiled=compiled)
            model = counted.transformer(name, config=TINY[name]) if args.tiny else counted.transformer(name)
            model = filled(model, "cpu" if weights == "offload" else device).to(runtime.dtype)
            step = step_of(name, placement.place(model, runtime), size, device)
            said = vram_bytes(counted.network_of(name), mode, size) / 1e9
            for kernels, context in _kernels(name, device, weights):
                with torch.inference_mode(), context:
                    took = seconds(step, device, 2)
                how = f"{weights}{', compiled' if compiled else ''}, {kernels}"
                ratio = f"{took / floor:.1f}"
                print(
                    f"| {name} | {how} | {took:.3f} s | {floor:.3f} s | {ratio} | {peak(device)} | {said:.2f} |",
                    flush=True,
                )
            del model, step


def _kernels(name: str, device: str, weights: str) -> list[tuple[str, AbstractContextManager[None]]]:
    """The project's order of attention kernels, and torch's own for comparison."""
    head = 64 if name == "void" else 128
    own: list[tuple[str, AbstractContextManager[None]]] = [
        ("kernels in order", attention_order(arithmetic_here(device).attention, head))
    ]
    return [("torch's kernels", nullcontext()), *own] if weights == "resident" and device == "cuda" else own


def coders(name: str, device: str) -> None:
    """The VAE's own time and memory; it is the same for all removers on Wan."""
    module = cogvideox if name == "void" else wan
    width, height = SIZES[name]
    dtype = devices.network_dtype(device)
    for tile in (0, 64):
        fresh(device)
        model = filled(counted.vae("void" if name == "void" else "wan"), device).to(dtype)
        video = torch.randn(1, 3, counted.FRAMES, height, width, device=device, dtype=dtype)
        latents = torch.randn(1, 16, latents_of(counted.FRAMES), height // 8, width // 8, device=device, dtype=dtype)
        runner = vae_runner(tile)
        runs: dict[str, Callable[[], object]] = {
            "encode": partial(runner.encode, partial(module.encode, model), video),
            "decode": partial(runner.decode, partial(module.decode, model), latents),
        }
        for what, run in runs.items():
            with torch.inference_mode():
                took = seconds(run, device, 1)
            frames = f"{counted.FRAMES} frames, {f'tiles of {8 * tile}' if tile else 'whole'}"
            print(f"| {name} | {what}, {frames} | {took:.3f} s | | | {peak(device)} | |", flush=True)
        del model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--removers", default=",".join(counted.REMOVERS))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    device, why = devices.choose_device("auto")
    if device == "cpu" and not args.tiny:
        sys.exit("torch sees no GPU: add --tiny to try the script")
    rate = matmul_rate(device, 512 if args.tiny else 8192)
    print(f"{device} ({why}), torch {torch.__version__}, matrix products at {rate / 1e12:.2f} TFLOP/s")
    print("| remover | what | takes | floor | ratio | peak GB | computed GB, whole job |\n" + "|---" * 7 + "|")
    for name in args.removers.split(","):
        steps(name, args, device, rate)
        if not args.tiny and name in ("rose", "void"):
            coders(name, device)


if __name__ == "__main__":
    main()
