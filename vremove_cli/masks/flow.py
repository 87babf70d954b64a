"""A tracker without weights: optical flow carries the mask, colours and the background's own motion correct it.

Each frame is segmented anew in a band round the carried mask. The object's colours are anchored to the prompted frame,
so the mask does not melt; a plate of the background, moved with the camera, and what moves with the camera are held
against it, so it does not leak.
"""

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.masks.base import Clicks, State, Tracked
from vremove_cli.masks.colours import bins_of, histogram, likeness, to_lab
from vremove_cli.masks.energy import edge_weights, segment
from vremove_cli.masks.first import SURE, first_mask
from vremove_cli.motion.camera import camera_step
from vremove_cli.motion.flow import carry, dense_flow
from vremove_cli.motion.warp import grid, project, warp_back

WORK_HEIGHT, FIRST_HEIGHT = 360, 180
_BAND = 36  # pixels of surroundings the object is segmented in
_SMOOTH, _ROUNDS = 4.0, 40
_LOST_AREA, _LOST_COLOUR, _LOST_PIXELS = 0.2, 0.15, 15
_FOUND_PEAK = 0.3
_REMEMBERED = 10


class FlowTracker:
    """Follows one object; see `masks.base.Tracker`. Everything it knows is in the state it returns."""

    name = "flow"

    def begin(self, rgb: Array, clicks: Clicks) -> tuple[State, Tracked]:
        """Segment the prompted frame."""
        small = _shrink(rgb, FIRST_HEIGHT)
        first = first_mask(to_lab(small), small, clicks.scaled(small.shape[0] / rgb.shape[0]))
        work = _shrink(rgb, WORK_HEIGHT)
        soft = cv2.resize(first.mask, (work.shape[1], work.shape[0]), interpolation=cv2.INTER_LINEAR)
        fresh = _remember(work, soft)
        confidence = min(1.0, first.agreement)
        remark = "" if first.agreement >= SURE else "the first mask is doubtful"
        return fresh, Tracked(_enlarge(soft, rgb.shape), confidence, remark)

    def step(self, rgb: Array, state: State) -> tuple[State, Tracked]:
        """Carry the mask to the next frame, or look for the object when it was lost."""
        work = _shrink(rgb, WORK_HEIGHT)
        look = _Look(work, state)
        if state.arrays["lost"]:
            soft = look.search()
            again = soft is not None
            if soft is None:
                soft = np.zeros(work.shape[:2], np.float32)
            return look.remember(soft, lost=not again), Tracked(
                _enlarge(soft, rgb.shape), 0.4 if again else 0.0, "found again" if again else "lost"
            )
        soft, confidence = look.carry()
        lost = look.is_lost(soft)
        if lost:
            soft = np.zeros_like(soft)
        remark = "lost" if lost else ""
        return look.remember(soft, lost=lost), Tracked(_enlarge(soft, rgb.shape), 0.0 if lost else confidence, remark)


def _shrink(rgb: Array, height: int) -> Array:
    if rgb.shape[0] <= height:
        return rgb
    return cv2.resize(rgb, (max(8, round(rgb.shape[1] * height / rgb.shape[0])), height), interpolation=cv2.INTER_AREA)


def _enlarge(soft: Array, shape: tuple[int, ...]) -> Array:
    """The outline of a soft mask at full size, (H, W) uint8."""
    full = cv2.resize(soft, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return (full > 0.5).astype(np.uint8) * 255


def _remember(rgb: Array, soft: Array) -> State:
    """The state after a prompted frame."""
    lab = to_lab(rgb)
    bins = bins_of(lab)
    mask = soft > 0.5
    ring = cv2.dilate(mask.astype(np.uint8), np.ones((2 * _BAND + 1,) * 2, np.uint8)) > 0
    own, other = histogram(bins, mask * 1.0), histogram(bins, (ring & ~mask) * 1.0)
    anywhere = histogram(bins, (~mask) * 1.0)
    ratio = float(likeness(bins, own, anywhere, 3)[mask].mean()) if mask.any() else 0.0
    return State(
        {
            "gray": cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), "soft": soft.astype(np.float32),
            "own0": own, "other0": other, "own": own, "other": other, "anywhere": anywhere,
            "plate": lab.astype(np.float16), "seen": _clear_of(mask).astype(np.uint8),
            "age": np.where(mask, 9, 0).astype(np.float32),
            "areas": np.array([mask.sum()], np.float32), "ratio0": np.array(ratio, np.float32), "lost": np.array(False),
            "last": mask.astype(np.uint8),
        }
    )  # fmt: skip


