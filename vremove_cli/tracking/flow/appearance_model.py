"""Appearance model of the tracked object: what the flow tracker remembers between frames, and how it learns.

Colour histograms of the prompted frame anchor the object; histograms of recent frames and a plate of the background
follow the picture. The model learns only from masks that it trusts.
"""

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, ring, split_largest_component
from vremove_cli.geometry import Array, bounds
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.warp import warp_back
from vremove_cli.tracking.base import ForegroundEvidence, TrackerFrame, TrackerState
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio, to_lab

BAND = 36  # pixels: width of the surroundings that are segmented and learnt with the object
_CLEARANCE = 4  # pixels round the mask that are not learnt as background
_AREA_COUNT = 10  # frames: recent areas, whose median is the object's usual one
_SETTLED_AGE = 9  # frames after which a pixel of the mask counts as settled
_LEARNT_AGE = 4  # frames that a pixel must have been in the mask before its colour is learnt


@dataclass(frozen=True, eq=False)
class AppearanceModel(TrackerState):
    """State of the flow tracker after a frame (H, W).

    Histograms are (BINS**3,) float32 and sum to 1; scalars are arrays () so that all fields can be stored.

    Attributes:
        gray: The frame (H, W) uint8.
        soft_mask: The object's mask on it (H, W) float32, above 0.5 inside.
        mask_age: For how many frames each pixel has been in the mask (H, W) float32; 0 outside.
        plate: Background seen so far, Lab (H, W, 3) float16.
        plate_known: Where the plate has been seen (H, W) uint8, 0 or 1.
        first_object_histogram: Colours of the object on prompted frames.
        first_surroundings_histogram: Colours next to the object on prompted frames.
        background_histogram: Colours of all but the object on prompted frames.
        object_histogram: Colours of the object lately.
        surroundings_histogram: Colours next to the object lately.
        first_colour_ratio: Mean log-likelihood ratio of the object's colours on the prompted frame, () float32.
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
    plate: Array
    plate_known: Array
    first_object_histogram: Array
    first_surroundings_histogram: Array
    background_histogram: Array
    object_histogram: Array
    surroundings_histogram: Array
    first_colour_ratio: Array
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
    """A frame (H, W), its features, and the appearance model from the frame before it, with its plate aligned.

    Attributes:
        model: The model before this frame.
        rgb: The frame (H, W, 3) uint8.
        gray: Its gray levels (H, W) uint8.
        lab: The frame in Lab (H, W, 3) float32.
        bins: Histogram bins (H, W) of its colours.
        foreground: Evidence of what is not the background, (H, W).
        to_previous: Homography (3, 3) of the camera, from pixels of this frame to the frame before.
        plate: The model's plate, Lab (H, W, 3) float32, as this frame sees it.
        plate_known: Where that is known (H, W) bool.
    """

    model: AppearanceModel
    rgb: Array
    gray: Array
    lab: Array
    bins: Array
    foreground: ForegroundEvidence
    to_previous: Array
    plate: Array
    plate_known: Array

    @property
    def height(self) -> int:
        """Height of the frame in pixels."""
        return self.gray.shape[0]

    @property
    def width(self) -> int:
        """Width of the frame in pixels."""
        return self.gray.shape[1]


def register_frame(frame: TrackerFrame, state: TrackerState) -> RegisteredFrame:
    """Compute a frame's features and align the model's plate with it.

    Args:
        frame: A frame at the size of the masks.
        state: State of the flow tracker after a neighbouring frame.
    """
    model = AppearanceModel.from_state(state)
    gray, lab = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY), to_lab(frame.rgb)
    height, width = gray.shape
    moving = dilate_square(model.soft_mask > 0.5, 4).astype(np.uint8) * 255
    to_previous = np.linalg.inv(estimate_homography(model.gray, gray, moving, np.zeros_like(gray)))
    return RegisteredFrame(
        model=model,
        rgb=frame.rgb,
        gray=gray,
        lab=lab,
        bins=bins_of(lab),
        foreground=(frame.foreground or ForegroundEvidence.zeros(1, 1)).resized(width, height),
        to_previous=to_previous,
        plate=warp_back(model.plate.astype(np.float32), to_previous, width, height),
        plate_known=warp_back(model.plate_known, to_previous, width, height, nearest=True) > 0,
    )


def new_appearance(rgb: Array, soft_mask: Array, agreement: float) -> AppearanceModel:
    """Make the model of a prompted frame.

    Args:
        rgb: The frame (H, W, 3) uint8.
        soft_mask: Its mask (H, W), above 0.5 inside.
        agreement: How well trial segmentations agreed, 0 to 1.
    """
    lab = to_lab(rgb)
    bins = bins_of(lab)
    mask = soft_mask > 0.5
    own, surroundings = histogram(bins, mask * 1.0), histogram(bins, ring(mask, BAND) * 1.0)
    background = histogram(bins, (~mask) * 1.0)
    ratio = float(log_likelihood_ratio(bins, own, background, 3)[mask].mean()) if mask.any() else 0.0
    return AppearanceModel(
        gray=cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY),
        soft_mask=soft_mask.astype(np.float32),
        mask_age=settled_age(mask),
        plate=lab.astype(np.float16),
        plate_known=(~dilate_square(mask, _CLEARANCE)).astype(np.uint8),
        first_object_histogram=own,
        first_surroundings_histogram=surroundings,
        background_histogram=background,
        object_histogram=own,
        surroundings_histogram=surroundings,
        first_colour_ratio=np.array(ratio, np.float32),
        recent_areas=np.array([mask.sum()], np.float32),
        trusted_mask=mask.astype(np.uint8),
        part_distance=np.array(_largest_part_distance(mask), np.float32),
        trial_agreement=np.array(agreement, np.float32),
        lost=np.array(False),
    )


def corrected_appearance(frame: RegisteredFrame, soft_mask: Array, removed: Array) -> AppearanceModel:
    """Return the model after a correction: the corrected mask's own, with half of the colours from before.

    Args:
        frame: The corrected frame (H, W).
        soft_mask: The corrected mask (H, W) float32.
        removed: What the correction took out of the mask (H, W) bool. Colours that are more frequent there than in the
            corrected mask are the surroundings' from now on.
    """
    old, fresh = frame.model, new_appearance(frame.rgb, soft_mask, 1.0)
    own = 0.5 * (old.first_object_histogram + fresh.first_object_histogram)
    surroundings = 0.5 * (old.first_surroundings_histogram + fresh.first_surroundings_histogram)
    background = 0.5 * (old.background_histogram + fresh.background_histogram)
    if removed.any():
        gone = histogram(frame.bins, removed * 1.0)
        own = np.where(gone > fresh.first_object_histogram, fresh.first_object_histogram, own)
        own = own / own.sum()
        surroundings = 0.7 * surroundings + 0.3 * gone
        background = 0.7 * background + 0.3 * gone
    plate, known = _learn_plate(frame, ~dilate_square(soft_mask > 0.5, _CLEARANCE))
    return replace(
        fresh,
        plate=plate,
        plate_known=known,
        first_object_histogram=own,
        first_surroundings_histogram=surroundings,
        background_histogram=background,
        surroundings_histogram=surroundings,
    )


def updated_appearance(frame: RegisteredFrame, soft_mask: Array, age: Array, *, lost: bool) -> AppearanceModel:
    """Return the model after a frame.

    Args:
        frame: The frame (H, W).
        soft_mask: Its mask (H, W) float32.
        age: For how many frames each pixel has been in the mask (H, W) float32.
        lost: Whether the object is lost; then only the frame itself and its plate are remembered.
    """
    old, mask = frame.model, soft_mask > 0.5
    area = float(mask.sum())
    plate, known = _learn_plate(frame, np.zeros_like(mask) if lost else ~dilate_square(mask, _CLEARANCE))
    new = replace(
        old, gray=frame.gray, soft_mask=soft_mask, mask_age=age, plate=plate, plate_known=known, lost=np.array(lost)
    )
    if not lost and area > 0.6 * old.usual_area and _lies_inside(mask) and _is_familiar(frame, mask):
        learnt = mask & (age > _LEARNT_AGE)
        own, surroundings = old.object_histogram, old.surroundings_histogram
        if learnt.any():
            own = 0.9 * own + 0.1 * histogram(frame.bins, learnt * 1.0)
        surroundings = 0.7 * surroundings + 0.3 * histogram(frame.bins, ring(mask, BAND) * 1.0)
        new = replace(
            new, object_histogram=own, surroundings_histogram=surroundings, trusted_mask=mask.astype(np.uint8)
        )
    if not lost:
        new = replace(new, recent_areas=np.append(old.recent_areas, np.float32(area))[-_AREA_COUNT:])
    return new


def _learn_plate(frame: RegisteredFrame, clear: Array) -> tuple[Array, Array]:
    """Return the plate (H, W, 3) float16 and where it is known (H, W) uint8, with the frame blended in at `clear`."""
    blend = np.where(frame.plate_known, 0.4, 1.0)[..., None]
    plate = np.where(clear[..., None], frame.plate + blend * (frame.lab - frame.plate), frame.plate)
    return plate.astype(np.float16), (frame.plate_known | clear).astype(np.uint8)


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
        frame: The frame (H, W).
        mask: Mask (H, W) bool.

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
