"""How well `vremove score` ranks results on drawn scenes, by its overall number and by each measure alone.

    python tests/benchmarks/score.py FOLDER [--results FOLDER] [--seeds all|even|odd] [--mask true|point] [--json FILE]

FOLDER holds scenes as `tests/benchmarks/scenes.py` reads them. Of each there are four results: the truth, what `vremove
erase` makes with the true mask, Telea's inpainting frame by frame, and the untouched clip. A good score ranks them in
this order; no score sees the truth. The picture is not always in this order: where erasing fails, it can be worse than
Telea. So every rate is given twice, against this order and against the order of the PSNR in the hole.
  truth>ours ...  share of the scenes in which the score ranks the pair so
  all             share in which it ranks all four so
  PSNR ...        share in which it ranks the pair as the PSNR does; `clear`: ours and Telea, if 1 dB or more apart
`--seeds odd` leaves out what the measures were tuned on. `--mask point` measures with the mask that the tracker finds
from the scene's point. Results stay in --results, and are used again.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

from scenes import CRF, Scene, vremove

from support.aligned_median import grown
from support.clips import write_clip
from vremove_cli import threads
from vremove_cli.job.scoring import Material, score_result
from vremove_cli.quality.score import Score

ORDER = ("truth", "ours", "telea", "untouched")
PAIRS = tuple(zip(ORDER, ORDER[1:], strict=False))
CLEAR = 1.0  # dB between two results that one sees
Scores = dict[str, dict[str, Score]]  # by scene and by result
Value = Callable[[Score], float]


def results_of(path: Path, folder: Path) -> dict[str, Path]:
    """The four results of a scene; those that are missing are made in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    ours, telea = folder / "ours.mp4", folder / "telea.mp4"
    if not ours.exists():
        files = ("-o", str(ours), "--mask", str(path / "mask.mp4"), "--overwrite")
        vremove("erase", str(path / "input.mp4"), *files, "--crf", CRF)
    if not telea.exists():
        scene = Scene.load(path)
        holes = grown(scene.mask, 4).astype(np.uint8)
        filled = [cv2.inpaint(f, hole, 5, cv2.INPAINT_TELEA) for f, hole in zip(scene.clip, holes, strict=True)]
        height, width = holes.shape[1:]
        write_clip(
            telea, size=(width, height), frames=len(filled), picture=lambda t, *_: filled[t], options={"crf": CRF}
        )
    return {"truth": path / "truth.mp4", "ours": ours, "telea": telea, "untouched": path / "input.mp4"}


def mask_of(path: Path, folder: Path, kind: str) -> Path:
    """The mask to measure with: the true one, or what the tracker finds from the scene's point."""
    if kind == "true":
        return path / "mask.mp4"
    target = folder / "point.mkv"
    if not target.exists():
        point = ",".join(map(str, json.loads((path / "meta.json").read_text())["point"]))
        vremove("mask", str(path / "input.mp4"), "--point", point, "-o", str(target), "--no-keep-work")
    return target


def values() -> dict[str, Value]:
    """The overall number and each measure alone, larger for a better result; a measure that is None is 0."""

    def ratio(name: str) -> Value:
        def value(score: Score) -> float:
            found = getattr(score, name)
            return 0.0 if not found else min(found, 1 / found)

        return value

    ratios = ("warp_error", "flicker", "sharpness", "grain", "seam")
    return {
        "overall": lambda s: s.overall,
        "still_there": lambda s: -s.still_there,
        "background": lambda s: s.background or 0.0,
        **{name: ratio(name) for name in ratios},
        "outside_kept": lambda s: s.outside_kept or 0.0,
    }


def print_rates(scores: Scores) -> None:
    """A line for each measure."""
    titles = [*(f"{a}>{b}" for a, b in PAIRS), "all", *(f"PSNR {k}" for k in range(1, 4)), "clear"]
    print(f"\n{'':14}" + "".join(f"{t:>17}" for t in titles))
    for name, value in values().items():
        print(f"{name:14}" + "".join(f"{x:17.2f}" for x in rates(scores, value)))


def rates(scores: Scores, value: Value) -> list[float]:
    """The shares that the titles name."""
    ranked = {n: [value(s[a]) > value(s[b]) for a, b in PAIRS] for n, s in scores.items()}
    better = {n: [decibels(s[a]) > decibels(s[b]) for a, b in PAIRS] for n, s in scores.items()}
    right = np.array([ranked[n] for n in scores])
    alike = right == np.array([better[n] for n in scores])
    clear = [alike[k, 1] for k, s in enumerate(scores.values()) if gap(s) >= CLEAR]
    return [*right.mean(axis=0), right.all(axis=1).mean(), *alike.mean(axis=0), float(np.mean(clear))]


def decibels(score: Score) -> float:
    assert score.psnr is not None
    return score.psnr


def gap(results: dict[str, Score]) -> float:
    return abs(decibels(results["ours"]) - decibels(results["telea"]))


def print_failures(scores: Scores) -> None:
    """Scenes that are not ranked as they should be, the worst first."""
    lines = []
    for name, results in scores.items():
        steps = [results[a].overall - results[b].overall for a, b in PAIRS]
        if min(steps) <= 0:
            each = ", ".join(f"{k} {s.overall:.1f} ({decibels(s):.1f} dB)" for k, s in results.items())
            lines.append((min(steps), f"{name}: {each}"))
    print(f"\nranked otherwise, {len(lines)} of {len(scores)}, the worst first:")
    print("\n".join(line for _, line in sorted(lines)) or "none")
    as_psnr = [r for r in scores.values() if all(decibels(r[a]) > decibels(r[b]) for a, b in PAIRS)]
    right = sum(all(r[a].overall > r[b].overall for a, b in PAIRS) for r in as_psnr)
    print(f"of the {len(as_psnr)} scenes whose PSNRs are in this order, {right} are ranked so")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--results", type=Path)
    options.add_argument("--seeds", choices=("all", "even", "odd"), default="all")
    options.add_argument("--mask", choices=("true", "point"), default="true")
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    wanted = {"all": (0, 1), "even": (0,), "odd": (1,)}[given.seeds]
    given.results = given.results and given.results.resolve()
    names = [
        p.parent for p in sorted(given.folder.resolve().glob("*/meta.json")) if int(p.parent.name[1:]) % 2 in wanted
    ]
    if not names:
        sys.exit(f"no scenes in {given.folder}")
    scores: Scores = {}
    frames, began = 0, 0.0
    with tempfile.TemporaryDirectory() as scratch, threads.limited(1):
        for path in names:
            folder = (given.results or Path(scratch)) / path.name
            results, mask = results_of(path, folder), mask_of(path, folder, given.mask)
            began -= time.perf_counter()
            scores[path.name] = {
                name: score_result(
                    Material(str(result), str(path / "input.mp4"), str(mask), truth=str(path / "truth.mp4"))
                )
                for name, result in results.items()
            }
            began += time.perf_counter()
            frames += sum(score.frames for score in scores[path.name].values())
            found = "  ".join(f"{n} {s.overall:5.1f} ({decibels(s):4.1f} dB)" for n, s in scores[path.name].items())
            print(f"{path.name}  {found}", flush=True)
    print_rates(scores)
    print_failures(scores)
    print(f"{began / frames:.3f} s a frame on one core, reading included")
    if given.json:
        given.json.write_text(
            json.dumps({n: {k: asdict(s) for k, s in r.items()} for n, r in scores.items()}, indent=1)
        )


if __name__ == "__main__":
    main()
