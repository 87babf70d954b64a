"""Picture and masks on drawn scenes with known truth, beside the median of aligned frames, in one table by kind.

    python tests/benchmarks/scenes.py FOLDER [--only s0003 s0007] [--limit N] [--prompt mask|point|box]
                                      [--part all|picture|masks] [--json FILE]

FOLDER holds scenes: sNNNN/input.mp4, truth.mp4 (without the object and its shadow), mask.mp4, and meta.json with point,
box and kind (camera, shadow, body, travel, ...). Runs the real `vremove erase` with what --prompt names, and `vremove
mask` from the point and from the box. One line a scene, over the whole clip:
  hole, effect   dB against the truth inside the object's mask, and where its shadow or reflection falls
  keep           dB against the input where the object changed nothing
  sharp          energy of the Laplacian inside the mask, output over truth
  median         hole and effect of the baseline: the median of up to 32 frames aligned by similarities, the exposure
                 matched, without masked pixels; Telea where no frame shows the background
  J point, J box mean overlap (intersection over union) with the true mask
  s              seconds of `vremove erase`, start-up included
Then the means for each value of each kind; the share of effects removed (30 dB) among shadows that travel 1.5 widths
before a camera that does not whip; the hole against the median on static scenes; how often recovered pixels are right
(within 12 levels); and how often frames that are named as doubtful have a wrong mask (J < .65) or a good one (J > .8).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.aligned_median import aligned_median, grown
from vremove_cli.job.composite import plate_patches
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip
from vremove_cli.plate.confidence import recovered_mask

COLUMNS = ("hole", "effect", "keep", "sharp", "median_hole", "median_effect", "j_point", "j_box", "seconds")
TITLES = ("hole", "effect", "keep", "sharp", "median", "effect", "J point", "J box", "s")
CRF = "8"  # nearly lossless, so that `keep` is not the encoder's
RIGHT = 12  # 8-bit levels within which a pixel is right
REMOVED = 30  # dB from which an effect counts as removed
WRONG, GOOD = 0.65, 0.8  # J below which a frame should be doubted, and above which it should not


@dataclass
class Scene:
    """A scene of the folder, decoded: clip and truth (T, H, W, 3) uint8, the object's mask (T, H, W) bool."""

    path: Path
    meta: dict[str, Any]
    clip: np.ndarray
    truth: np.ndarray
    mask: np.ndarray

    @classmethod
    def load(cls, path: Path) -> "Scene":
        """Decode a scene's three clips."""
        clip, truth = (pictures(path / f"{name}.mp4") for name in ("input", "truth"))
        mask = pictures(path / "mask.mp4")[..., 0] > 127
        return cls(path, json.loads((path / "meta.json").read_text()), clip, truth, mask)

    @property
    def effect(self) -> np.ndarray:
        """Where the object's shadow or reflection falls: outside the mask, and far from the truth."""
        difference = (self.clip.astype(np.float32) - self.truth) / 255
        return (np.sqrt((difference**2).sum(axis=3)) > 0.1) & ~grown(self.mask, 3)

    @property
    def same(self) -> np.ndarray:
        """What the object did not change."""
        return (np.abs(self.clip.astype(np.int16) - self.truth).max(axis=3) <= 2) & ~grown(self.mask, 8)


@dataclass
class Row:
    """What was measured on one scene; a field that was not measured is NaN.

    `right`, `recovered` and `both` count pixels of the plate; `doubts` counts frames by (named, wrong), (named, good),
    (silent, wrong) and (silent, good); `strict` says whether --strict refuses the masks, by prompt.
    """

    name: str
    kind: dict[str, Any]
    hole: float = np.nan
    effect: float = np.nan
    keep: float = np.nan
    sharp: float = np.nan
    median_hole: float = np.nan
    median_effect: float = np.nan
    j_point: float = np.nan
    j_box: float = np.nan
    seconds: float = np.nan
    shares: tuple[float, ...] = ()
    right: int = 0
    recovered: int = 0
    both: int = 0
    doubts: dict[str, int] = field(default_factory=dict)
    strict: dict[str, bool] = field(default_factory=dict)


def pictures(path: Path) -> np.ndarray:
    return np.stack([f.rgb8() for f in open_clip(str(path)).frames()])


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    if not where.any():
        return float("nan")
    error = (a[where].astype(np.float32) - b[where]) ** 2
    return float(10 * np.log10(255**2 / max(float(error.mean()), 1e-6)))


