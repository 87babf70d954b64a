"""Appearance model of the tracked object: what the flow tracker remembers between frames, and how it learns.

Colour histograms of the prompted frame anchor the object; histograms of recent frames follow the picture. The model
learns only from masks that it trusts. Work on a frame is done in a part of it round the object.
"""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from vremove_cli.arrays import ring, split_largest_component
from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.motion.warp import warp_back, warp_back_crop
from vremove_cli.tracking.base import ForegroundEvidence, TrackerFrame, TrackerState
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio, to_lab

BAND = 36  # pixels: width of the surroundings that are segmented and learnt with the object
_REACH = 12  # pixels of motion, beyond the predicted one, that the part of a frame round the object allows for
_MAX_SPEED = 64.0  # pixels a frame: largest motion that is predicted
_AREA_COUNT = 10  # frames: recent areas, whose median is the object's usual one
_SETTLED_AGE = 9  # frames after which a pixel of the mask counts as settled
_LEARNT_AGE = 4  # frames that a pixel must have been in the mask before its colour is learnt


@dataclass(frozen=True, eq=False)
class AppearanceModel(TrackerState):
    """State of the flow tracker after a frame (H, W).

    Histograms are (BINS**3,) float32 and sum to 1; scalars are arrays () so that all fields can be stored.

    Attributes:
        gray: The frame (H, W) uint8.
        soft_mask: The object's mask on it (H, W) float32, above 0.5 inside, `KEPT_OUT` where a negative point holds.
        mask_age: For how many frames each pixel has been in the mask (H, W) float32; 0 outside.
        camera: Motion (3, 3) of the camera to the frame from a fixed one; 0 where it is not known.
        velocity: Motion of the object against the camera (x, y) float32, pixels a frame.
        first_object_histogram: Colours of the object on prompted frames.
        first_surroundings_histogram: Colours next to the object on prompted frames.
        background_histogram: Colours of all but the object on prompted frames.
        object_histogram: Colours of the object lately.
        surroundings_histogram: Colours next to the object lately.
        first_colour_ratio: Mean log-likelihood ratio of the object's colours on the prompted frame, () float32.
        motion_trust: How far motion evidence could be trusted for the object lately, 0 to 1, () float32.
        recent_areas: Areas of the latest masks in pixels (N,) float32.
        trusted_mask: The latest mask that was trusted (H, W) uint8, 0 or 1.
        part_distance: Largest distance of a part of the object from its largest part on the prompted frame, in square
            roots of that part's area, () float32.
        trial_agreement: How well trial segmentations of the prompted frame agreed, 0 to 1, () float32.
        lost: Whether the object is lost, () bool.
    """

    gray: Array
    soft_mask: Array
    mask_age: Array
    camera: Array
    velocity: Array
    first_object_histogram: Array
    first_surroundings_histogram: Array
    background_histogram: Array
    object_histogram: Array
    surroundings_histogram: Array
    first_colour_ratio: Array
    motion_trust: Array
    recent_areas: Array
    trusted_mask: Array
    part_distance: Array
    trial_agreement: Array
    lost: Array

    @classmethod
    def from_state(cls, state: TrackerState) -> "AppearanceModel":
        """Return a live or stored state as a model."""
        return state if isinstance(state, AppearanceModel) else cls(**state.arrays)

    @property
    def arrays(self) -> dict[str, Array]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def usual_area(self) -> float:
        """Median of the recent areas, pixels."""
        return float(np.median(self.recent_areas))


