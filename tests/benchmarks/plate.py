"""Quality and speed of the clean plate against named baselines, on clips made by code, in one table.

    python tests/benchmarks/plate.py [--curve] [--pictures FOLDER]

The stage of the tests (tests/stage.py) at twice its size: an actor with a soft shadow crosses a textured ground that
the camera pans over, first a flat one, then one in two depths, then beside a stranger who walks along. Masks are given.
`hole` and `effect` are dB against the clip without the actor, inside the mask and where the shadow falls; `keep` is dB
against the input where the actor changed nothing; `flicker` is the output's frame difference over the truth's.
Baselines: cv2.inpaint (Telea, NS) frame by frame; the median of all frames aligned by homographies; and, as the upper
bound, ours with the truth's motion.
`--curve` prints how often pixels of each confidence are right (within 12 levels). `--pictures` writes the frame of each
clip where `vremove` is worst: input, result and truth side by side, as PNG.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import stage
from support.clips import write_clip
from vremove_cli.job.composite import plate_patches
from vremove_cli.job.plan import Plan
from vremove_cli.job.runner import run_erase
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.read import open_clip
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.flow import filled_flow
from vremove_cli.plate import recover as recovery
from vremove_cli.plate.motion_field import MotionField, measure_motion

SIZE = (stage.SIZE[0] * 2, stage.SIZE[1] * 2)


def large(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, SIZE, interpolation=cv2.INTER_CUBIC)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    if not where.any():
        return float("nan")
    error = (a[where].astype(np.float32) - b[where]) ** 2
    return float(10 * np.log10(255**2 / max(float(error.mean()), 1e-4)))


def inpaint(kind: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda clip, masks: np.stack([cv2.inpaint(f, m, 5, kind) for f, m in zip(clip, masks, strict=True)])


def median(clip: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Each hole from the median of all other frames, brought over by chained homographies."""
    gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in clip]
    chain = [np.eye(3)]
    for t in range(len(clip) - 1):
        chain.append(estimate_homography(gray[t], gray[t + 1], masks[t] * 255, masks[t + 1] * 255) @ chain[-1])
    out = clip.copy()
    for t in range(len(clip)):
        seen = []
        for s in range(len(clip)):
            step = chain[s] @ np.linalg.inv(chain[t])
            flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
            over = cv2.warpPerspective(clip[s], step, SIZE, flags=flags).astype(np.float32)
            free = cv2.warpPerspective(1 - masks[s], step, SIZE, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP)
            over[free == 0] = np.nan
            seen.append(over[masks[t] > 0])
        with np.errstate(all="ignore"):
            out[t][masks[t] > 0] = np.nan_to_num(np.nanmedian(np.stack(seen), axis=0))
    return out


class Ours:
    """`vremove erase`, optionally with motion measured on the truth; keeps the confidence of every pixel."""

    def __init__(self, folder: Path, truth: np.ndarray, *, effects: str = "auto", oracle: bool = False) -> None:
        self._folder, self._truth, self._effects, self._oracle = folder, truth, effects, oracle
        self.sure: dict[int, np.ndarray] = {}

    def __call__(self, clip: np.ndarray, masks: np.ndarray) -> np.ndarray:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        source, mask = folder / "clip.mkv", folder / "mask.mkv"
        lossless: dict[str, Any] = {"codec": "ffv1", "size": SIZE, "frames": len(clip)}
        write_clip(source, pix_fmt="bgr0", picture=lambda t, w, h: clip[t], **lossless)
        write_clip(mask, pix_fmt="gray", picture=lambda t, w, h: np.repeat(masks[t][..., None] * 255, 3, 2), **lossless)
        if self._oracle:
            vars(recovery)["measure_motion"] = self._measure
        try:
            run_erase(str(source), str(folder / "out.mkv"), mask=str(mask), grow=0, effects=self._effects,
                  work=str(folder / "work"), keep_work=True)  # fmt: skip
        finally:
            vars(recovery)["measure_motion"] = measure_motion
        plan = Plan.load(folder / "work" / "plan.json")
        for t, plate in plate_patches(plan, WorkFolder(folder / "work"), 0, len(clip)):
            if plate is not None:
                self.sure[t] = np.zeros(SIZE[::-1], np.uint8)
                self.sure[t][plate.patch.box.slices] = np.where(plate.patch.matte == 255, plate.confidence, 0)
        return np.stack([f.rgb8() for f in open_clip(str(folder / "out.mkv")).frames()])

    def _measure(
        self, clip: Any, run: Any, reach: tuple[int, int], masks: Any, tick: Any = lambda: None
    ) -> MotionField:
        start, stop = reach
        gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in self._truth]
        pairs = [(t, s) for t in masks for s in (t - 1, t + 1) if start <= s < stop]
        flows = {(t, s): filled_flow(gray[t], gray[s], masks[t].box, np.eye(3)) for t, s in pairs}
        ahead, back = ({t: f for (t, s), f in flows.items() if s - t == way} for way in (1, -1))
        return MotionField(ahead, back, dict.fromkeys(range(start, stop), 0.0), 1.0)


