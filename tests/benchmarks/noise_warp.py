"""Speed of the noise warp against its definition, pixel by pixel, and at the size that VOID's second pass uses it.

    python tests/benchmarks/noise_warp.py

Both carry the same 16 channels along the same flow on a canvas of 60x90; the vectorised one then one of 384x672.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from support.noise_warp_definition import plainly
from vremove_cli.motion.noise_warp import Canvas, warp_noise


def seconds(warp: Callable[..., Canvas], height: int, width: int, steps: int) -> float:
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[0:height, 0:width]
    flow = 0.05 * np.stack([xs - width / 2, ys - height / 2]) + rng.normal(0, 0.3, (2, height, width))
    flow = flow.astype(np.float32)
    canvas = Canvas(rng.standard_normal((16, height, width), np.float32), np.ones((height, width), np.float32))
    fresh = [rng.standard_normal((16, height, 2 * width), np.float32) for _ in range(steps)]
    started = time.perf_counter()
    for noise in fresh:
        canvas = warp(canvas, flow, noise)
    return (time.perf_counter() - started) / steps


def main() -> None:
    plain, vectorised = seconds(plainly, 60, 90, 2), seconds(warp_noise, 60, 90, 20)
    print(
        f"60x90: {plain:.3f} s a frame pixel by pixel, {vectorised:.4f} s vectorised ({plain / vectorised:.0f} times)"
    )
    print(f"384x672: {seconds(warp_noise, 384, 672, 4):.2f} s a frame vectorised")


if __name__ == "__main__":
    main()
