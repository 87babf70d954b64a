"""Tracker without weights: optical flow propagates the mask; colours, motion and the background correct it."""

from dataclasses import replace

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import (
    ABSENT,
    DOUBTFUL,
    FOUND_AGAIN,
    KEPT_OUT,
    NO_OBJECT,
    ObjectPrompts,
    TrackerFrame,
    TrackerState,
    TrackResult,
)
from vremove_cli.tracking.flow.appearance_model import (
    AppearanceModel,
    corrected_appearance,
    new_appearance,
    register_frame,
    updated_appearance,
)
from vremove_cli.tracking.flow.colour_histogram import bins_of, to_lab
from vremove_cli.tracking.flow.initial_mask import (
    MIN_AGREEMENT,
    MIN_SEPARATION,
    InitialMask,
    distance_to,
    initial_mask,
    keep_out,
    prompt_seed,
)
from vremove_cli.tracking.flow.mask_update import correct_mask, expected_iou, propagate_mask
from vremove_cli.tracking.flow.redetection import redetect

_INITIAL_SIZE = 180  # pixels: shorter side of the picture that prompts are segmented on
_FOUND_AGREEMENT = 0.2  # trial agreement left after a loss: what was found may be another object that looks alike


class FlowTracker:
    """Tracks one object; see `vremove_cli.tracking.base.Tracker`. Its states are `AppearanceModel`."""

    name = "flow"
    input_size: tuple[int, int] | None = None

    def begin(self, frame: TrackerFrame, prompts: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """Segment the object on a prompted frame."""
        rgb, small = frame.rgb, _shrink(frame.rgb, _INITIAL_SIZE)
        height, width = small.shape[:2]
        scaled = prompts.scaled(height / frame.clip_size[1])
        foreground = frame.foreground
        if frame.object_evidence is not None:
            foreground = frame.object_evidence(prompt_seed(scaled, (height, width)))
        first = initial_mask(to_lab(small), small, scaled, foreground and foreground.resized(width, height))
        soft = cv2.resize(first.mask, (rgb.shape[1], rgb.shape[0]), interpolation=cv2.INTER_LINEAR)
        soft = keep_out(soft, prompts.scaled(frame.scale).negative)
        model = new_appearance(frame, soft, first.agreement)
        confidence = expected_iou(bins_of(to_lab(rgb)), soft > 0.5, model.first_object_histogram, first.agreement)
        return model, TrackResult(soft, confidence, _remark(first))

    def correct(
        self, frame: TrackerFrame, state: TrackerState, prompts: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask and correct it: a point adds its surroundings, a negative point removes them.

        The rest of the mask stays. A box, a point while the object is lost, or a point farther from the mask than the
        mask's size restarts segmentation.
        """
        registered = register_frame(frame, state, whole=True)
        model, scaled = registered.model, prompts.scaled(frame.scale)
        soft = None if prompts.boxes or model.lost else propagate_mask(registered).soft
        if soft is None or _is_elsewhere(soft > 0.5, scaled):
            return self.begin(frame, prompts) if prompts.points or prompts.boxes else self.propagate(frame, state)
        corrected = correct_mask(registered, soft, scaled)
        removed = (soft > 0.5) & (corrected < 0.5)
        corrected[removed & bool(prompts.negative)] = KEPT_OUT
        corrected = keep_out(corrected, scaled.negative)
        return corrected_appearance(frame, model, corrected, removed), TrackResult(corrected, 1.0)

    def adopt(self, frame: TrackerFrame, state: TrackerState | None, mask: Array) -> TrackerState:
        """Learn the object from another tracker's mask.

        Args:
            frame: The frame.
            state: State of this tracker after the frame before, if there is one.
            mask: Soft mask (h, w) float32 of the frame.

        Returns:
            The state after the frame.
        """
        model = None if state is None else AppearanceModel.from_state(state)
        if model is None or model.lost:
            return new_appearance(frame, mask, 1.0)
        return corrected_appearance(frame, model, mask, np.zeros(mask.shape, bool))

    def propagate(self, frame: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask to the next frame, or look for the object when it was lost."""
        registered = register_frame(frame, state)
        remark = FOUND_AGAIN if registered.model.lost else ""
        update = redetect(registered) if registered.model.lost else propagate_mask(registered)
        soft, mask = registered.whole(update.soft), update.soft > 0.5
        if not mask.any():
            return updated_appearance(registered, update, lost=True), TrackResult(soft, 0.0, ABSENT)
        model = registered.model
        if remark == FOUND_AGAIN:
            model = replace(model, trial_agreement=np.minimum(model.trial_agreement, _FOUND_AGREEMENT))
            registered = replace(registered, model=model)
        confidence = expected_iou(registered.bins, mask, model.first_object_histogram, float(model.trial_agreement))
        return updated_appearance(registered, update, lost=False), TrackResult(soft, confidence, remark)


def _is_elsewhere(mask: Array, prompts: ObjectPrompts) -> bool:
    """Return whether a propagated mask (h, w) bool is empty, or farther from every point than its own size."""
    if not mask.any():
        return True
    if not prompts.points:
        return False
    distance = distance_to(prompts.points, mask.shape)[mask]
    return float(distance.min()) > float(np.count_nonzero(mask)) ** 0.5


def _remark(first: InitialMask) -> str:
    """Return the remark on a prompted frame's mask."""
    if first.separation < MIN_SEPARATION:
        return NO_OBJECT
    return "" if first.agreement >= MIN_AGREEMENT else DOUBTFUL


def _shrink(rgb: Array, shorter: int) -> Array:
    """Return a picture (H, W, 3) uint8 with its shorter side at most `shorter` pixels."""
    scale = shorter / min(rgb.shape[:2])
    if scale >= 1:
        return rgb
    size = (max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