def _clear_of(mask: Array) -> Array:
    """Pixels at least 4 away from a mask."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0


class _Look:
    """One frame being compared with what is remembered."""

    def __init__(self, rgb: Array, state: State) -> None:
        self.old = state.arrays
        self.gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        self.lab = to_lab(rgb)
        self.bins = bins_of(self.lab)
        self.height, self.width = self.gray.shape
        busy = cv2.dilate((self.old["soft"] > 0.5).astype(np.uint8) * 255, np.ones((9, 9), np.uint8))
        self.camera = camera_step(self.old["gray"], self.gray, busy, np.zeros_like(self.gray))
        inverse = np.linalg.inv(self.camera)
        self.plate = warp_back(self.old["plate"].astype(np.float32), inverse, self.width, self.height)
        self.seen = warp_back(self.old["seen"], inverse, self.width, self.height, nearest=True) > 0
        self.inverse = inverse

    def carry(self) -> tuple[Array, float]:
        """The soft mask (H, W) of this frame and a confidence."""
        back, ahead = dense_flow(self.gray, self.old["gray"]), dense_flow(self.old["gray"], self.gray)
        warped = carry(self.old["soft"], back)
        age = carry(self.old["age"], back)
        off = np.linalg.norm(back + np.stack([carry(ahead[..., c], back) for c in (0, 1)], axis=-1), axis=2)
        speed = np.linalg.norm(back, axis=2)
        reliable = np.exp(-((off / (1 + 0.05 * speed)) ** 2))
        mask = warped > 0.5
        box = bounds(mask)
        if box.empty:
            self.age = age
            return np.zeros_like(warped), 0.0
        box = box.grow(_BAND).clip(self.width, self.height)
        cost = self._cost(warped, reliable, age, back, box)
        start = warped[box.slices]
        soft = np.zeros_like(warped)
        soft[box.slices] = segment(cost, edge_weights(self.lab[box.slices]), _SMOOTH, _ROUNDS, start)
        mask_now = self._drop_strays(soft > 0.5, mask)
        blurred = cv2.GaussianBlur(soft, (0, 0), 0.7)
        self.age = np.where(mask_now, np.minimum(age + 1, 9), 0).astype(np.float32)
        out = np.where(mask_now, np.maximum(blurred, 0.51), np.minimum(blurred, 0.49)).astype(np.float32)
        union = np.count_nonzero(mask | mask_now)
        agreement = np.count_nonzero(mask & mask_now) / union if union else 0.0
        return out, float(agreement * reliable[mask].mean() ** 0.5)

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
        cost -= likeness(self.bins[part], own, other, 2.5)
        cost -= 0.5 * self._plate_term(part, inside)
        cost += self._camera_term(back, warped > 0.5)[part]
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
        camera = project(self.inverse, at.reshape(-1, 2)).reshape(at.shape) - at
        drift = np.linalg.norm(back - camera, axis=2)
        usual = float(np.median(drift[mask]))
        noise = 1 + float(np.median(drift[~mask])) if (~mask).any() else 1.0
        if usual <= 2 * noise:
            return np.zeros_like(drift)
        return 1.5 * np.clip(1 - (drift - 0.5 * noise) / (0.4 * usual), -0.3, 1)

    def _drop_strays(self, mask: Array, carried: Array) -> Array:
        """Without parts that do not overlap the carried mask or are tiny."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
        if count <= 1:
            return mask
        areas = stats[:, cv2.CC_STAT_AREA].astype(np.float32)
        areas[0] = 0
        overlap = np.bincount(labels[carried], minlength=count) > 0
        keep = overlap & (areas >= 0.01 * areas.max())
        keep[0] = False
        return keep[labels]

    def is_lost(self, soft: Array) -> bool:
        """Whether the object has gone: hardly anything left, or what is left has not its colours."""
        mask = soft > 0.5
        area = float(mask.sum())
        if area < max(_LOST_PIXELS, _LOST_AREA * float(np.median(self.old["areas"]))):
            return True
        return float(self._ratio(mask)) < _LOST_COLOUR * float(self.old["ratio0"])

    def _ratio(self, mask: Array) -> float:
        return float(likeness(self.bins, self.old["own0"], self.old["anywhere"], 3)[mask].mean())

    def search(self) -> Array | None:
        """The last good outline where the object's colours stand out in that shape; None when they do nowhere."""
        small = (max(1, self.width // 4), max(1, self.height // 4))
        last = self.old["last"]
        box = bounds(last)
        if box.empty:
            return None
        ratio = cv2.resize(
            likeness(self.bins, self.old["own0"], self.old["anywhere"], 3), small, interpolation=cv2.INTER_AREA
        )
        kernel = _shape_kernel(last, box)
        response = cv2.filter2D(ratio, -1, kernel, borderType=cv2.BORDER_CONSTANT)
        _, peak, _, (x, y) = cv2.minMaxLoc(response)
        # What the object itself scored at best: all of its area at the prompted frame's likeness.
        if peak < max(_FOUND_PEAK * 2.0, 1.5 * _FOUND_PEAK * float(self.old["ratio0"])):
            return None
        cx, cy = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        move = np.array([[1, 0, 4 * x + 2 - cx], [0, 1, 4 * y + 2 - cy]], np.float32)
        placed = cv2.warpAffine(last, move, (self.width, self.height), flags=cv2.INTER_NEAREST)
        found = placed.astype(np.float32)
        area = bounds(placed)
        if area.empty:
            return None
        area = area.grow(_BAND).clip(self.width, self.height)
        cost = -likeness(self.bins[area.slices], self.old["own0"], self.old["anywhere"], 2.5)
        cost -= 0.6 * (2 * found[area.slices] - 1)
        found[area.slices] = segment(
            cost, edge_weights(self.lab[area.slices]), _SMOOTH, _ROUNDS, placed[area.slices].astype(np.float32)
        )
        mask = self._drop_strays(found > 0.5, placed > 0)
        size = mask.sum() / max(1.0, float(np.median(self.old["areas"])))
        if not 0.25 < size < 2.2 or self._ratio(mask) < 0.5 * float(self.old["ratio0"]):
            return None
        return np.where(mask, np.maximum(found, 0.51), 0).astype(np.float32)

    def remember(self, soft: Array, *, lost: bool) -> State:
        """The state for the next frame; models learn only from masks that can be trusted."""
        old, mask = self.old, soft > 0.5
        area = float(mask.sum())
        box = bounds(mask)
        inside_frame = box.x0 > 0 and box.y0 > 0 and box.x1 < self.width and box.y1 < self.height
        usual = float(np.median(old["areas"]))
        trusted = not lost and area > 0.6 * usual and inside_frame and self._ratio(mask) > 0.5 * float(old["ratio0"])
        new = dict(old)
        new |= {"gray": self.gray, "soft": soft, "lost": np.array(lost)}
        clear = _clear_of(mask) if not lost else np.zeros_like(mask)
        blend = np.where(self.seen, 0.4, 1.0)[..., None]
        new["plate"] = np.where(clear[..., None], self.plate + blend * (self.lab - self.plate), self.plate).astype(
            np.float16
        )
        new["seen"] = (self.seen | clear).astype(np.uint8)
        new["age"] = getattr(self, "age", np.where(mask, 9, 0).astype(np.float32))
        if trusted:
            ring = cv2.dilate(mask.astype(np.uint8), np.ones((2 * _BAND + 1,) * 2, np.uint8)) > 0
            inner = mask & (new["age"] > 4)
            if inner.any():
                new["own"] = 0.9 * old["own"] + 0.1 * histogram(self.bins, inner * 1.0)
            new["other"] = 0.7 * old["other"] + 0.3 * histogram(self.bins, (ring & ~mask) * 1.0)
            new["last"] = mask.astype(np.uint8)
        if not lost:
            new["areas"] = np.append(old["areas"], np.float32(area))[-_REMEMBERED:]
        return State(new)


def _shape_kernel(last: Array, box: Box) -> Array:
    """The outline at quarter size: +1 in all inside, -0.6 in all on a ring of two pixels round it."""
    shape = last[box.slices]
    size = (max(1, shape.shape[1] // 4), max(1, shape.shape[0] // 4))
    inside = cv2.copyMakeBorder(cv2.resize(shape, size, interpolation=cv2.INTER_AREA), 3, 3, 3, 3, cv2.BORDER_CONSTANT)
    inside = (inside > 0).astype(np.float32)
    ring = cv2.dilate(inside, np.ones((5, 5), np.uint8)) - inside
    return inside / max(inside.sum(), 1) - 0.6 * ring / max(ring.sum(), 1)
