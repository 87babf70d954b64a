"""Speed and memory of the whole job's frame: 1080p in, 1080p out.

    python tests/benchmarks/media.py            both tables (about 20 minutes on two cores)
    python tests/benchmarks/media.py --speed    frames/s of decode -> compose -> encode against decode -> encode alone
    python tests/benchmarks/media.py --memory   peak memory of a whole `vremove erase` of 300 and of 1,500 frames

The clip is drawn by code: a textured background, a moving object of about 2 % of the frame. Ratios compare runs of
the same session on the same machine; the two kinds of run take turns, and the middle one of each counts.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.clips import write_clip

SIZE = (1920, 1080)


def texture() -> np.ndarray:
    """Noise at several scales, larger than the frame, (H, W, 3) uint8."""
    rng = np.random.default_rng(2)
    total = np.zeros((1200, 2400, 3), np.float32)
    for cell in (8, 32, 128):
        layer = rng.normal(size=(1200 // cell, 2400 // cell, 3)).astype(np.float32)
        total += cv2.resize(layer, (2400, 1200), interpolation=cv2.INTER_CUBIC) * cell**0.5
    return np.clip(120 + total * 4, 0, 255).astype(np.uint8)


WORLD = texture()


def place(t: int) -> tuple[int, int]:
    return 200 + (t * 9) % 1400, 380 + round(60 * np.sin(t / 20))


def picture(t: int, width: int, height: int) -> np.ndarray:
    pan = round(100 + 80 * np.sin(t / 60))
    out = WORLD[40 : 40 + height, pan : pan + width].copy()
    cv2.ellipse(out, place(t), (70, 160), 0, 0, 360, (30, 60, 220), -1)
    return out


def mask(t: int, width: int, height: int) -> np.ndarray:
    out = np.zeros((height, width, 3), np.uint8)
    cv2.ellipse(out, place(t), (70, 160), 0, 0, 360, (255, 255, 255), -1)
    return out


def make(folder: Path, frames: int) -> tuple[Path, Path]:
    fast = {"preset": "veryfast", "crf": "20"}
    clip = write_clip(folder / f"{frames}.mp4", size=SIZE, frames=frames, picture=picture, options=fast)
    masks = write_clip(
        folder / f"{frames}.mask.mkv", size=SIZE, frames=frames, picture=mask, codec="ffv1", pix_fmt="gray",
        colour=(2, 2, 2, 2),
    )  # fmt: skip
    return clip, masks


def speed(folder: Path, frames: int, rounds: int) -> None:
    from vremove_cli.job.render import edited_frames, render
    from vremove_cli.job.request import Exports
    from vremove_cli.job.runner import run_plan, run_work
    from vremove_cli.job.workdir.folder import WorkFolder
    from vremove_cli.media.read import Clip
    from vremove_cli.media.write import open_writer

    clip, masks = make(folder, frames)
    place_of_work = str(folder / "w")
    made, _ = run_plan(str(clip), str(folder / "out.mp4"), mask=str(masks), work=place_of_work)
    run_work(place_of_work)
    times: dict[str, list[float]] = {"decode -> encode": [], "decode -> compose -> encode": []}
    for _ in range(rounds):
        start = time.perf_counter()
        with open_writer(str(folder / "plain.mp4"), made.clip, made.encode, (), overwrite=True) as writer:
            for frame in edited_frames(Clip(made.clip), iter(())):
                writer.write(frame)
        times["decode -> encode"].append(time.perf_counter() - start)
        start = time.perf_counter()
        render(made, WorkFolder(Path(place_of_work)), Exports(), overwrite=True, emit=lambda event: None)
        times["decode -> compose -> encode"].append(time.perf_counter() - start)
    plain, full = (frames / median(t) for t in times.values())
    print(f"1080p, {frames} frames, {made.encode}, middle of {rounds}")
    print(f"  decode -> encode             {plain:6.2f} frames/s")
    print(f"  decode -> compose -> encode  {full:6.2f} frames/s")
    print(f"  ratio                        {full / plain:6.2f}")


def memory(folder: Path, counts: list[int]) -> None:
    peaks = []
    for frames in counts:
        clip, masks = make(folder, frames)
        code = "from vremove_cli.app import main; main()"
        start = time.perf_counter()
        command = [sys.executable, "-c", code, "erase", str(clip), "--mask", str(masks), "--overwrite", "-q"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            _, status, usage = _wait(process.pid)
            process.returncode = status
        peaks.append(usage.ru_maxrss / 1024)
        took = time.perf_counter() - start
        print(f"1080p, {frames:5d} frames: peak {peaks[-1]:7.0f} MB, {took:6.1f} s, exit {status}", flush=True)
    if len(peaks) > 1:
        print(f"growth from {counts[0]} to {counts[-1]} frames: {peaks[-1] / peaks[0] - 1:+.1%}")


def _wait(pid: int) -> tuple[int, int, resource.struct_rusage]:
    import os

    done, status, usage = os.wait4(pid, 0)
    return done, os.waitstatus_to_exitcode(status), usage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--frames", type=int, nargs="+", default=[300, 1500])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    both = not (args.speed or args.memory)
    with tempfile.TemporaryDirectory() as folder:
        if args.speed or both:
            speed(Path(folder), min(args.frames), args.rounds)
        if args.memory or both:
            memory(Path(folder), args.frames)


if __name__ == "__main__":
    main()
