"""What flow between keyframes loses: J (mean IoU) with the spoilt truth on every N-th frame and flow between.

    python tests/benchmarks/keyframes.py [--pairs FOLDER]

Without a folder the clips are drawn. A folder holds one folder for each clip, with input.mp4 and mask.mp4. The columns:
flow alone from a spoilt first mask, then keyframes N frames apart, then the spoilt truth itself on every frame.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from vremove_cli.media.clip import ClipInfo
from vremove_cli.tracking.base import TrackerFrame, TrackerState, TrackResult

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from support.disc import FRAMES, drawn, handled_disc, hidden_disc, red_disc, truth
from support.oracle_tracker import OracleTracker
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.media.read import open_clip
from vremove_cli.tracking.base import ObjectPrompts
from vremove_cli.tracking.flow.tracker import FlowTracker
from vremove_cli.tracking.keyframes import keyframes_of, track_every_frame, track_with_keyframes

STEPS = (30, 15, 10, 5)
SEGMENT = 60


class FlowFromTruth(FlowTracker):
    """The flow tracker, given its first mask."""

    def __init__(self, oracle: OracleTracker) -> None:
        self._oracle = oracle

    def begin(self, sight: TrackerFrame, clicks: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        _, tracked = self._oracle.begin(sight, clicks)
        return self.adopt(sight, None, tracked.mask), tracked


def overlap(found: np.ndarray, true: np.ndarray) -> float:
    union = np.count_nonzero(found | true)
    return np.count_nonzero(found & true) / union if union else 1.0


def score(info: ClipInfo, masks: dict[int, np.ndarray], every: int) -> float:
    """Mean J over a clip; `every` 0: flow alone."""
    state, prompts, total = None, {0: ObjectPrompts(points=((0, 0),))}, []
    oracle = OracleTracker(masks)
    for start in range(0, info.frames, SEGMENT):
        stop = min(info.frames, start + SEGMENT)
        view, order = SegmentView(info, FrameRange(start, stop)), range(start, stop)
        if every == 0:
            steps = track_every_frame(FlowFromTruth(oracle), view.frames(order, None), state, prompts)
        elif every == 1:
            steps = track_every_frame(oracle, view.frames(order, oracle.input_size), state, prompts)
        else:
            keys = keyframes_of(FrameRange(start, stop), 0, prompts, every)
            steps = track_with_keyframes(oracle, view.frame_pairs(order, keys, oracle.input_size), state, prompts)
        for t, tracked, state in steps:  # noqa: B007
            full = cv2.resize(tracked.mask, (info.width, info.height), interpolation=cv2.INTER_LINEAR) > 0.5
            total.append(overlap(full, masks[t]))
    return float(np.mean(total))


def drawn_clips(folder: Path) -> Iterator[tuple[str, Path, dict[int, np.ndarray]]]:
    yield "disc", drawn(folder, red_disc, name="disc.mkv"), {t: truth(t) for t in range(FRAMES)}
    yield "handled", drawn(folder, handled_disc, name="handled.mkv"), {t: truth(t) for t in range(FRAMES)}
    hidden = {t: truth(t) for t in range(FRAMES)}
    for mask in hidden.values():
        mask[:, 120:215] = False
    yield "hidden", drawn(folder, hidden_disc, name="hidden.mkv"), hidden


def clips_in(folder: Path) -> Iterator[tuple[str, Path, dict[int, np.ndarray]]]:
    for one in sorted(folder.iterdir()):
        if (one / "mask.mp4").exists():
            pictures = open_clip(str(one / "mask.mp4")).frames()
            yield one.name, one / "input.mp4", {f.index: f.rgb8()[..., 0] > 127 for f in pictures}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=Path)
    folder = parser.parse_args().pairs
    print("| clip | flow alone | " + " | ".join(f"every {n}th" for n in STEPS) + " | every frame |")
    print("|---|" + "---|" * (len(STEPS) + 2))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, path, masks in clips_in(folder) if folder else drawn_clips(Path(scratch)):
            info = open_clip(str(path)).info
            rows.append([score(info, masks, n) for n in (0, *STEPS, 1)])
            print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in rows[-1]) + " |", flush=True)
    print("| mean | " + " | ".join(f"{v:.3f}" for v in np.mean(rows, axis=0)) + " |")


if __name__ == "__main__":
    main()
