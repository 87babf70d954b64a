"""Speed and memory of VOID's transformer at full size, with random weights, against what the machine could do at best.

    python tests/benchmarks/void.py                     a GPU: 197 frames at 384x672, every memory mode
    python tests/benchmarks/void.py --tiny              any machine: the same with a tiny network, to try the script
    python tests/benchmarks/void.py --compile --backend _native_cudnn

A step of pass 1 is three windows of 22, 22 and 14 latents. The floor is the step's multiplications (2 a weight and
token, and 4 a pair of tokens, channel and layer) over the speed that large matrix products reach in the same run.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import torch
from diffusers import DDIMScheduler
from gpu import filled, matmul_rate, options, ready, wait

from support.full_size import VOID
from vremove_cli.removers.common.initial_latents import latents_of
from vremove_cli.removers.void.latent_windows import WINDOW, latent_windows, padded_length
from vremove_cli.removers.void.model import TEXT_TOKENS, make_transformer
from vremove_cli.removers.void.multidiffusion import Conditioning, sample

TINY = {**VOID, "num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 2, "text_embed_dim": 16}


def work(model: Any, runs: Any, height: int, width: int) -> float:
    """Multiplications and additions of one step."""
    config, total = model.config, 0.0
    inner = config.num_attention_heads * config.attention_head_dim
    weights = sum(p.numel() for n, p in model.named_parameters() if "norm" not in n)
    for start, stop in runs:
        tokens = TEXT_TOKENS + -(-(stop - start) // 2) * (height // 2) * (width // 2)
        total += 2 * weights * tokens + 4 * tokens**2 * inner * config.num_layers
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=197)
    args, device, dtype = options(parser)
    height, width = (48, 84) if not args.tiny else (4, 6)
    count = latents_of(padded_length(args.frames))
    runs = latent_windows(count, latents_of(WINDOW))
    rate = matmul_rate(device, dtype, 8192 if device == "cuda" else 512)
    print(f"{device}, {args.frames} frames, {len(runs)} windows a step, matrix products at {rate / 1e12:.2f} TFLOP/s")
    print("| mode | seconds a step | floor | ratio | peak GB |\n|---|---|---|---|---|")
    for mode in args.modes.split(",") if device == "cuda" else ("resident",):
        model = filled(make_transformer(TINY if args.tiny else VOID), dtype)
        floor = work(model, runs, height, width) / rate
        model = ready(model, mode, args, device)
        shape = (1, count, 16, height, width)
        latents, mask, video = (torch.randn(shape, device=device, dtype=dtype) for _ in range(3))
        text = torch.randn(1, TEXT_TOKENS, model.config.text_embed_dim, device=device, dtype=dtype)
        times: list[float] = []

        def tick(n: int, now: Any, times: list[float] = times) -> None:
            wait(device)
            times.append(time.perf_counter())

        with torch.inference_mode():
            sample(model, DDIMScheduler(), latents, Conditioning(mask, video, text), runs, args.steps + 1, 1.0, tick)
        step = (times[-1] - times[0]) / args.steps
        peak = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else float("nan")
        print(f"| {mode} | {step:.3f} | {floor:.3f} | {step / floor:.1f} | {peak:.1f} |", flush=True)
        del model
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


if __name__ == "__main__":
    main()
