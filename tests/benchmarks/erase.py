"""Quality and speed of `vremove erase` on the example, against named baselines in the same run.

    python tests/benchmarks/erase.py [--record]

Draws the example with and without its ball (examples/make_clip.py), erases the ball as the README does, prints
  PSNR under the mask of both, against the clip without it: ours, and cv2.inpaint (Telea) with the same mask;
  frames a second of each stage, and how many times the cost of one DIS optical flow (medium preset) that is.
--record writes the frames a second into vremove_cli/job/speeds.json, from which estimates are made; the README
quotes these figures.
"""

import importlib.util
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]


def example() -> Any:
    """The script that draws the example, as a module."""
    spec = importlib.util.spec_from_file_location("make_clip", ROOT / "examples" / "make_clip.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stage_times(folder: Path) -> dict[str, float]:
    """Seconds that each kind of task took, from the work folder."""
    import json

    out: dict[str, float] = {}
    for file in (folder / "done").glob("*.json"):
        kind = file.stem.split("-")[0]
        out[kind] = out.get(kind, 0.0) + json.loads(file.read_text())["seconds"]
    return out


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    error = (a[where].astype(np.float32) - b[where]) ** 2
    return float(10 * np.log10(255**2 / error.mean()))


def main() -> None:
    from vremove_cli import finish, threads
    from vremove_cli.job.runner import run_plan, run_work
    from vremove_cli.job.speeds import measured, record
    from vremove_cli.media.ffv1 import read_gray
    from vremove_cli.media.read import open_clip

    clip_maker = example()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = clip_maker.street(np.random.default_rng(3))
        frames = range(clip_maker.FRAMES)
        with_ball = [clip_maker.frame(clip_maker.with_ball(empty, t), t) for t in frames]
        without = np.stack([clip_maker.frame(empty, t) for t in frames])
        clip_maker.write(folder / "street.mp4", with_ball)
        job = str(folder / "w")
        run_plan(
            str(folder / "street.mp4"),
            str(folder / "out.mp4"),
            point=("150,275",),
            work=job,
        )
        run_work(job)
        start = time.perf_counter()

        finish(job, write_mask=folder / "mask.mkv")
        times = {**stage_times(Path(job)), "write": time.perf_counter() - start}
        start = time.perf_counter()
        open_clip(str(folder / "street.mp4"))
        times["scan"] = time.perf_counter() - start
        ours = np.stack([f.rgb8() for f in open_clip(str(folder / "out.mp4")).frames()])
        masks = np.stack(list(read_gray(folder / "mask.mkv"))) > 0
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))
        grown = [cv2.dilate(m.astype(np.uint8), disc) for m in masks]
        telea = np.stack([cv2.inpaint(p, m, 5, cv2.INPAINT_TELEA) for p, m in zip(with_ball, grown, strict=True)])
        gray = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in with_ball[:25]]
        flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        start = time.perf_counter()
        for a, b in zip(gray, gray[1:], strict=False):
            flow.calc(a, b, None)
        unit = (time.perf_counter() - start) / (len(gray) - 1)
    print(f"under the mask: ours {psnr(ours, without, masks):.2f} dB, Telea {psnr(telea, without, masks):.2f} dB")
    print(f"one DIS flow at 640x360: {1 / unit:.0f} a second (the unit below)")
    for kind, seconds in times.items():
        rate = len(frames) / seconds
        print(f"{kind:10} {rate:7.1f} frames/s, {seconds / len(frames) / unit:6.1f} DIS flows a frame")
    if "--record" in sys.argv:
        speeds = {stage: round(len(frames) / times[stage]) for stage in measured().frames_per_second}
        record(frames_per_second=speeds, machine=f"{threads.available()} cores, no GPU")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
