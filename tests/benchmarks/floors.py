"""What full-size removers must compute and hold, counted on the meta device: no GPU is needed.

    python tests/benchmarks/floors.py               multiplications of each phase, and the time they take at best
    python tests/benchmarks/floors.py --memory      computed GPU memory against the counted one, by mode and size

The floor of a phase is its multiplications and additions over 650 TFLOP/s, which large matrix products reach on an H100
in bfloat16. `--rate` sets another speed.
"""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

import torch

from support import counted_sdxl
from support import counted_vram as counted
from support.metered import metered
from vremove_cli.networks import cogvideox, wan
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings
from vremove_cli.removers.common.initial_latents import latents_of, padded_length
from vremove_cli.removers.common.vram_estimate import vram_bytes
from vremove_cli.removers.rorem.remover import STEPS
from vremove_cli.removers.void import remover as void
from vremove_cli.removers.void.latent_windows import WINDOW, latent_windows
from vremove_cli.removers.void.model import TEXT_TOKENS

RATE = 650.0  # TFLOP/s
# Frames and (width, height) of the clip; 197 frames at 672x384 are the authors' longest for VOID.
CLIPS = {
    "minimax": (81, (832, 480)),
    "rose": (81, (832, 480)),
    "undereraser": (81, (832, 480)),
    "void": (197, (672, 384)),
}


def coder_work(name: str, frames: int, size: tuple[int, int]) -> tuple[float, float]:
    """TFLOP of encoding and of decoding a clip; Wan's and CogVideoX's work grows as the frames do."""
    coder = "void" if name == "void" else "wan"
    model, module = counted.vae(coder), cogvideox if coder == "void" else wan
    few = counted.FRAMES
    share = (frames - 1) / (few - 1)
    with metered(model) as encoding:
        module.encode(model, counted.empty(1, 3, few, size[1], size[0]))
    with metered(model) as decoding:
        module.decode(model, counted.empty(1, 16, latents_of(few), size[1] // 8, size[0] // 8))
    videos = 1 if name in ("rose", "undereraser") else 2  # the mask is a video, too
    return videos * share * encoding.flops / 1e12, share * decoding.flops / 1e12


def step_work(name: str, frames: int, size: tuple[int, int]) -> float:
    """TFLOP of one step over a whole clip; blocks are alike, so two and three of them tell what all take."""
    width, height = size[0] // 8, size[1] // 8

    def flops(layers: int) -> float:
        model = counted.transformer(name, layers)
        if name != "void":
            return counted.run_step(name, model, size).flops / 1e12
        total = 0.0
        for start, stop in latent_windows(latents_of(padded_length(frames)), latents_of(WINDOW)):
            count = -(-(stop - start) // 2) * 2
            given = (counted.empty(1, count, 48, height, width), counted.empty(1, TEXT_TOKENS, 4096))
            rotation = (counted.empty(count // 2 * (height // 2) * (width // 2), 64, dtype=torch.float32),) * 2
            with metered(model) as meter:
                model(*given, timestep=counted.empty(1, dtype=torch.int64), image_rotary_emb=rotation)
            total += meter.flops / 1e12
        return total

    layers = counted.transformer(name).config.num_layers
    two, three = flops(2), flops(3)
    return two + (layers - 2) * (three - two)


def floors(rate: float) -> None:
    print(f"| remover | clip | encode | a step | steps | decode | whole | floor at {rate:.0f} TFLOP/s | weights |")
    print("|---" * 9 + "|")
    for name, (frames, size) in CLIPS.items():
        remover: Any = registry.make(name, Settings())
        steps = void.STEPS["standard"][0] if name == "void" else remover.steps()
        encode, decode = coder_work(name, frames, size)
        step = step_work(name, frames, size)
        whole = encode + steps * step + decode
        clip = f"{frames} frames, {size[0]}x{size[1]}"
        print(
            f"| {name} | {clip} | {encode:.0f} TFLOP | {step:.1f} | {steps} | {decode:.0f} "
            f"| {whole:.0f} | {whole / rate:.1f} s | {counted.weights(name, 'resident') / 1e9:.1f} GB |",
            flush=True,
        )


def stills(rate: float) -> None:
    """RORem: a picture is encoded twice, with its hole filled and without."""
    print("\n| rorem | encode | a step | steps | decode | whole | floor |\n" + "|---" * 7 + "|")
    for side in counted_sdxl.SIDES:
        encode, decode = (meter.flops / 1e12 for meter in counted_sdxl.coding(side))
        step = counted_sdxl.step(side).flops / 1e12
        for quality, steps in STEPS.items():
            whole = 2 * encode + steps * step + decode
            print(
                f"| {quality}, {side}x{side} | {2 * encode:.1f} TFLOP | {step:.2f} | {steps} | {decode:.1f} "
                f"| {whole:.1f} | {whole / rate:.2f} s |",
                flush=True,
            )


def memory() -> None:
    print("| remover | mode | size | computed GB | counted GB | ratio |\n" + "|---" * 6 + "|")
    for name in counted.REMOVERS:
        for mode in counted.MODES:
            for size in counted.SIZES:
                said = vram_bytes(counted.network_of(name), mode, size) / 1e9
                found = counted.counted(name, mode, size) / 1e9
                row = (name, f"{mode.weights}, {f'tiles of {8 * mode.tile}' if mode.tile else 'whole'}")
                print(
                    f"| {' | '.join(row)} | {size[0]}x{size[1]} | {said:.2f} | {found:.2f} | {said / found:.3f} |",
                    flush=True,
                )
    for mode in counted.MODES:
        for side in counted_sdxl.SIDES:
            said, found = (count(mode, side) / 1e9 for count in (counted_sdxl.computed, counted_sdxl.counted))
            kind = f"{mode.weights}, {f'tiles of {8 * mode.tile}' if mode.tile else 'whole'}"
            print(f"| rorem | {kind} | {side}x{side} | {said:.2f} | {found:.2f} | {said / found:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--rate", type=float, default=RATE, help="TFLOP/s")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    if args.memory:
        memory()
    else:
        floors(args.rate)
        stills(args.rate)


if __name__ == "__main__":
    main()
