"""One frame compared with what is remembered of the object: the mask carried along, or corrected by clicks.

Each frame is segmented anew in a band round the carried mask. The object's colours are anchored to the prompted frame,
so the mask does not melt; a plate of the background, what moves with the camera, and what other moments show in the
same place are held against it, so it does not leak.
"""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.masks.morphology import overlapping
from vremove_cli.motion.camera import estimate_homography
from vremove_cli.motion.flow import dense_flow, warp_by_flow
from vremove_cli.motion.warp import grid, project, warp_back
from vremove_cli.tracking.base import ForegroundEvidence, ObjectPrompts, TrackerState
from vremove_cli.tracking.flow.appearance_model import BAND, colour_ratio, component_gap, increment_age
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio, to_lab
from vremove_cli.tracking.flow.initial_mask import components_with_points, distance_to, separation
from vremove_cli.tracking.flow.tv_segmentation import edge_weights, solve_segmentation

SMOOTH, ROUNDS = 4.0, 40
_LOST_AREA, _LOST_COLOUR, _LOST_PIXELS = 0.2, 0.15, 15
# A part that came apart from the rest goes when it moves this much less than the rest, is seen by this much to be
# background, or is this far off, in sizes of the rest: a neighbour that joined while the object passed it.
_STILL, _BACKGROUND, _APART = 0.35, -0.2, 0.25
_CLAIM = 1.0  # log ratio at which a colour is the click's rather than the other side's
# Expected overlap with the truth: a least-squares fit to 2,900 frames of 32 clips (rendered, real, composed, reversed).
_BASE, _FIRST, _FAMILIAR, _DISTINCT = -0.33, 0.35, 0.76, 0.29


