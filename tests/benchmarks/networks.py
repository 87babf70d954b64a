"""Network trackers: memory against the length of a clip, and speed of the full-size networks with random weights.

    python tests/benchmarks/networks.py --memory
    python tests/benchmarks/networks.py --speed [--sizes tiny,small,base-plus,large] [--frames 30] [--compile]

--memory follows a red disc through 200 and 2,000 frames with the tests' tiny network, each in a process of its own,
and prints the peak of resident memory of both and their ratio. --speed follows a point through drawn 1280x720 frames
on the GPU if there is one (bfloat16), else on the CPU (float32), and prints frames a second of the whole step (picture
to mask) beside those of the network's image encoder alone, which no tracker of this family can pass.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from support.clips import write_clip
from support.disc import red_disc
from support.twins import red_finder
from vremove_cli.tracking.base import ObjectPrompts, TrackerFrame

SHORT, LONG = 200, 2000
_SMALL = (160, 96)
_CHILD = """
import resource, sys
from vremove_cli.app import app
app(sys.argv[1:], standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def disc_at(t: int, width: int, height: int) -> np.ndarray:
    """The red disc, going to and fro in a small picture."""
    way = abs((t + 12) % 48 - 24)
    return red_disc(way // 3, 2 * width, 2 * height)[:height, 20 : 20 + width]


def peak(folder: Path, frames: int) -> int:
    """Kilobytes that following takes at most, in a process of its own."""
    clip = write_clip(folder / f"{frames}.mkv", codec="ffv1", size=_SMALL, frames=frames, picture=disc_at)
    args = ["mask", str(clip), "--point", "60,95", "--tracker", "sam2-tiny", "--track-every", "1", "--no-keep-work"]
    args += ["--weights", f"sam2-tiny={folder / 'model'}", "-o", str(folder / f"{frames}.mask.mkv")]
    done = subprocess.run([sys.executable, "-c", _CHILD, *args], capture_output=True, text=True, cwd=HERE.parents[1])
    if done.returncode:
        sys.exit(done.stderr)
    return int(done.stdout.split()[-1])


def memory() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        red_finder(256).save_pretrained(folder / "model")
        short, long = peak(folder, SHORT), peak(folder, LONG)
    print(f"{SHORT} frames: {short / 1024:.0f} MB, {LONG} frames: {long / 1024:.0f} MB, ratio {long / short:.3f}")


def full_size(size: str) -> Any:
    """A SAM 2.1 with random weights: its configuration comes from the shapes that a checkpoint would have."""
    import torch
    from transformers import Sam2VideoModel

    from vremove_cli.networks.sam2 import make_config

    width, blocks = {"tiny": (96, 12), "small": (96, 16), "base-plus": (112, 24), "large": (144, 48)}[size]
    shapes = {"image_encoder.trunk.patch_embed.proj.weight": torch.empty(width, 3, 7, 7, device="meta")}
    shapes |= {f"image_encoder.trunk.blocks.{k}.norm1.weight": torch.empty(0) for k in range(blocks)}
    return Sam2VideoModel(make_config(shapes)).eval()


def frames_per_second(step: Callable[[int], object], count: int, sync: Callable[[], object]) -> float:
    for k in range(3):
        step(k)
    sync()
    started = time.perf_counter()
    for k in range(3, 3 + count):
        step(k)
    sync()
    return count / (time.perf_counter() - started)


def speed(sizes: list[str], count: int, compiled: bool) -> None:
    import torch

    from vremove_cli.networks.devices import choose_device
    from vremove_cli.tracking.sam2 import Sam2Tracker

    device, why = choose_device("auto")
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    sync = torch.cuda.synchronize if device == "cuda" else lambda: None
    print(f"{device} ({why}), {str(dtype).removeprefix('torch.')}{', compiled encoder' if compiled else ''}")
    print("| SAM 2.1 | frames/s | image encoder alone | share of its speed | peak GB |\n|---|---|---|---|---|")
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (1024, 1024, 3), np.uint8) for _ in range(4)]
    for size in sizes:
        model = full_size(size).to(device=device, dtype=dtype)
        if compiled:
            model.vision_encoder = torch.compile(model.vision_encoder, mode="max-autotune-no-cudagraphs")
        tracker = Sam2Tracker(model, 1000)

        def sight(t: int) -> TrackerFrame:
            return TrackerFrame(t, pictures[t % 4], (1280, 720), (640, 360))

        state, _ = tracker.begin(sight(0), ObjectPrompts(points=((640.0, 360.0),)))

        def follow(k: int, tracker: Sam2Tracker = tracker) -> None:
            nonlocal state
            state, _ = tracker.propagate(sight(k + 1), state)

        whole = frames_per_second(follow, count, sync)
        pixels = tracker._pixels(pictures[0])
        with torch.inference_mode():

            def encode(k: int, model: Any = model, pixels: Any = pixels) -> object:
                return model.get_image_features(pixels)

            alone = frames_per_second(encode, count, sync)
        used = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else resource_gb()
        print(f"| {size} | {whole:.2f} | {alone:.2f} | {whole / alone:.2f} | {used:.1f} |", flush=True)


def resource_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__))
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--sizes", default="tiny,small,base-plus,large")
    parser.add_argument("--frames", type=int, default=30)
    args = parser.parse_args()
    if args.memory:
        memory()
    if args.speed:
        speed(args.sizes.split(","), args.frames, args.compile)


if __name__ == "__main__":
    main()
