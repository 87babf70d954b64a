"""Speed and memory of ROSE, UnderEraser and MiniMax-Remover at full size, with random weights, against what the machine
could do at best.

    python tests/benchmarks/wan.py                      a GPU: 81 frames at 480x720, every remover and memory mode
    python tests/benchmarks/wan.py --tiny               any machine: the same with tiny networks, to try the script
    python tests/benchmarks/wan.py --removers rose --compile --backend _native_cudnn

A step's floor is its multiplications (2 a weight and token, and 4 a pair of tokens, channel and layer) over the speed
that large matrix products reach in the same run. The whole is as many steps as `--quality standard` takes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import torch
from gpu import filled, matmul_rate, options, ready, wait

from support.full_size import LARGE, ROSE, SMALL
from vremove_cli.networks import minimax, wan
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings
from vremove_cli.removers.common.initial_latents import latents_of
from vremove_cli.removers.common.vram_estimate import vram_estimate
from vremove_cli.removers.common.wan.model import predictor

FRAMES, SIZE = 81, (720, 480)
TINY = {"dim": 32, "ffn_dim": 64, "freq_dim": 32, "num_heads": 2, "num_layers": 2, "in_dim": 36, "out_dim": 16}
TINY_SMALL = {**SMALL, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "ffn_dim": 64}


def network(name: str, tiny: bool) -> Any:
    """A remover's transformer on the meta device."""
    if name == "minimax":
        return minimax.make_transformer(TINY_SMALL if tiny else SMALL)
    return wan.make_transformer(TINY if tiny else LARGE if name == "undereraser" else ROSE)


def step(name: str, model: Any, latents: torch.Tensor, device: str, dtype: torch.dtype) -> Callable[..., Any]:
    """What one step of a remover predicts, as a function of latents and a time."""
    if name == "minimax":
        beside = torch.randn(1, 32, *latents.shape[2:], device=device, dtype=dtype)
        return lambda x, time: minimax.predict(model, torch.cat([x, beside], 1), time)
    condition = torch.randn(1, 20, *latents.shape[2:], device=device, dtype=dtype)
    text = torch.randn(1, wan.TEXT_TOKENS, 4096, device=device, dtype=dtype)
    contexts = latents.shape[2] if name == "undereraser" else 1
    pictures = torch.randn(contexts, wan.IMAGE_TOKENS, 1280, device=device, dtype=dtype)
    return predictor(model, condition, text, pictures)


def work(model: Any, tokens: int) -> float:
    """Multiplications and additions of one step."""
    config = model.config
    channels = config.num_attention_heads * config.attention_head_dim
    weights = sum(p.numel() for n, p in model.blocks.named_parameters() if "norm" not in n and "attn2.add" not in n)
    return 2 * weights * tokens + 4 * tokens**2 * channels * config.num_layers


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--removers", default="rose,undereraser,minimax")
    args, device, dtype = options(parser)
    width, height = SIZE if not args.tiny else (96, 64)
    shape = (1, 16, latents_of(FRAMES), height // 8, width // 8)
    rate = matmul_rate(device, dtype, 8192 if device == "cuda" else 512)
    print(f"{device}, {FRAMES} frames at {width}x{height}, matrix products at {rate / 1e12:.2f} TFLOP/s")
    print("| remover | mode | a step | floor | ratio | steps | whole | peak GB | computed GB |\n" + "|---" * 9 + "|")
    for name in args.removers.split(","):
        remover: Any = registry.make(name, Settings())
        for mode in args.modes.split(",") if device == "cuda" else ("resident",):
            model = filled(network(name, args.tiny), dtype)
            wan.with_rotary(model)
            floor = work(model, shape[2] * shape[3] * shape[4] // 4) / rate
            model = ready(model, mode, args, device)
            latents = torch.randn(shape, device=device, dtype=dtype)
            predict, times = step(name, model, latents, device, dtype), []
            with torch.inference_mode():
                for _ in range(args.steps + 1):
                    predict(latents, torch.tensor([500.0], device=device))
                    wait(device)
                    times.append(time.perf_counter())
            took = (times[-1] - times[0]) / args.steps
            peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
            need = getattr(vram_estimate(remover.spec.network, (width, height)), mode) / 1e9
            print(
                f"| {name} | {mode} | {took:.3f} s | {floor:.3f} s | {took / floor:.1f} | {remover.steps()} "
                f"| {took * remover.steps():.0f} s | {peak:.1f} | {need:.1f} |",
                flush=True,
            )
            del model, predict
            if device == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