class MaskUpdate:
    """A frame (H, W, 3) uint8 beside the memory of the one before it; `standout` says what moves, at any size."""

    def __init__(self, rgb: Array, state: TrackerState, standout: ForegroundEvidence | None) -> None:
        self.old, self.rgb = dict(state.arrays), rgb
        self.gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        self.lab = to_lab(rgb)
        self.bins = bins_of(self.lab)
        self.height, self.width = self.gray.shape
        self.standout = (standout or ForegroundEvidence.zeros(1, 1)).resized(self.width, self.height)
        busy = cv2.dilate((self.old["soft"] > 0.5).astype(np.uint8) * 255, np.ones((9, 9), np.uint8))
        camera = estimate_homography(self.old["gray"], self.gray, busy, np.zeros_like(self.gray))
        self._camera = np.linalg.inv(camera)
        self.plate = warp_back(self.old["plate"].astype(np.float32), self._camera, self.width, self.height)
        self.seen = warp_back(self.old["seen"], self._camera, self.width, self.height, nearest=True) > 0
        self.age = np.zeros_like(self.old["age"])
        self._drift, self._noise, self._trust = np.zeros(self.gray.shape, np.float32), 1.0, 0.0

    def carry(self) -> Array:
        """The soft mask (H, W) float32 of this frame; empty when the object has gone."""
        with ThreadPoolExecutor(1) as pool:  # OpenCV lets go of the interpreter
            other = pool.submit(dense_flow, self.old["gray"], self.gray)
            back = dense_flow(self.gray, self.old["gray"])
            ahead = other.result()
        warped = warp_by_flow(self.old["soft"], back)
        mask = warped > 0.5
        box = bounds(mask)
        if box.empty:
            return np.zeros_like(warped)
        age = warp_by_flow(self.old["age"], back)
        off = np.linalg.norm(back + np.stack([warp_by_flow(ahead[..., c], back) for c in (0, 1)], axis=-1), axis=2)
        reliable = np.exp(-((off / (1 + 0.05 * np.linalg.norm(back, axis=2))) ** 2))
        box = box.grow(BAND).clip(self.width, self.height)
        cost = self._cost(warped, reliable, age, back, box)
        soft = np.zeros_like(warped)
        weights = edge_weights(self.lab[box.slices])
        soft[box.slices] = solve_segmentation(cost, weights, SMOOTH, ROUNDS, warped[box.slices])
        now = self._without_strays(soft > 0.5, mask)
        self.age = increment_age(age, now)
        if self._is_lost(now):
            self.age = np.zeros_like(age)
            return np.zeros_like(warped)
        return _sided(cv2.GaussianBlur(soft, (0, 0), 0.7), now)

    def _cost(self, warped: Array, reliable: Array, age: Array, back: Array, box: Box) -> Array:
        """What it costs to call each pixel of `box` the object: shape, colour, plate, motion and size together."""
        part = box.slices
        w, r = warped[part], reliable[part]
        inside = (w > 0.5).astype(np.uint8)
        signed = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
        cost = -1.5 * (2 * w - 1) * (0.25 + 0.75 * r)
        cost -= np.clip(np.sign(signed) * np.maximum(np.abs(signed) - 8, 0) / 4, -4, 4)
        own = 0.5 * self.old["own0"] + 0.5 * self.old["own"]
        other = 0.3 * self.old["other0"] + 0.7 * self.old["other"]
        cost -= log_likelihood_ratio(self.bins[part], own, other, 2.5)
        cost -= 0.5 * self._plate_term(part, inside)
        cost += self._camera_term(back, warped > 0.5)[part]
        # Only against the object: what moves may be somebody else.
        self._trust = self.standout.reliability(warped > 0.5)
        cost -= self._trust * np.minimum(np.minimum(self.standout.motion, -self.standout.illumination)[part], 0)
        usual = float(np.median(self.old["areas"]))
        if usual > 0:
            cost += 0.7 * np.clip(4 * np.log(max(float(inside.sum()), 1) / usual), -1, 1.5)
        cost += np.where((age[part] < 3) & (signed < 3), 0.5, 0)
        return cost.astype(np.float32)

    def _plate_term(self, part: tuple[slice, slice], inside: Array) -> Array:
        """How much a pixel differs from the background that was seen there, in noise levels."""
        now, plate = (cv2.GaussianBlur(x[part], (0, 0), 1) for x in (self.lab, self.plate))
        difference = np.linalg.norm(now - plate, axis=2)
        valid = self.seen[part]
        outside = difference[valid & (inside == 0)]
        noise = 1.48 * float(np.median(outside)) + 1.5 if outside.size else 3.0
        rough = np.linalg.norm(cv2.Laplacian(plate, cv2.CV_32F), axis=2) / 4
        return np.where(valid, np.clip(difference / (noise + 0.5 * rough) - 2, -1.5, 2), 0)

    def _camera_term(self, back: Array, mask: Array) -> Array:
        """Cost of what moves with the camera while the object does not."""
        at = grid(self.width, self.height)
        camera = project(self._camera, at.reshape(-1, 2)).reshape(at.shape) - at
        self._drift = np.linalg.norm(back - camera, axis=2)
        usual = float(np.median(self._drift[mask]))
        self._noise = 1 + float(np.median(self._drift[~mask])) if (~mask).any() else 1.0
        if usual <= 2 * self._noise:
            return np.zeros_like(self._drift)
        return 1.5 * np.clip(1 - (self._drift - 0.5 * self._noise) / (0.4 * usual), -0.3, 1)

    def _without_strays(self, mask: Array, carried: Array) -> Array:
        """Without parts that do not overlap the carried mask, are tiny, or are something else by now."""
        kept = overlapping(mask, carried)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(kept.astype(np.uint8), connectivity=8)
        if count <= 2:
            return kept
        areas = stats[:, cv2.CC_STAT_AREA]
        main = 1 + int(areas[1:].argmax())
        stays = np.ones(count, bool)
        stays[0] = False
        for k in range(1, count):
            if areas[k] < 0.5 * areas[main]:
                stays[k] = areas[k] >= 0.01 * areas[main] and not self._is_stray(labels == k, labels == main)
        return np.asarray(stays[labels])

    def _is_stray(self, part: Array, main: Array) -> bool:
        """Whether a part that does not touch the main one is something else."""
        if component_gap(main, part) > max(_APART, 1.2 * float(self.old["apart"])) * np.count_nonzero(main) ** 0.5:
            return True
        own = float(np.median(self._drift[main]))
        if own > 2 * self._noise and float(np.median(self._drift[part])) < _STILL * own:
            return True
        return self._trust * float(self.standout.motion[part].mean()) < _BACKGROUND

    def _is_lost(self, mask: Array) -> bool:
        """Whether the object has gone: hardly anything left, or what is left has not its colours."""
        if np.count_nonzero(mask) < max(_LOST_PIXELS, _LOST_AREA * float(np.median(self.old["areas"]))):
            return True
        return colour_ratio(self, mask) < _LOST_COLOUR * float(self.old["ratio0"])

    def corrected(self, carried: Array, clicks: ObjectPrompts) -> Array:
        """The carried soft mask (H, W) with the neighbourhood of each click segmented anew on the click's terms."""
        mask = carried > 0.5
        away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
        deep = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        own, other = 0.5 * (self.old["own0"] + self.old["own"]), self.old["other"]
        pull, held = np.zeros_like(carried), np.ones_like(carried)
        disc = 0.012 * self.height
        for points, sign, reach in ((clicks.points, 1, away), (clicks.negative, -1, deep)):
            for point in points:
                x, y = (min(max(round(v), 0), n - 1) for v, n in zip(point, (self.width, self.height), strict=True))
                radius = float(np.clip(2 * reach[y, x], 0.04 * self.height, 0.25 * self.height))
                near = distance_to((point,), mask.shape)
                colours = histogram(self.bins, np.exp(-((near / max(0.3 * radius, disc)) ** 2)))
                rival = other if sign > 0 else own
                like = (
                    (log_likelihood_ratio(self.bins, colours, rival, 3) > _CLAIM)
                    & (mask != (sign > 0))
                    & (near < 6 * radius)
                )
                held[components_with_points(like | (near < disc), (point,)) & like] = 0.1
                if sign > 0:
                    own = 0.5 * (own + colours)
                else:
                    other = 0.5 * (other + colours)
                pull += sign * (1.3 * np.exp(-((near / radius) ** 2)) + 20 * (near < disc))
                held = np.minimum(held, 1 - 0.9 * np.exp(-((near / (1.5 * radius)) ** 2)))
        cost = (
            -6 * held * (2 * carried - 1) - (1 - 0.8 * held) * log_likelihood_ratio(self.bins, own, other, 2.5) - pull
        )
        soft = solve_segmentation(cost, edge_weights(self.lab), SMOOTH, 2 * ROUNDS, carried)
        return _sided(soft, soft > 0.5)

    def confidence(self, soft: Array) -> float:
        """Expected overlap (IoU) of a mask with the truth, 0 to 1."""
        return expected_iou(self.bins, soft > 0.5, self.old["own0"], float(self.old["agreement"]))


def expected_iou(bins: Array, mask: Array, own: Array, agreement: float) -> float:
    """Expected overlap of a mask with the truth: how sure the first mask was, whether it still has the first frame's
    colours `own`, and how much it differs from what is round it."""
    if not mask.any():
        return 0.0
    familiar = float(np.sqrt(histogram(bins, mask * 1.0) * own).sum())
    value = _BASE + _FIRST * agreement + _FAMILIAR * familiar + _DISTINCT * separation(mask, bins)
    return float(np.clip(value, 0, 1))


def _sided(soft: Array, mask: Array) -> Array:
    """A soft mask whose values lie on the mask's side of one half."""
    return np.where(mask, np.maximum(soft, 0.51), np.minimum(soft, 0.49)).astype(np.float32)
