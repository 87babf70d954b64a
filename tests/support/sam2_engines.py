"""One tiny SAM 2.1 for both engines: the golden file's weights as files, and its clip followed by a tracker."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from support.twins import golden, golden_frames, golden_weights
from vremove_cli.tracking.base import ObjectPrompts, Tracker, TrackerFrame, TrackerState

SIDE, MASK = 128, 32  # of the pictures, and of the network's mask logits


def write_fine_tune(folder: Path, name: str = "sam2_tiny") -> Path:
    """Write the golden file's network as a fine-tune has it: FILE.pt, and its own configuration beside it."""
    import torch

    tensors, facts = golden(name)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": golden_weights(tensors)}, folder / f"{name}.pt")
    write_config(folder / f"{name}.yaml", facts["model"])
    return folder / f"{name}.pt"


def write_config(path: Path, model: dict[str, Any], *, training: bool = False) -> None:
    """Write a configuration with a table of the model."""
    path.write_text(json.dumps({"trainer": {"model": model}} if training else {"model": model}))  # JSON is YAML, too


def clicks_of(prompt: dict[str, Any]) -> ObjectPrompts:
    """A prompt of the golden file."""
    points = list(zip(prompt["points"], prompt["labels"], strict=True))
    return ObjectPrompts(
        tuple((p[0], p[1]) for p, k in points if k == 1),
        tuple((p[0], p[1]) for p, k in points if k == 0),
        (tuple(prompt["box"]),) if prompt["box"] else (),
    )


def sight_of(t: int, resized: Callable[[np.ndarray], np.ndarray] = np.asarray) -> TrackerFrame:
    """A frame of the golden clip for a tracker, resized to the tracker's size."""
    return TrackerFrame(t, resized(golden_frames()[t]), (SIDE, SIDE), (MASK, MASK))


def follow(
    tracker: Tracker, prompts: list[dict[str, Any]], order: range, *, stored: bool = False
) -> dict[int, tuple[np.ndarray, float]]:
    """Mask logits (32, 32) and object score of each frame of the golden clip, prompts given as they come.

    Args:
        tracker: A tracker with a memory bank.
        prompts: The first is on the first frame of `order`.
        order: Frames in the order of travel.
        stored: Whether the state is stored and read after each frame.
    """
    given = {p["frame"]: clicks_of(p) for p in prompts}
    state: TrackerState | None = None
    out = {}
    for t in order:
        sight = sight_of(t)
        if state is None:
            state, _ = tracker.begin(sight, given[t])
        elif t in given:
            state, _ = tracker.correct(sight, state, given[t])
        else:
            state, _ = tracker.propagate(sight, state)
        last: Any = state
        outputs = last.memories[-1].outputs
        logits = outputs["pred_masks"].float().reshape(MASK, MASK).cpu().numpy()
        out[t] = (logits, float(outputs["object_score_logits"]))
        if stored:
            state = TrackerState(state.arrays)
    return out