def sharpness(clip: np.ndarray, where: np.ndarray) -> float:
    """Energy of the Laplacian of the luma."""
    grays = (cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(np.float32) for f in clip)
    return sum(float((cv2.Laplacian(g, cv2.CV_32F)[w] ** 2).sum()) for g, w in zip(grays, where, strict=True))


def vremove(*arguments: str) -> dict[str, Any]:
    """Run a command of this checkout and return the object that it prints; raises `RuntimeError`."""
    command = [sys.executable, "-m", "vremove_cli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError((done.stdout or done.stderr).strip().splitlines()[-1:])
    return dict(json.loads(done.stdout))


def prompt(scene: Scene, kind: str) -> list[str]:
    """The option that says what is erased."""
    if kind == "mask":
        return ["--mask", str(scene.path / "mask.mp4")]
    return [f"--{kind}", ",".join(str(v) for v in scene.meta[kind])]


def measure_picture(scene: Scene, kind: str, folder: Path, row: Row) -> None:
    """Erase the object and compare with the truth and with the baseline."""
    target, work = folder / f"{row.name}.mp4", folder / row.name
    source, started = str(scene.path / "input.mp4"), time.perf_counter()
    files = ["-o", str(target), "--work", str(work), "--keep-work", "--overwrite"]
    said = vremove("erase", source, *prompt(scene, kind), *files, "--crf", CRF)
    row.seconds = time.perf_counter() - started
    out, effect = pictures(target), scene.effect
    row.hole, row.effect = (psnr(out, scene.truth, where) for where in (scene.mask, effect))
    row.keep = psnr(out, scene.clip, scene.same)
    row.sharp = sharpness(out, scene.mask) / max(sharpness(scene.truth, scene.mask), 1e-6)
    row.shares = tuple(round(said[name], 4) for name in ("recovered", "doubtful", "unseen"))
    count_calibration(scene, out, work, row)
    baseline = aligned_median(scene.clip, scene.mask, scene.mask | effect)
    row.median_hole, row.median_effect = (psnr(baseline, scene.truth, where) for where in (scene.mask, effect))


def count_calibration(scene: Scene, out: np.ndarray, work: Path, row: Row) -> None:
    """Count the plate's pixels that are right, that it calls recovered, and both."""
    for t, plate in plate_patches(Plan.load(work / "plan.json"), WorkFolder(work), 0, len(out)):
        if plate is None:
            continue
        part = plate.patch.box.slices
        counted = (plate.patch.matte == 255) & (plate.confidence > 0)
        right = np.abs(out[t][part].astype(np.int16) - scene.truth[t][part]).max(axis=2) <= RIGHT
        recovered = recovered_mask(plate.confidence)
        row.right += int((right & counted).sum())
        row.recovered += int((recovered & counted).sum())
        row.both += int((right & recovered & counted).sum())


def measure_masks(scene: Scene, folder: Path, row: Row) -> None:
    """Track the object from the point and from the box and compare with the true mask."""
    for kind in ("point", "box"):
        target = folder / f"{row.name}.{kind}.mkv"
        files = ["-o", str(target), "--overwrite", "--no-keep-work"]
        said = vremove("mask", str(scene.path / "input.mp4"), *prompt(scene, kind), *files)
        found = [m > 127 for m in read_gray(target)]
        overlaps = [overlap(m, truth) for m, truth in zip(found, scene.mask, strict=True)]
        setattr(row, f"j_{kind}", float(np.mean(overlaps)))
        row.strict[kind] = bool(said["doubts"])
        named = doubted_frames(said["warnings"])
        for t, j in enumerate(overlaps):
            if j < WRONG or j > GOOD:
                what = f"{'named' if t in named else 'silent'} {'wrong' if j < WRONG else 'good'}"
                row.doubts[what] = row.doubts.get(what, 0) + 1


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b)) if (a | b).any() else 1.0


def doubted_frames(warnings: Iterable[dict[str, Any]]) -> set[int]:
    """The frames that are called uncertain, or on which the object was not found."""
    spans = (span for w in warnings if w["kind"] in ("uncertain", "not_found") for span in w["frames"])
    return {t for low, high in spans for t in range(low, high + 1)}


