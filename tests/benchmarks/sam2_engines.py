"""Both engines of SAM 2, transformers and the authors' package, with the same weights on the same drawn frames.

    python tests/benchmarks/sam2_engines.py FOLDER [--full] [--weights FILE.pt] [--python PYTHON]

The script makes an environment in FOLDER, installs vremove and the sam2 package there by the recipe of docs/masks.md,
runs the package's tests, and prints the overlap (IoU) of the masks and the largest difference of their logits:

- a tiny network with random weights: clicks, a box, a correction, backward, in a short clip;
- the same against the authors' own sessions, with a configuration of its own: every third frame is remembered;
- --full: the tiny size of SAM 2.1 with random weights, as a folder with the names of transformers and without a YAML;
- --weights: a checkpoint of the authors', such as sam2.1_hiera_tiny.pt.

The last two take seconds for each frame on a CPU. --python is used in place of a new environment.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "golden")]

from support.disc import iou
from support.sam2_engines import follow, sight_of, write_fine_tune
from support.twins import golden, golden_frames, sam2_model
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.tracking.base import Tracker

# The recipe of docs/masks.md; the package's video predictor does without torchvision.
RECIPE = (
    ["setuptools", "wheel", "hydra-core==1.3.8", "iopath==0.1.10"],
    ["--no-deps", "--no-build-isolation", "sam2==1.1.0"],
)
# Golden prompts, and frames in the order of travel.
TINY: dict[str, tuple[str, range]] = {
    "a click, forward": ("forward", range(20)),
    "a box and a click beside it": ("box", range(20)),
    "two clicks, backward": ("middle", range(12, -1, -1)),
    "a click and a correction": ("corrected", range(20)),
    "a short clip": ("short", range(6)),
}
# Of the full size: clicks in the middle, then on to a correction, and back from it over the first frame.
CLICKS: list[dict[str, Any]] = [
    {"frame": 2, "points": [[38.0, 42.0]], "labels": [1], "box": None},
    {"frame": 4, "points": [[52.0, 48.0], [96.0, 92.0]], "labels": [1, 0], "box": None},
]
ORDER = (2, 3, 4, 3, 2, 1, 0)

Found = list[tuple[int, np.ndarray]]


@dataclass(frozen=True)
class Agreement:
    """How far two engines agree on a scenario.

    Attributes:
        overlaps: IoU of the masks of each frame.
        difference: Largest difference of logits.
        spread: Standard deviation of the logits.
    """

    overlaps: list[float]
    difference: float
    spread: float

    @classmethod
    def of(cls, one: Found, other: Found) -> "Agreement":
        pairs = [(a, b) for (_, a), (_, b) in zip(one, other, strict=True)]
        overlaps = [iou(a > 0, b > 0) if (a > 0).any() or (b > 0).any() else 1.0 for a, b in pairs]
        return cls(overlaps, max(float(np.abs(a - b).max()) for a, b in pairs), float(np.std([b for _, b in pairs])))

    def row(self, name: str) -> str:
        good = sum(v > 0.99 for v in self.overlaps)
        share = f"{good}/{len(self.overlaps)}"
        return f"{name:34} {share:>7} {min(self.overlaps):9.4f} {self.difference:11.2e} {self.spread:10.2e}"


def head() -> str:
    return f"{'scenario':34} {'> 0.99':>7} {'least IoU':>9} {'logits diff':>11} {'logits std':>10}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--python", type=Path, help="a Python with the sam2 package")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        return compare(asked.folder, full=asked.full, weights=asked.weights)
    asked.folder.mkdir(parents=True, exist_ok=True)
    python = asked.python or install(asked.folder / "venv")
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    tests = [str(HERE.parent / "tracking" / "test_sam2_package.py")]
    for command in ([python, "-m", "pytest", "-q", *tests], [python, __file__, *sys.argv[1:], "--inside"]):
        done = subprocess.run([str(c) for c in command], env=environment, cwd=HERE.parents[1])
        if done.returncode:
            return done.returncode
    return 0


def install(venv: Path) -> Path:
    """Make an environment with vremove, its tests' needs and the sam2 package; return its Python."""
    began, python = time.monotonic(), venv / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    environment = {**os.environ, "SAM2_BUILD_CUDA": "0"}
    for packages in ([f"{HERE.parents[1]}[test]"], *RECIPE):
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True, env=environment)
    print(f"{venv}: made in {time.monotonic() - began:.0f} s", flush=True)
    return python


