"""Painted keyframes carried to the other frames of drawn scenes, with a painter that knows the truth.

    python tests/benchmarks/carrying.py FOLDER [--only s0003 s0007] [--frames FOLDER]

FOLDER holds scenes as `scenes.py` reads them; the object should hardly move, so that no frame shows what it hides. The
painter paints the true pixels of the keyframe. One line a scene, inside the object's mask:
  carried   dB of the result against the truth
  ideal     dB of the true keyframe, carried by the optical flow of the truth: what carrying could reach
  plate     dB of the default remover
  flicker   mean change from frame to frame, result over truth: 1 is best; of the plate beside it
  keys      keyframes that were painted
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.oracle_painter import OraclePainter, oracle_painter
from vremove_cli import erase
from vremove_cli.media.read import open_clip

CRF = 4  # nearly lossless, so that the differences are not the encoder's


def frames(path: Path) -> np.ndarray:
    """A clip's pictures (T, H, W, 3) uint8."""
    clip = open_clip(str(path))
    return np.stack([frame.rgb8() for frame in clip.frames(0, clip.info.frames)])


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """Of two clips (T, H, W, 3) in a mask (T, H, W)."""
    error = float(np.square(a[where].astype(np.float32) - b[where]).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def change(clip: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute change from frame to frame in both frames' masks."""
    both = where[1:] & where[:-1]
    return float(np.abs(np.diff(clip.astype(np.int16), axis=0))[both].mean())


def carried_by_truth(truth: np.ndarray, key: int) -> np.ndarray:
    """The truth's keyframe, carried to all frames by the optical flow of the truth itself."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grays = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in truth]
    rows, columns = np.mgrid[: truth.shape[1], : truth.shape[2]].astype(np.float32)
    out = []
    for gray in grays:
        moved = flow.calc(gray, grays[key], None)
        x, y = columns + moved[..., 0], rows + moved[..., 1]
        out.append(cv2.remap(truth[key], x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(out)


def measure(scene: Path, looks: Path | None) -> dict[str, float]:
    """One scene's figures."""
    truth, mask = frames(scene / "truth.mp4"), frames(scene / "mask.mp4")[..., 0] > 127
    results, keys = {}, list[int]()
    for remover in ("oracle-painter", "plate"):
        with tempfile.TemporaryDirectory() as folder, oracle_painter(scene / "truth.mp4"):
            output = Path(folder) / "out.mp4"
            erase(str(scene / "input.mp4"), output=str(output), mask=str(scene / "mask.mp4"), remover=remover,
                  effects="off", crf=CRF)  # fmt: skip
            results[remover] = frames(output)
            keys = keys or [*dict.fromkeys(OraclePainter.painted)]
    if looks is not None:
        worst = int(((results["oracle-painter"].astype(int) - truth) ** 2 * mask[..., None]).sum((1, 2, 3)).argmax())
        row = np.hstack([c[worst] for c in (frames(scene / "input.mp4"), truth, results["oracle-painter"])])
        cv2.imwrite(str(looks / f"{scene.name}-{worst}.png"), row[..., ::-1])
    ideal = carried_by_truth(truth, keys[0] if keys else len(truth) // 2)
    still = change(truth, mask)
    return {
        "carried": psnr(results["oracle-painter"], truth, mask), "ideal": psnr(ideal, truth, mask),
        "plate": psnr(results["plate"], truth, mask),
        "flicker": change(results["oracle-painter"], mask) / still,
        "flicker of plate": change(results["plate"], mask) / still, "keys": len(keys),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--frames", type=Path)
    given = parser.parse_args()
    if given.frames:
        given.frames.mkdir(parents=True, exist_ok=True)
    rows = []
    for scene in sorted(p for p in given.folder.iterdir() if p.is_dir() and (not given.only or p.name in given.only)):
        kind = json.loads((scene / "meta.json").read_text())["kind"]
        row = measure(scene, given.frames)
        rows.append(row)
        told = "  ".join(f"{k} {v:.2f}" for k, v in row.items())
        print(f"{scene.name}  {told}  {kind['camera']} {kind['ground']} noise {kind['noise']}", flush=True)
    good = [r["carried"] >= r["ideal"] - 1 for r in rows]
    calm = [0.9 <= r["flicker"] <= 1.1 for r in rows]
    print(f"{sum(good)} of {len(rows)} within 1 dB of ideal or above it; {sum(calm)} with a flicker of .9 to 1.1")


if __name__ == "__main__":
    main()