@dataclass(frozen=True)
class RegisteredFrame:
    """A part (h, w) of a frame round the object, its features, and the frame before it, aligned with it.

    Attributes:
        model: The model before this frame.
        rgb: The whole frame (H, W, 3) uint8.
        box: The part.
        gray: Its gray levels (h, w) uint8.
        lab: Its colours in Lab (h, w, 3) float32.
        bins: Histogram bins (h, w) of its colours.
        foreground: Evidence of what is not the background, (h, w).
        camera: Motion (3, 3) of the camera to the frame; 0 where it is not known.
        gray_before: The frame before (h, w) uint8, moved by the camera's and the object's last motion.
        mask_before: Its soft mask (h, w) float32, moved likewise.
        age_before: Ages (h, w) float32 of its mask's pixels, moved likewise.
    """

    model: AppearanceModel
    rgb: Array
    box: Box
    gray: Array
    lab: Array
    bins: Array
    foreground: ForegroundEvidence
    camera: Array
    gray_before: Array
    mask_before: Array
    age_before: Array

    @property
    def height(self) -> int:
        """Height of the whole frame in pixels."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Width of the whole frame in pixels."""
        return int(self.rgb.shape[1])

    def whole(self, part: Array) -> Array:
        """Return an array (H, W) with `part` (h, w) in its place and 0 elsewhere."""
        out = np.zeros((self.height, self.width), part.dtype)
        out[self.box.slices] = part
        return out

    def local(self, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        """Return points (x, y) of the frame in pixels of the part."""
        return tuple((x - self.box.x0, y - self.box.y0) for x, y in points)


@dataclass(frozen=True)
class MaskUpdate:
    """The mask of a frame's part (h, w); all 0 when the object is lost.

    Attributes:
        soft: Mask (h, w) float32, above 0.5 inside.
        age: Ages (h, w) float32 of its pixels, frames.
        velocity: Motion (x, y) of the object since the frame before against the camera's, pixels.
        trust: How far the motion evidence of the frame can be trusted for the object, 0 to 1.
    """

    soft: Array
    age: Array
    velocity: Array
    trust: float

    @classmethod
    def still(cls, soft: Array) -> "MaskUpdate":
        """Return the update of an object that was not followed: a mask (h, w) float32, or all 0 when it is lost."""
        return cls(soft, settled_age(soft > 0.5), np.zeros(2, np.float32), 0.0)


def register_frame(frame: TrackerFrame, state: TrackerState, *, whole: bool = False) -> RegisteredFrame:
    """Compute the features of a frame's part round the object, and align the frame before with it.

    Args:
        frame: A frame at the size of the masks.
        state: State of the flow tracker after a neighbouring frame.
        whole: Whether the part is the whole frame, as it also is while the object is lost.
    """
    model = AppearanceModel.from_state(state)
    height, width = frame.rgb.shape[:2]
    camera = _camera_of(frame)
    to_previous = model.camera @ np.linalg.inv(camera) if camera.any() and model.camera.any() else np.eye(3)
    to_previous = to_previous @ np.array(
        [[1, 0, -model.velocity[0]], [0, 1, -model.velocity[1]], [0, 0, 1]], np.float64
    )
    mask_before = warp_back(model.soft_mask, to_previous, width, height)
    near = bounds(mask_before > 0.5)
    everything = Box(0, 0, width, height)
    box = everything if whole or bool(model.lost) or near.empty else near.grow(BAND + _REACH).clip(width, height)
    part = np.ascontiguousarray(frame.rgb[box.slices])
    lab = to_lab(part)
    return RegisteredFrame(
        model=model,
        rgb=frame.rgb,
        box=box,
        gray=cv2.cvtColor(part, cv2.COLOR_RGB2GRAY),
        lab=lab,
        bins=bins_of(lab),
        foreground=(frame.foreground or ForegroundEvidence.zeros(1, 1)).crop(box, width, height),
        camera=camera,
        gray_before=warp_back_crop(model.gray, to_previous, box),
        mask_before=mask_before[box.slices],
        age_before=warp_back_crop(model.mask_age, to_previous, box),
    )


def _camera_of(frame: TrackerFrame) -> Array:
    """Return the camera's motion (3, 3) to a frame; 0 where it is not known."""
    return np.zeros((3, 3)) if frame.camera is None else frame.camera


def new_appearance(frame: TrackerFrame, soft_mask: Array, agreement: float) -> AppearanceModel:
    """Make the model of a prompted frame.

    Args:
        frame: The frame (H, W) at the size of the masks.
        soft_mask: Its mask (H, W), above 0.5 inside.
        agreement: How well trial segmentations agreed, 0 to 1.
    """
    bins = bins_of(to_lab(frame.rgb))
    mask = soft_mask > 0.5
    own, surroundings = histogram(bins, mask * 1.0), histogram(bins, ring(mask, BAND) * 1.0)
    background = histogram(bins, (~mask) * 1.0)
    ratio = float(log_likelihood_ratio(bins, own, background, 3)[mask].mean()) if mask.any() else 0.0
    return AppearanceModel(
        gray=cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY),
        soft_mask=soft_mask.astype(np.float32),
        mask_age=settled_age(mask),
        camera=_camera_of(frame),
        velocity=np.zeros(2, np.float32),
        first_object_histogram=own,
        first_surroundings_histogram=surroundings,
        background_histogram=background,
        object_histogram=own,
        surroundings_histogram=surroundings,
        first_colour_ratio=np.array(ratio, np.float32),
        motion_trust=np.array(0, np.float32),
        recent_areas=np.array([mask.sum()], np.float32),
        trusted_mask=mask.astype(np.uint8),
        part_distance=np.array(_largest_part_distance(mask), np.float32),
        trial_agreement=np.array(agreement, np.float32),
        lost=np.array(False),
    )


