"""Stages that overlap: the later one goes over from what the earlier one made to what it made itself."""

from collections.abc import Mapping

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.removers.base import Fill, Stage


def linked(stages: list[Stage]) -> list[Stage]:
    """Stages in order, each needing the one before it where they overlap."""
    return [
        Stage(s.id, s.start, s.stop, (*s.needs, *(b.id for b in stages[max(0, k - 1) : k] if b.stop > s.start)), s.step)
        for k, s in enumerate(stages)
    ]


def crossed(made: Array, stage: Stage, inputs: Mapping[Stage, Fill]) -> Array:
    """Frames (T, H, W, 3) of a stage, faded in over those that an earlier one made of the same moments."""
    out = made
    for before, fill in inputs.items():
        shared = before.stop - stage.start
        if before.step == 1 and before.start < stage.start and shared > 0:
            ramp = (np.arange(1, shared + 1, dtype=np.float32) / (shared + 1))[:, None, None, None]
            head = fill.frames[-shared:] * (1 - ramp) + made[:shared] * ramp
            out = np.concatenate([head, made[shared:]])
    return out
