"""Quality and speed of the tracker without weights, beside optical flow alone.

    python tests/benchmarks/tracker.py            the table of docs/masks.md
    python tests/benchmarks/tracker.py --speed    frames a second at 640x360 and 1280x720

Two drawn clips with known masks: examples/make_clip.py (a ball and its shadow) and examples/make_crossing.py (a walker
who passes a double). J is the mean overlap (intersection over union) with the true mask. `flow alone` carries the true
first mask along OpenCV's DIS flow, which is the floor for speed too: one flow a frame, nothing else.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples"), str(ROOT)]

import vremove_cli
from vremove_cli.option_types import MaskOptions

SMALLEST = 200  # pixels of a true mask below which a frame is not counted


def drawn(folder: Path) -> dict[str, tuple[Path, np.ndarray]]:
    """Clips and their true masks (T, H, W) bool."""
    import make_clip
    import make_crossing

    empty = make_clip.street(np.random.default_rng(3))
    frames = range(make_clip.FRAMES)
    size = (make_clip.WIDTH, make_clip.HEIGHT)
    ball = [cv2.circle(np.zeros(empty.shape[:2], np.float32), tuple(round(v) for v in make_clip.place(t)),
                       make_clip.RADIUS, 1.0, -1) for t in frames]  # fmt: skip
    crossing = [make_crossing.scene(empty, t) for t in frames]
    pictures = {"street": [make_clip.with_ball(empty, t) for t in frames], "crossing": [p for p, _ in crossing]}
    masks = {"street": ball, "crossing": [m for _, m in crossing]}
    out = {}
    for name, scenes in pictures.items():
        path = folder / f"{name}.mp4"
        make_crossing.write(path, (make_clip.frame(p, t) for t, p in enumerate(scenes)), "libx264", "yuv420p")
        truth = np.stack([cv2.warpAffine(m, make_clip.camera(t), size) for t, m in enumerate(masks[name])]) > 0.5
        out[name] = (path, truth)
    return out


def prompts(mask: np.ndarray) -> dict[str, MaskOptions]:
    """A point in the middle of the first mask's thickest part, and the box round it, as options."""
    inner = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(inner.argmax(), inner.shape)
    rows, columns = np.nonzero(mask)
    box = f"{columns.min()},{rows.min()},{columns.max() + 1},{rows.max() + 1}"
    return {"point": {"point": f"{x},{y}"}, "box": {"box": box}}


def overlaps(found: Iterator[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """IoU of each frame whose true mask is large enough."""
    pairs = [(m, t) for m, t in zip(found, truth, strict=True) if np.count_nonzero(t) >= SMALLEST]
    return np.array([np.count_nonzero(m & t) / np.count_nonzero(m | t) for m, t in pairs])


def flow_alone(path: Path, first: np.ndarray) -> Iterator[np.ndarray]:
    """The first mask carried along DIS flow."""
    from vremove_cli.media.read import open_clip
    from vremove_cli.motion.flow import dense_flow, warp_by_flow

    mask, before = first.astype(np.float32), None
    for frame in open_clip(str(path)).frames():
        gray = frame.gray()
        if before is not None:
            mask = warp_by_flow(mask, dense_flow(gray, before))
        before = gray
        yield mask > 0.5


def quality(clips: dict[str, tuple[Path, np.ndarray]], folder: Path) -> None:
    from vremove_cli.media.ffv1 import read_gray

    print("| clip | from | J, first frame | J, mean | J, worst tenth |\n|---|---|---|---|---|")
    for name, (path, truth) in clips.items():
        for kind, options in prompts(truth[0]).items():
            vremove_cli.mask(str(path), str(folder / "m.mkv"), overwrite=True, keep_work=False, **options)
            row(name, f"one {kind}", overlaps((m > 127 for m in read_gray(folder / "m.mkv")), truth))
        row(name, "true mask, flow alone", overlaps(flow_alone(path, truth[0]), truth))


def row(name: str, source: str, j: np.ndarray) -> None:
    print(f"| {name} | {source} | {j[0]:.2f} | {j.mean():.2f} | {np.sort(j)[: max(1, len(j) // 10)].mean():.2f} |")


def enlarged(path: Path, target: Path, size: tuple[int, int]) -> Path:
    """The clip at another size."""
    import make_crossing

    from vremove_cli.media.read import open_clip

    make_crossing.WIDTH, make_crossing.HEIGHT = size
    pictures = (cv2.resize(f.rgb8(), size, interpolation=cv2.INTER_CUBIC) for f in open_clip(str(path)).frames())
    make_crossing.write(target, pictures, "libx264", "yuv420p")
    return target


def speed(clips: dict[str, tuple[Path, np.ndarray]], folder: Path) -> None:

    print("| size | tracker, frames/s | flow alone, frames/s | flow's speed over ours |\n|---|---|---|---|")
    path, truth = clips["street"]
    for size in ((640, 360), (1280, 720)):
        scale = size[0] // 640
        clip = path if scale == 1 else enlarged(path, folder / "large.mp4", size)
        box = prompts(np.kron(truth[0], np.ones((scale, scale), bool)))["box"]
        started = time.perf_counter()
        vremove_cli.mask(str(clip), str(folder / "m.mkv"), overwrite=True, keep_work=False, **box)
        ours = len(truth) / (time.perf_counter() - started)
        started = time.perf_counter()
        for _ in flow_alone(clip, np.kron(truth[0], np.ones((scale, scale), bool))):
            pass
        floor = len(truth) / (time.perf_counter() - started)
        print(f"| {size[0]}x{size[1]} | {ours:.1f} | {floor:.1f} | {floor / ours:.1f} |")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--speed", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = drawn(folder)
        (speed if given.speed else quality)(clips, folder)


if __name__ == "__main__":
    main()