def corrected_appearance(
    frame: TrackerFrame, model: AppearanceModel, soft_mask: Array, removed: Array
) -> AppearanceModel:
    """Return the model after a correction: the corrected mask's own, with half of the colours from before.

    Args:
        frame: The corrected frame (H, W) at the size of the masks.
        model: The model before the correction.
        soft_mask: The corrected mask (H, W) float32.
        removed: What the correction took out of the mask (H, W) bool. Colours that are more frequent there than in the
            corrected mask are the surroundings' from now on.
    """
    fresh = new_appearance(frame, soft_mask, 1.0)
    own = 0.5 * (model.first_object_histogram + fresh.first_object_histogram)
    surroundings = 0.5 * (model.first_surroundings_histogram + fresh.first_surroundings_histogram)
    background = 0.5 * (model.background_histogram + fresh.background_histogram)
    if removed.any():
        gone = histogram(bins_of(to_lab(frame.rgb)), removed * 1.0)
        own = np.where(gone > fresh.first_object_histogram, fresh.first_object_histogram, own)
        own = own / own.sum()
        surroundings = 0.7 * surroundings + 0.3 * gone
        background = 0.7 * background + 0.3 * gone
    return replace(
        fresh,
        velocity=model.velocity,
        motion_trust=model.motion_trust,
        first_object_histogram=own,
        first_surroundings_histogram=surroundings,
        background_histogram=background,
        surroundings_histogram=surroundings,
    )


def updated_appearance(frame: RegisteredFrame, update: MaskUpdate, *, lost: bool) -> AppearanceModel:
    """Return the model after a frame.

    Args:
        frame: The frame's part (h, w).
        update: Its mask.
        lost: Whether the object is lost; then only the frame itself is remembered.
    """
    soft_mask, age, old, mask = update.soft, update.age, frame.model, update.soft > 0.5
    area = float(mask.sum())
    excess = max(1.0, float(np.linalg.norm(update.velocity)) / _MAX_SPEED)
    new = replace(
        old,
        gray=cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY),
        soft_mask=frame.whole(soft_mask),
        mask_age=frame.whole(age),
        camera=frame.camera,
        velocity=np.asarray(update.velocity / excess, np.float32),
        lost=np.array(lost),
    )
    if lost:
        return new
    if area > 0.6 * old.usual_area and _is_familiar(frame, mask) and _lies_inside(frame.whole(mask)):
        learnt = mask & (age > _LEARNT_AGE)
        own, surroundings = old.object_histogram, old.surroundings_histogram
        if learnt.any():
            own = 0.9 * own + 0.1 * histogram(frame.bins, learnt * 1.0)
        surroundings = 0.7 * surroundings + 0.3 * histogram(frame.bins, ring(mask, BAND) * 1.0)
        trusted = frame.whole(mask.astype(np.uint8))
        new = replace(new, object_histogram=own, surroundings_histogram=surroundings, trusted_mask=trusted)
    new = replace(new, motion_trust=np.asarray(0.8 * old.motion_trust + 0.2 * update.trust, np.float32))
    return replace(new, recent_areas=np.append(old.recent_areas, np.float32(area))[-_AREA_COUNT:])


def _lies_inside(mask: Array) -> bool:
    """Return whether a mask touches no edge of the frame."""
    box = bounds(mask)
    return box.x0 > 0 and box.y0 > 0 and box.x1 < mask.shape[1] and box.y1 < mask.shape[0]


def _is_familiar(frame: RegisteredFrame, mask: Array) -> bool:
    """Return whether a mask has at least half of the prompted frame's colour ratio."""
    return colour_ratio(frame, mask) > 0.5 * float(frame.model.first_colour_ratio)


def settled_age(mask: Array) -> Array:
    """Return the ages (H, W) float32 of a mask (H, W) bool that is trusted at once."""
    return np.where(mask, _SETTLED_AGE, 0).astype(np.float32)


def increment_age(age: Array, mask: Array) -> Array:
    """Return ages (H, W) float32 one frame later, given the new mask (H, W) bool; they end at the settled age."""
    return np.where(mask, np.minimum(age + 1, _SETTLED_AGE), 0).astype(np.float32)


def colour_ratio(frame: RegisteredFrame, mask: Array) -> float:
    """Return how much likelier a mask's colours are in the object than in the rest of the picture.

    Args:
        frame: The frame's part (h, w).
        mask: Mask (h, w) bool.

    Returns:
        Mean log-likelihood ratio over the mask, -3 to 3; 0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    model = frame.model
    ratio = log_likelihood_ratio(frame.bins, model.first_object_histogram, model.background_histogram, 3)
    return float(ratio[mask].mean())


def component_gap(main: Array, part: Array) -> float:
    """Return the smallest distance in pixels between two components (H, W) bool."""
    return float(cv2.distanceTransform((~main).astype(np.uint8), cv2.DIST_L2, 5)[part].min())


def _largest_part_distance(mask: Array) -> float:
    """Return the largest distance of a part of a mask from its largest part, in square roots of that part's area."""
    main, others = split_largest_component(mask)
    if not others:
        return 0.0
    return max(component_gap(main, part) for part in others) / float(np.count_nonzero(main)) ** 0.5