def row(name: str, make: Callable[..., np.ndarray], clip: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> None:
    start = time.perf_counter()
    out = make(clip, masks)
    rate = len(clip) / (time.perf_counter() - start)
    hole = masks > 0
    changed = np.abs(clip.astype(np.int16) - truth).max(axis=3)
    effect, same = (changed > 15) & ~hole, (changed <= 2) & ~hole
    active = (hole | effect)[1:] | (hole | effect)[:-1]
    flicker = [float(np.abs(np.diff(v.astype(np.int16), axis=0))[active].mean()) for v in (out, truth)]
    values = (psnr(out, truth, hole), psnr(out, truth, effect), psnr(out, clip, same), flicker[0] / flicker[1], rate)
    print(f"  {name:28}" + "".join(f"{v:9.2f}" for v in values), flush=True)


def curve(found: list[tuple[Ours, np.ndarray, np.ndarray]]) -> None:
    """How often pixels of each confidence are within 12 levels of the truth, and how far off they are on average."""
    sure = np.concatenate([np.stack([o.sure[t] for t in sorted(o.sure)]).ravel() for o, _, _ in found])
    error = np.concatenate([np.abs(out.astype(np.int16) - truth).max(axis=3).ravel() for _, out, truth in found])
    print("confidence    share   right  mean error")
    for low in range(0, 100, 10):
        here = (sure >= 2 + 2.53 * low) & (sure < 2 + 2.53 * (low + 10) + (low == 90))
        if here.any():
            right, mean, share = (error[here] <= 12).mean(), error[here].mean(), here.sum() / (sure > 1).sum()
            print(f"{low / 100:.1f} to {low / 100 + 0.1:.1f} {share:9.3f} {right:7.3f} {mean:9.1f}")


def write_worst(path: Path, clip: np.ndarray, out: np.ndarray, truth: np.ndarray) -> None:
    error = ((out.astype(np.float32) - truth) ** 2).mean(axis=(1, 2, 3))
    shown = np.hstack([v[int(error.argmax())] for v in (clip, out, truth)])
    cv2.imwrite(str(path), cv2.cvtColor(shown, cv2.COLOR_RGB2BGR))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--curve", action="store_true")
    options.add_argument("--pictures", type=Path)
    asked = options.parse_args()
    masks = np.stack([cv2.resize(m.astype(np.uint8), SIZE, interpolation=cv2.INTER_NEAREST) for m in stage.masks()])
    frames = range(stage.FRAMES)
    found = []
    with tempfile.TemporaryDirectory() as name:
        for title, how in (
            ("flat ground, a shadow", {"shaded": True}),
            ("two depths, a shadow", {"shaded": True, "deep": True}),
            ("flat ground, beside a stranger", {"accompanied": True}),
        ):
            clip = np.stack([large(stage.picture(t, **how)) for t in frames])
            truth = np.stack([large(stage.picture(t, drawn=False, **how)) for t in frames])
            print(f"{title}, {SIZE[0]}x{SIZE[1]}, {len(clip)} frames")
            print(f"  {'':28}" + "".join(f"{h:>9}" for h in ("hole", "effect", "keep", "flicker", "frames/s")))
            ours = Ours(Path(name), truth)
            last: list[np.ndarray] = []
            for label, make in (
                ("Telea, frame by frame", inpaint(cv2.INPAINT_TELEA)),
                ("NS, frame by frame", inpaint(cv2.INPAINT_NS)),
                ("median after homography", median),
                ("vremove, effects off", Ours(Path(name), truth, effects="off")),
                ("vremove", lambda c, m, ours=ours, last=last: last.append(ours(c, m)) or last[0]),
                ("vremove, the truth's motion", Ours(Path(name), truth, oracle=True)),
            ):
                row(label, make, clip, truth, masks)
            found.append((ours, last[0], truth))
            if asked.pictures:
                asked.pictures.mkdir(parents=True, exist_ok=True)
                write_worst(asked.pictures / f"{title.replace(',', '').replace(' ', '-')}.png", clip, last[0], truth)
        if asked.curve:
            curve(found)


if __name__ == "__main__":
    main()