def mean(values: Iterable[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")


def line(name: str, values: Iterable[float]) -> str:
    cells = ("-" if not np.isfinite(v) else f"{v:.2f}" for v in values)
    return f"{name:24}" + "".join(f"{c:>8}" for c in cells)


def print_kinds(rows: list[Row]) -> None:
    """The means for each value of each kind."""
    print("\n" + line("mean of all", [mean(getattr(r, c) for r in rows) for c in COLUMNS]))
    for tag in rows[0].kind:
        for value in sorted({r.kind[tag] for r in rows}, key=str):
            own = [r for r in rows if r.kind[tag] == value]
            print(line(f"{tag} {value} ({len(own)})", [mean(getattr(r, c) for r in own) for c in COLUMNS]))


def print_totals(rows: list[Row]) -> None:
    """The figures that are judged over all scenes."""
    cast = [r for r in rows if r.kind["shadow"] != "none" and r.kind["travel"] >= 1.5 and r.kind["camera"] != "whip"]
    effects = [(r.effect, r.median_effect) for r in cast if np.isfinite(r.effect)]
    for who, k in (("ours", 0), ("median", 1)):
        removed = sum(e[k] >= REMOVED for e in effects)
        print(f"effects removed ({REMOVED} dB), {who}: {removed} of {len(effects)}")
    print(f"least keep: {min((r.keep for r in rows if np.isfinite(r.keep)), default=np.nan):.2f} dB")
    gains = {r.name: r.hole - r.median_hole for r in rows if r.kind["camera"] == "static"}
    gains = {name: gain for name, gain in gains.items() if np.isfinite(gain)}
    if gains:
        each = ", ".join(f"{name} {gain:+.1f}" for name, gain in gains.items())
        print(f"hole minus median, static camera: least {min(gains.values()):+.2f} dB ({each})")
    right, recovered, both = (sum(getattr(r, n) for r in rows) for n in ("right", "recovered", "both"))
    if right:
        print(f"pixels called recovered that are right: {both / max(1, recovered):.1%} of {recovered}")
        print(f"right pixels that are called so: {both / right:.1%} of {right}")
    for name in ("j_point", "j_box"):
        known = [getattr(r, name) for r in rows if np.isfinite(getattr(r, name))]
        if known:
            print(f"{name}: mean {np.mean(known):.3f}, below .5 on {sum(j < 0.5 for j in known)} of {len(known)}")
    kinds = ("named wrong", "silent wrong", "named good", "silent good")
    named = {what: sum(r.doubts.get(what, 0) for r in rows) for what in kinds}
    wrong, good = named["named wrong"] + named["silent wrong"], named["named good"] + named["silent good"]
    if wrong + good:
        hit, alarm = named["named wrong"] / max(1, wrong), named["named good"] / max(1, good)
        print(f"doubt: {hit:.0%} of {wrong} wrong frames are named, {alarm:.1%} of {good} good frames")
    clips = [(getattr(r, f"j_{kind}"), strict) for r in rows for kind, strict in r.strict.items()]
    for what, kept in (("wrong", [s for j, s in clips if j < WRONG]), ("good", [s for j, s in clips if j > GOOD])):
        if kept:
            print(f"--strict refuses {sum(kept)} of {len(kept)} {what} masks")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--only", nargs="+", default=[])
    options.add_argument("--limit", type=int)
    options.add_argument("--prompt", choices=("mask", "point", "box"), default="mask")
    options.add_argument("--part", choices=("all", "picture", "masks"), default="all")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    names = sorted(p.parent for p in given.folder.glob("*/meta.json") if not given.only or p.parent.name in given.only)
    rows = []
    print(f"{'':24}" + "".join(f"{t:>8}" for t in TITLES))
    with tempfile.TemporaryDirectory() as name:
        for path in names[: given.limit]:
            scene = Scene.load(path)
            row = Row(path.name, scene.meta["kind"])
            try:
                if given.part != "masks":
                    measure_picture(scene, given.prompt, Path(name), row)
                if given.part != "picture":
                    measure_masks(scene, Path(name), row)
            except RuntimeError as error:
                print(f"{row.name}: {error}")
            rows.append(row)
            print(line(row.name, [getattr(row, c) for c in COLUMNS]), flush=True)
    if not rows:
        sys.exit(f"no scenes in {given.folder}")
    print_kinds(rows)
    print_totals(rows)
    if given.json:
        given.json.write_text(json.dumps([asdict(r) for r in rows], indent=1))


if __name__ == "__main__":
    main()
