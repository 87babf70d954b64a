"""Mask of the next frame: propagated by optical flow and segmented anew in a band, or corrected by prompts.

Anchors against drift: the object's colours on the prompted frame and the evidence that it is not the background keep
the mask from shrinking; the evidence of background keeps it from growing.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.arrays import keep_components, overlapping_components, split_largest_component
from vremove_cli.geometry import Array
from vremove_cli.motion.flow import dense_flow, warp_by_flow
from vremove_cli.tracking.base import KEPT_OUT, ObjectPrompts
from vremove_cli.tracking.flow.appearance_model import (
    MaskUpdate,
    RegisteredFrame,
    colour_ratio,
    component_gap,
    increment_age,
)
from vremove_cli.tracking.flow.colour_histogram import histogram, log_likelihood_ratio
from vremove_cli.tracking.flow.initial_mask import POINT_RADIUS, components_with_points, distance_to
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, on_mask_side, solve_segmentation

SMOOTHNESS = 4.0  # cost of a boundary of one pixel, against label costs of about 1 to 10 a pixel
ITERATIONS, _CORRECTION_ITERATIONS = 20, 80  # of the solver: from a mask close by, and of a correction
_NEVER = 20.0  # label cost that no other cost outweighs
_LIKE = 8.0  # 8-bit levels that the same place may differ by from frame to frame, beside noise
_NEAR = 8  # pixels round the propagated mask in which foreground counts for the object
_MOVING = 2.0  # pixels a frame against the camera, from which an object moves
# The object is lost when its mask is smaller than this share of the usual area or than so many pixels, or when its
# colour ratio is below this share of the prompted frame's.
_LOST_AREA, _LOST_PIXELS, _LOST_COLOUR = 0.2, 15, 0.15
# A part that came apart from the largest one is a neighbour that joined while the object passed it, and is dropped,
# when it moves less than this share of the largest part's motion, when its motion evidence is below this, or when its
# distance is above this (in square roots of the largest part's area).
_STILL_SHARE, _BACKGROUND_EVIDENCE, _PART_DISTANCE = 0.35, -0.2, 0.25
_FOREGROUND_SHARE = 0.25  # of a part that must not be background, while the object differs from it
_REGION = 0.3  # square roots of the object's area: size of a region that is background as a whole
_MIN_PART, _LARGE_PART = 0.01, 0.5  # shares of the largest part's area: smaller parts go, larger ones always stay
# Expected IoU with the true mask: a least-squares fit to 2,841 frames of drawn scenes 0-31. How far the colours differ
# from the surroundings' and how much of the surroundings is foreground added nothing.
_IOU_CONSTANT, _IOU_AGREEMENT, _IOU_FAMILIARITY = -0.30, 0.59, 0.66
_PROMPT_COLOUR_RATIO = 1.0  # log-likelihood ratio from which a pixel has the prompted colour


@dataclass(frozen=True)
class _PropagatedMask:
    """The mask of the frame before on this frame's part (h, w).

    Attributes:
        soft: Mask (h, w) float32.
        age: Ages (h, w) float32 of its pixels, frames.
        reliability: How well the flow explains the frame (h, w) float32, 0 to 1.
        drift: Motion (h, w, 2) float32 since the frame before against the camera's, pixels.
        trust: How far the motion evidence of this frame can be trusted for the object, 0 to 1.
    """

    soft: Array
    age: Array
    reliability: Array
    drift: Array
    trust: float


def propagate_mask(frame: RegisteredFrame) -> MaskUpdate:
    """Find the mask of a frame from the one before.

    Args:
        frame: The frame's part (h, w), registered with the model of the frame before.
    """
    backward = dense_flow(frame.gray, frame.gray_before)
    kept_out = warp_by_flow((frame.mask_before < 0).astype(np.float32), backward) > 0.5
    warped = warp_by_flow(np.maximum(frame.mask_before, 0), backward)
    if not (warped > 0.5).any():
        return MaskUpdate.still(np.zeros_like(warped))
    propagated = _PropagatedMask(
        soft=warped,
        age=warp_by_flow(frame.age_before, backward),
        reliability=_flow_reliability(frame, backward),
        drift=frame.model.velocity - backward,
        trust=max(frame.foreground.reliability(warped > 0.5), float(frame.model.motion_trust)),
    )
    cost = _object_cost(frame, propagated)
    cost[kept_out] = _NEVER
    soft = solve_segmentation(cost, edge_weights(frame.lab), SMOOTHNESS, ITERATIONS, warped)
    mask = _drop_strays(frame, soft > 0.5, propagated)
    if _is_lost(frame, mask):
        return MaskUpdate.still(np.zeros_like(warped))
    edge = on_mask_side(cv2.GaussianBlur(soft, (0, 0), 0.7), mask)
    edge[kept_out & ~mask] = KEPT_OUT
    velocity = np.median(propagated.drift[mask], axis=0)
    trust = frame.foreground.reliability(mask)
    return MaskUpdate(edge, increment_age(propagated.age, mask), velocity, trust)


def _flow_reliability(frame: RegisteredFrame, backward: Array) -> Array:
    """Return how alike (h, w) a frame and the one before, warped by the flow (h, w, 2), are: 1 where they are equal."""
    change = cv2.absdiff(frame.gray, warp_by_flow(frame.gray_before, backward))
    change = cv2.GaussianBlur(change.astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.exp(-((change / (_LIKE + 3 * float(np.median(change)))) ** 2)))


def _object_cost(frame: RegisteredFrame, propagated: _PropagatedMask) -> Array:
    """Return the cost (h, w) float32 of the object label: shape, colour, motion, size and age."""
    model, soft = frame.model, propagated.soft
    inside = (soft > 0.5).astype(np.uint8)
    signed = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    cost = -1.5 * (2 * soft - 1) * (0.25 + 0.75 * propagated.reliability)
    cost -= np.clip(np.sign(signed) * np.maximum(np.abs(signed) - 8, 0) / 4, -4, 4)
    own = 0.5 * model.first_object_histogram + 0.5 * model.object_histogram
    other = 0.3 * model.first_surroundings_histogram + 0.7 * model.surroundings_histogram
    cost -= log_likelihood_ratio(frame.bins, own, other, 2.5)
    cost -= propagated.trust * _motion_preference(frame, signed)
    if model.usual_area > 0:
        cost += 0.7 * np.clip(4 * np.log(max(float(inside.sum()), 1) / model.usual_area), -1, 1.5)
    cost += np.where((propagated.age < 3) & (signed < 3), 0.5, 0)
    return cost.astype(np.float32)


def _motion_preference(frame: RegisteredFrame, signed: Array) -> Array:
    """Return how much motion speaks for the object label (h, w), by the distance to the propagated mask's edge.

    Foreground counts for the object only where it was before: another object may move beside it. Background counts
    against it; inside, only where a whole region is background: a part of the object may look like what is behind it.
    Another light counts outside only: what is translucent or glossy looks like a shadow inside.
    """
    evidence = frame.foreground.for_object()
    side = max(3, round(_REGION * frame.model.usual_area**0.5))
    region = np.maximum(frame.foreground.motion, cv2.blur(frame.foreground.motion, (side, side)))
    return np.where(signed > 0, region, np.where(signed > -_NEAR, evidence, np.minimum(evidence, 0)))


def _drop_strays(frame: RegisteredFrame, mask: Array, propagated: _PropagatedMask) -> Array:
    """Return a mask (h, w) bool without parts that miss the propagated mask, are tiny, or are another object."""
    kept = overlapping_components(mask, propagated.soft > 0.5)
    background = frame.foreground.motion < _BACKGROUND_EVIDENCE
    if propagated.trust > 0.5 and (kept & ~background).any():  # the largest part may be one that the object passed
        kept = keep_components(
            kept,
            lambda labels, areas: np.bincount(labels[~background], minlength=len(areas)) > _FOREGROUND_SHARE * areas,
        )
    main, others = split_largest_component(kept)
    main_area = np.count_nonzero(main)
    for part in others:
        area = np.count_nonzero(part)
        if area >= _LARGE_PART * main_area:
            continue
        if area < _MIN_PART * main_area or _is_stray(frame, part, main, propagated):
            kept &= ~part
    return kept


def _is_stray(frame: RegisteredFrame, part: Array, main: Array, propagated: _PropagatedMask) -> bool:
    """Return whether a part of the mask that does not touch the largest part is another object."""
    furthest = max(_PART_DISTANCE, 1.2 * float(frame.model.part_distance))
    if component_gap(main, part) > furthest * np.count_nonzero(main) ** 0.5:
        return True
    drift = np.linalg.norm(propagated.drift, axis=2)
    main_drift = float(np.median(drift[main]))
    if main_drift > _MOVING and float(np.median(drift[part])) < _STILL_SHARE * main_drift:
        return True
    return propagated.trust * float(frame.foreground.motion[part].mean()) < _BACKGROUND_EVIDENCE


def _is_lost(frame: RegisteredFrame, mask: Array) -> bool:
    """Return whether hardly anything of the object is left in a mask (h, w) bool, or not its colours."""
    if np.count_nonzero(mask) < max(_LOST_PIXELS, _LOST_AREA * frame.model.usual_area):
        return True
    return colour_ratio(frame, mask) < _LOST_COLOUR * float(frame.model.first_colour_ratio)


def correct_mask(frame: RegisteredFrame, soft_mask: Array, prompts: ObjectPrompts) -> Array:
    """Segment the neighbourhood of each point anew, and leave the rest of the mask as it is.

    Args:
        frame: The whole frame (H, W).
        soft_mask: Its propagated mask (H, W) float32.
        prompts: Points and negative points in pixels of the frame.

    Returns:
        The corrected soft mask (H, W) float32, above 0.5 inside.
    """
    correction = _Correction(frame, soft_mask)
    for point in prompts.points:
        correction.add_point(point, positive=True)
    for point in prompts.negative:
        correction.add_point(point, positive=False)
    weights = edge_weights(frame.lab)
    soft = solve_segmentation(correction.cost(), weights, SMOOTHNESS, _CORRECTION_ITERATIONS, correction.soft_mask)
    return np.where((soft_mask < 0) & (soft < 0.5), soft_mask, on_mask_side(soft, soft > 0.5))


class _Correction:
    """Label cost of a corrected mask, point by point."""

    def __init__(self, frame: RegisteredFrame, soft_mask: Array) -> None:
        model = frame.model
        self.frame, self.soft_mask, self.mask = frame, np.maximum(soft_mask, 0), soft_mask > 0.5
        self.object_colours = 0.5 * (model.first_object_histogram + model.object_histogram)
        self.other_colours = model.surroundings_histogram
        self.preference = np.zeros_like(soft_mask)  # (H, W): positive where points ask for the object
        self.stiffness = np.ones_like(soft_mask)  # (H, W): weight of the propagated mask, 0.1 to 1

    def add_point(self, point: tuple[float, float], *, positive: bool) -> None:
        """Add a point (x, y) on the object, or beside it."""
        frame = self.frame
        height, bins = frame.height, frame.bins
        radius, disc = self._radius(point, positive=positive), POINT_RADIUS * height
        distance = distance_to((point,), self.mask.shape)
        colours = histogram(bins, np.exp(-((distance / max(0.3 * radius, disc)) ** 2)))
        rival = self.other_colours if positive else self.object_colours
        similar = log_likelihood_ratio(bins, colours, rival, 3) > _PROMPT_COLOUR_RATIO
        similar = similar & (self.mask != positive) & (distance < 6 * radius)
        self.stiffness[components_with_points(similar | (distance < disc), (point,)) & similar] = 0.1
        if positive:
            self.object_colours = 0.5 * (self.object_colours + colours)
        else:
            self.other_colours = 0.5 * (self.other_colours + colours)
        sign = 1 if positive else -1
        self.preference += sign * (1.3 * np.exp(-((distance / radius) ** 2)) + 20 * (distance < disc))
        self.stiffness = np.minimum(self.stiffness, 1 - 0.9 * np.exp(-((distance / (1.5 * radius)) ** 2)))

    def _radius(self, point: tuple[float, float], *, positive: bool) -> float:
        """Return the reach of a point in pixels: twice its distance from the mask's edge, within limits."""
        frame = self.frame
        wrong_side = ~self.mask if positive else self.mask
        depth = cv2.distanceTransform(wrong_side.astype(np.uint8), cv2.DIST_L2, 5)
        x, y = (min(max(round(v), 0), n - 1) for v, n in zip(point, (frame.width, frame.height), strict=True))
        return float(np.clip(2 * depth[y, x], 0.04 * frame.height, 0.25 * frame.height))

    def cost(self) -> Array:
        """Return the cost (H, W) of the object label."""
        ratio = log_likelihood_ratio(self.frame.bins, self.object_colours, self.other_colours, 2.5)
        shape_cost = -6 * self.stiffness * (2 * self.soft_mask - 1)
        return np.asarray(shape_cost - (1 - 0.8 * self.stiffness) * ratio - self.preference)


def expected_iou(bins: Array, mask: Array, object_histogram: Array, agreement: float) -> float:
    """Predict the intersection over union of a mask with the true mask.

    Args:
        bins: Histogram bins (H, W) of the frame's colours.
        mask: Mask (H, W) bool.
        object_histogram: Colours of the object on the prompted frame.
        agreement: How well trial segmentations of the prompted frame agreed, 0 to 1.

    Returns:
        0 to 1; 0 for an empty mask.
    """
    if not mask.any():
        return 0.0
    familiarity = float(np.sqrt(histogram(bins, mask * 1.0) * object_histogram).sum())  # Bhattacharyya coefficient
    return float(np.clip(_IOU_CONSTANT + _IOU_AGREEMENT * agreement + _IOU_FAMILIARITY * familiarity, 0, 1))
