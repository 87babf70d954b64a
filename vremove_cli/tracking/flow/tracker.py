"""A tracker without weights: optical flow carries the mask; colours, motion and the background correct it."""

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.tracking.base import (
    ABSENT,
    DOUBTFUL,
    FOUND_AGAIN,
    NO_OBJECT,
    ObjectPrompts,
    TrackerFrame,
    TrackerState,
    TrackResult,
)
from vremove_cli.tracking.flow.appearance_model import (
    corrected_appearance,
    new_appearance,
    settled_age,
    updated_appearance,
)
from vremove_cli.tracking.flow.colour_histogram import bins_of, to_lab
from vremove_cli.tracking.flow.initial_mask import NOTHING, SURE, InitialMask, distance_to, initial_mask
from vremove_cli.tracking.flow.mask_update import ROUNDS, SMOOTH, MaskUpdate, expected_iou
from vremove_cli.tracking.flow.redetection import redetect

_STRANGER = 0.2  # agreement that is left after the object was lost: it may be another one like it
FIRST = 180  # pixels of the shorter side that objects are first found at


class FlowTracker:
    """Follows one object; see `masks.base.Tracker`. Everything it knows is in the state it returns."""

    name = "flow"
    input_size: tuple[int, int] | None = None

    def begin(self, sight: TrackerFrame, clicks: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """Segment the prompted frame."""
        work, small = sight.rgb, shrunk(sight.rgb, FIRST)
        standout = sight.foreground and sight.foreground.resized(small.shape[1], small.shape[0])
        first = initial_mask(to_lab(small), small, clicks.scaled(small.shape[0] / sight.clip_size[1]), standout)
        soft = cv2.resize(first.mask, (work.shape[1], work.shape[0]), interpolation=cv2.INTER_LINEAR)
        state = new_appearance(work, soft, first.agreement)
        confidence = expected_iou(bins_of(to_lab(work)), soft > 0.5, state.arrays["own0"], first.agreement)
        return state, TrackResult(soft, confidence, _doubt(first))

    def correct(
        self, sight: TrackerFrame, state: TrackerState, clicks: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """The mask on the next frame, put right: a point brings its surroundings in, a negative one takes them out.

        What the clicks do not speak of stays. A box, a point where nothing is followed, or one farther from what is
        followed than that is large, begins anew.
        """
        look = MaskUpdate(sight.rgb, state, sight.foreground)
        carried = None if clicks.boxes or state.arrays["lost"] else look.carry()
        if carried is None or _elsewhere(carried, clicks.scaled(sight.scale)):
            return self.begin(sight, clicks) if clicks.points or clicks.boxes else self.propagate(sight, state)
        soft = look.corrected(carried, clicks.scaled(sight.scale))
        removed = (carried > 0.5) & (soft < 0.5)
        return corrected_appearance(look, soft, removed), TrackResult(soft, 1.0)

    def adopt(self, sight: TrackerFrame, state: TrackerState | None, mask: Array) -> TrackerState:
        """Take another tracker's soft mask (h, w) of a frame for what the object is from here on."""
        if state is None or state.arrays["lost"]:
            return new_appearance(sight.rgb, mask, 1.0)
        return corrected_appearance(MaskUpdate(sight.rgb, state, sight.foreground), mask, np.zeros(mask.shape, bool))

    def propagate(self, sight: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """Carry the mask to the next frame, or look for the object when it was lost."""
        look = MaskUpdate(sight.rgb, state, sight.foreground)
        was_lost = bool(state.arrays["lost"])
        found = redetect(look, SMOOTH, ROUNDS) if was_lost else look.carry()
        soft = np.zeros(look.gray.shape, np.float32) if found is None else found
        lost = not (soft > 0.5).any()
        again = was_lost and not lost
        if again:
            look.age = settled_age(soft > 0.5)
            look.old["agreement"] = np.minimum(look.old["agreement"], _STRANGER)
        confidence = 0.0 if lost else look.confidence(soft)
        return updated_appearance(look, soft, lost=lost), TrackResult(
            soft, confidence, ABSENT if lost else FOUND_AGAIN if again else ""
        )


def _elsewhere(carried: Array, clicks: ObjectPrompts) -> bool:
    """Whether nothing is followed any more, or something else than the points are on."""
    mask = carried > 0.5
    if not mask.any():
        return True
    if not clicks.points:
        return False
    away = distance_to(clicks.points, mask.shape)[mask]
    return float(away.min()) > float(np.count_nonzero(mask)) ** 0.5


def _doubt(first: InitialMask) -> str:
    if first.separation < NOTHING:
        return NO_OBJECT
    return "" if first.agreement >= SURE else DOUBTFUL


def shrunk(rgb: Array, shorter: int) -> Array:
    """A picture (H, W, 3) uint8 with its shorter side at most this long."""
    scale = shorter / min(rgb.shape[:2])
    if scale >= 1:
        return rgb
    size = (max(8, round(rgb.shape[1] * scale)), max(8, round(rgb.shape[0] * scale)))
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))
