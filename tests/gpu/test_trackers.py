"""SAM 2.1 and EdgeTAM on a pretended GPU in bfloat16, against the CPU in float32."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.pretended_gpu import PretendedGpu, pretended_gpu
from support.twins import edgetam_model, golden_frames, sam2_model, sam2_repo
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.model_pool import pool
from vremove_cli.tracking.base import ObjectPrompts, TrackerFrame, TrackerState
from vremove_cli.tracking.sam2 import Sam2Tracker, in_precision, load_network

FRAMES = golden_frames()
CORRECTED, STORED, LAST = 5, 6, 8  # frames of a correction, of a stored state, and the last one
# Bytes of the two encodings of positions in bfloat16 that transformers caches for the rest of the process.
CACHED_POSITIONS = 2 * (128 * 32 * 32 + 64 * 8 * 8)
LIMIT = 0.03  # share of pixels that may differ

TWINS: dict[str, Callable[[], Any]] = {"sam2": sam2_model, "edgetam": edgetam_model}

each_tracker = pytest.mark.parametrize("name", TWINS)


@dataclass(frozen=True)
class Tracked:
    """Masks of all frames, and what happened on the GPU in each."""

    masks: np.ndarray
    copies: list[int]
    syncs: list[dict[str, int]]


def sight(t: int) -> TrackerFrame:
    return TrackerFrame(t, FRAMES[t], (128, 128), (64, 64))


def follow(model: Any, gpu: PretendedGpu | None = None) -> Tracked:
    """Track the golden clip: a click, a correction, and a state that was stored and read again."""
    tracker, masks, copies, syncs = Sam2Tracker(model, len(FRAMES)), [], [], []
    state, result = tracker.begin(sight(0), ObjectPrompts(((64.0, 64.0),)))
    masks.append(result.mask)
    for t in range(1, LAST + 1):
        before = (gpu.to_host.counts.total(), gpu.syncs.copy()) if gpu else None
        if t == CORRECTED:
            state, result = tracker.correct(sight(t), state, ObjectPrompts(((50.0, 50.0),)))
        else:
            state, result = tracker.propagate(sight(t), TrackerState(state.arrays) if t == STORED else state)
        masks.append(result.mask)
        if gpu and before and t not in (CORRECTED, STORED):
            copies.append(gpu.to_host.counts.total() - before[0])
            syncs.append(dict(gpu.syncs - before[1]))
    return Tracked(np.stack(masks), copies, syncs)


@functools.cache
def follow_on_gpu(name: str) -> Tracked:
    model = TWINS[name]()
    with pretended_gpu() as gpu:
        return follow(in_precision(model.to("cuda"), torch.bfloat16), gpu)


@each_tracker
def test_a_tracker_gives_the_same_masks_on_a_gpu(name: str) -> None:
    found, exact = follow_on_gpu(name).masks, follow(TWINS[name]()).masks
    assert ((found > 0.5) != (exact > 0.5)).mean() <= LIMIT


@each_tracker
def test_a_frame_is_copied_to_the_host_once(name: str) -> None:
    assert max(follow_on_gpu(name).copies) <= 1


@each_tracker
def test_a_frame_needs_no_other_value_from_the_gpu(name: str) -> None:
    syncs = follow_on_gpu(name).syncs
    assert not any(syncs)


def test_a_tracker_runs_in_the_planned_type(tmp_path: Path) -> None:
    for name, content in sam2_repo(128).items():
        (tmp_path / name).write_bytes(content)
    with pretended_gpu():
        for dtype in ("float32", "bfloat16"):
            assert str(load_network("sam2", str(tmp_path), Arithmetic("cuda", dtype)).dtype) == f"torch.{dtype}"
        pool.release_all()


def test_a_released_tracker_leaves_only_cached_positions_on_the_gpu(tmp_path: Path) -> None:
    for name, content in sam2_repo(128).items():
        (tmp_path / name).write_bytes(content)
    with pretended_gpu() as gpu:
        tracker = Sam2Tracker(load_network("sam2", str(tmp_path), Arithmetic("cuda", "bfloat16")), 2)
        state, _ = tracker.begin(sight(0), ObjectPrompts(((64.0, 64.0),)))
        tracker.propagate(sight(1), state)
        held = gpu.allocated()
        del tracker, state
        pool.release_all()
        assert gpu.allocated() <= CACHED_POSITIONS < held
