"""Speed of the noise warp against its definition, pixel by pixel, and at the size that VOID's second pass uses it.

    python tests/benchmarks/noise_warp.py [--device cuda]

Both carry the same 16 channels along the same flow on a canvas of 60x90, on the CPU. The project's own then carries
them on a canvas of 384x672, on the device: first the warp alone, then a clip's frames with their noise drawn and made
smaller. CPU seconds are those of all threads of the process.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from support.noise_warp_definition import plainly
from vremove_cli.motion.noise_warp import Canvas, warp_noise, warped_noise_frames
from vremove_cli.removers.void.warped_noise import downsample_noise

CHANNELS = 16


def slow_zoom(height: int, width: int) -> np.ndarray:
    """A flow (2, H, W) float32 that spreads by 5%, with noise of 0.3 pixels."""
    ys, xs = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(0).normal(0, 0.3, (2, height, width))
    return (0.05 * np.stack([xs - width / 2, ys - height / 2]) + noise).astype(np.float32)


def seconds(run: Callable[[], Any], steps: int, device: str) -> tuple[float, float]:
    """Wall and CPU seconds of a step."""
    started, cpu = time.perf_counter(), time.process_time()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / steps, (time.process_time() - cpu) / steps


def warp_alone(warp: Callable[..., Canvas], height: int, width: int, steps: int, device: str) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    flow = torch.from_numpy(slow_zoom(height, width)).to(device)
    first = torch.from_numpy(rng.standard_normal((CHANNELS, height, width), np.float32)).to(device)
    fresh = [rng.standard_normal((CHANNELS, height, 2 * width), np.float32) for _ in range(steps + 1)]
    noises = [torch.from_numpy(noise).to(device) for noise in fresh]
    canvas = warp(Canvas(first, torch.ones((height, width), device=device)), flow, noises.pop())

    def run() -> None:
        now = canvas
        for noise in noises:
            now = warp(now, flow, noise)

    return seconds(run, steps, device)


def frames(height: int, width: int, steps: int, device: str) -> tuple[float, float]:
    flow = slow_zoom(height, width)

    def run() -> None:
        for noise in warped_noise_frames(iter([flow] * steps), CHANNELS, (height, width), 0, device):
            downsample_noise(noise, 8).cpu()

    return seconds(run, steps, device)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    device = parser.parse_args().device
    plain, ours = warp_alone(plainly, 60, 90, 2, "cpu")[0], warp_alone(warp_noise, 60, 90, 20, "cpu")[0]
    print(f"60x90: {plain:.3f} s a frame pixel by pixel, {ours:.4f} s in torch ({plain / ours:.0f} times)")
    for what, measure in (("warp", lambda: warp_alone(warp_noise, 384, 672, 8, device)),
                          ("warp, noise drawn and made smaller", lambda: frames(384, 672, 8, device))):  # fmt: skip
        wall, cpu = measure()
        print(f"384x672 on {device}, {torch.get_num_threads()} threads: {what}: {wall:.3f} s a frame, {cpu:.3f} CPU s")


if __name__ == "__main__":
    main()