def compare(folder: Path, *, full: bool, weights: Path | None) -> int:
    """Print how far the engines agree; return 1 if a tiny network's masks do not."""
    from importlib.metadata import version

    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    print(f"sam2 {version('sam2')}, transformers {version('transformers')}, torch {torch.__version__}")
    print(head())
    rows = []
    for name, agreement in [*tiny(folder), *own_configuration()]:
        print(agreement.row(name), flush=True)
        rows.append(agreement)
    for name, path in (("full size, random weights", random_full(folder) if full else None), ("as given", weights)):
        if path is not None:
            print(full_size(str(path)).row(name), flush=True)
    overlaps = [v for agreement in rows for v in agreement.overlaps]
    good = float(np.mean([v > 0.99 for v in overlaps]))
    print(f"tiny networks: masks equal (IoU above 0.99) on {good:.1%} of {len(overlaps)} frames")
    return int(good < 0.95)


def tiny(folder: Path) -> Iterator[tuple[str, Agreement]]:
    """Both trackers with the golden file's network."""
    from vremove_cli.networks.sam2_package import load_predictor
    from vremove_cli.tracking.sam2 import Sam2Tracker
    from vremove_cli.tracking.sam2_package import Sam2PackageTracker

    package, other = load_predictor(str(write_fine_tune(folder / "tiny")), "cpu"), sam2_model()
    for name, (prompts, order) in TINY.items():
        given, frames = golden("sam2_tiny")[1]["prompts"][prompts], 6 if prompts == "short" else 20
        one = follow(Sam2PackageTracker(package, frames), given, order)
        two = follow(Sam2Tracker(other, frames), given, order)
        yield name, Agreement.of(*([(t, logits) for t, (logits, _) in found.items()] for found in (one, two)))


def own_configuration() -> Iterator[tuple[str, Agreement]]:
    """The tracker of the package against the authors' sessions, with a configuration that transformers has not."""
    import make_sam2

    from vremove_cli.tracking.sam2_package import Sam2PackageTracker

    model, _ = make_sam2.make_model()
    model.memory_temporal_stride_for_eval = 3
    images = make_sam2.normalise(golden_frames())
    for name, order in (("forward", range(20)), ("middle", range(12, -1, -1))):
        options = {"start_frame_idx": 12, "reverse": True} if name == "middle" else {}
        authors = make_sam2.run_plain(model, images, name, order, **options)["masks"]
        found = follow(Sam2PackageTracker(model, 20), golden("sam2_tiny")[1]["prompts"][name], order)
        pairs = [(t, found[t][0]) for t in order], list(zip(order, authors, strict=True))
        yield f"every third, authors' session, {'back' if options else 'on'}", Agreement.of(*pairs)


def random_full(folder: Path) -> Path:
    """A folder as on the Hub, with SAM 2.1 of the tiny size and random weights; returns its path."""
    import torch
    from transformers import Sam2VideoConfig, Sam2VideoModel

    torch.manual_seed(1)
    model: Any = Sam2VideoModel(Sam2VideoConfig())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # the usual start is so small that nothing depends on the input
                parameter.normal_(0, parameter[0].numel() ** -0.5)
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(
            model.shared_image_embedding.positional_embedding
        )
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(6)  # the object is there
    model.save_pretrained(folder / "full")
    return folder / "full"


def full_size(path: str) -> Agreement:
    """Both engines with weights of a full size, forward, over a correction and back."""
    from vremove_cli.tracking.registry import TrackerChoice, make_tracker
    from vremove_cli.weights.catalogue import catalogue
    from vremove_cli.weights.store import Checkpoint

    checkpoint = Checkpoint(catalogue()["sam2-tiny"], path)
    engines = ("sam2", "transformers")
    choices = [TrackerChoice("sam2-tiny", "", checkpoint=checkpoint, engine=engine) for engine in engines]
    one, two = (travelled(make_tracker(choice, Arithmetic(), 20)) for choice in choices)
    return Agreement.of(one, two)


def travelled(tracker: Tracker) -> Found:
    """Mask logits of the frames of `ORDER`, enlarged as the network wants them."""
    import cv2

    from support.sam2_engines import clicks_of

    given, state, out = {p["frame"]: clicks_of(p) for p in CLICKS}, None, []
    asked = set(given)
    for t in ORDER:
        sight = sight_of(t, lambda rgb: cv2.resize(rgb, tracker.input_size, interpolation=cv2.INTER_LINEAR))
        if state is None:
            state, _ = tracker.begin(sight, given[t])
        elif t in asked:
            state, _ = tracker.correct(sight, state, given[t])
        else:
            state, _ = tracker.propagate(sight, state)
        asked.discard(t)
        last: Any = state
        out.append((t, last.memories[-1].outputs["pred_masks"].float().squeeze().numpy()))
    return out


if __name__ == "__main__":
    sys.exit(main())
