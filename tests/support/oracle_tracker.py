"""A tracker that knows the truth and spoils it: what a network would give on keyframes, without a network."""

from collections.abc import Mapping

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import ABSENT, FOUND_AGAIN, ObjectPrompts, TrackerFrame, TrackerState, TrackResult


class OracleTracker:
    """`masks` (H, W) bool by frame. `wobble` pixels (standard deviation, at the size masks are kept) move the edge."""

    name = "oracle"

    def __init__(self, masks: Mapping[int, Array], wobble: float = 1.5) -> None:
        self._masks, self._wobble = masks, wobble
        self.input_size: tuple[int, int] | None = (64, 64)
        self.asked: list[int] = []
        self.anew: list[bool] = []  # for each given mask, whether it was the first to be learnt

    def begin(self, frame: TrackerFrame, prompts: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        return self.propagate(frame, TrackerState({"lost": np.array(False)}))

    def correct(
        self, frame: TrackerFrame, state: TrackerState, prompts: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        return self.propagate(frame, state)

    def adopt(self, frame: TrackerFrame, state: TrackerState | None, mask: Array) -> TrackerState:
        self.anew += [state is None]
        return TrackerState({"lost": np.array(False)})

    def propagate(self, frame: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        self.asked.append(frame.index)
        mask = self._spoilt(self._masks[frame.index], frame)
        lost, was = not (mask > 0.5).any(), bool(state.arrays["lost"])
        remark = ABSENT if lost else FOUND_AGAIN if was else ""
        return TrackerState({"lost": np.array(lost)}), TrackResult(mask, 0.0 if lost else 0.9, remark)

    def _spoilt(self, mask: Array, frame: TrackerFrame) -> Array:
        """The mask with its edge moved in and out by smooth noise, at the size masks are kept."""
        small = cv2.resize(mask.astype(np.uint8) * 255, frame.mask_size, interpolation=cv2.INTER_AREA) > 127
        inside = small.astype(np.uint8)
        distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        noise = np.random.default_rng(frame.index).standard_normal(small.shape).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), 6)
        moved = distance + self._wobble * noise / noise.std()
        return np.clip(0.5 + moved, 0, 1).astype(np.float32) if small.any() else np.zeros(small.shape, np.float32)
