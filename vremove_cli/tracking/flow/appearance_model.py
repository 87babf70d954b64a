"""What the flow tracker keeps between frames: colours, sizes, the outline, and a plate of the background."""

from typing import Protocol

import cv2
import numpy as np

from vremove_cli.geometry import Array, bounds
from vremove_cli.tracking.base import TrackerState
from vremove_cli.tracking.flow.colour_histogram import bins_of, histogram, log_likelihood_ratio, to_lab

BAND = 36  # pixels of surroundings the object is segmented in
_REMEMBERED = 10  # frames whose sizes tell the usual one
_OLD = 9  # frames after which a pixel of the mask counts as settled


class ComparedFrame(Protocol):
    """A frame that was compared with the memory: its pictures, and the plate and ages brought to it."""

    old: dict[str, Array]
    rgb: Array
    gray: Array
    lab: Array
    bins: Array
    plate: Array
    seen: Array
    age: Array


def new_appearance(rgb: Array, soft: Array, agreement: float) -> TrackerState:
    """The memory of a prompted frame (H, W, 3) uint8 with its soft mask (H, W), as sure as the trials agreed."""
    lab = to_lab(rgb)
    bins = bins_of(lab)
    mask = soft > 0.5
    own, other = histogram(bins, mask * 1.0), histogram(bins, _ring(mask) * 1.0)
    anywhere = histogram(bins, (~mask) * 1.0)
    ratio = float(log_likelihood_ratio(bins, own, anywhere, 3)[mask].mean()) if mask.any() else 0.0
    return TrackerState(
        {
            "gray": cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), "soft": soft.astype(np.float32),
            "own0": own, "other0": other, "own": own, "other": other, "anywhere": anywhere,
            "plate": lab.astype(np.float16), "seen": _clear_of(mask).astype(np.uint8),
            "age": settled_age(mask),
            "areas": np.array([mask.sum()], np.float32), "ratio0": np.array(ratio, np.float32), "lost": np.array(False),
            "last": mask.astype(np.uint8), "apart": np.array(_farthest(mask), np.float32),
            "agreement": np.array(agreement, np.float32),
        }
    )  # fmt: skip


def corrected_appearance(look: ComparedFrame, soft: Array, removed: Array) -> TrackerState:
    """The memory after a correction: the corrected mask's own, its colours beside those from before.

    Colours that were more in what was `removed` (H, W) bool than in what stays are the surroundings' from now on.
    """
    fresh = new_appearance(look.rgb, soft, 1.0).arrays
    state = updated_appearance(look, soft, lost=False).arrays
    for name in ("own0", "other0", "anywhere"):
        state[name] = 0.5 * (look.old[name] + fresh[name])
    if removed.any():
        gone = histogram(look.bins, removed * 1.0)
        own = np.where(gone > fresh["own0"], fresh["own0"], state["own0"])
        state["own0"] = own / own.sum()
        for name in ("other0", "anywhere"):
            state[name] = 0.7 * state[name] + 0.3 * gone
    fresh["other"] = state["other0"]
    for name in ("own", "other", "age", "areas", "ratio0", "last", "apart", "agreement"):
        state[name] = fresh[name]
    return TrackerState(state)


def updated_appearance(look: ComparedFrame, soft: Array, *, lost: bool) -> TrackerState:
    """The memory after a frame; models learn only from masks that can be trusted."""
    old, mask = look.old, soft > 0.5
    area = float(mask.sum())
    box = bounds(mask)
    inside_frame = box.x0 > 0 and box.y0 > 0 and box.x1 < mask.shape[1] and box.y1 < mask.shape[0]
    familiar = colour_ratio(look, mask) > 0.5 * float(old["ratio0"])
    trusted = not lost and area > 0.6 * float(np.median(old["areas"])) and inside_frame and familiar
    new = dict(old)
    new |= {"gray": look.gray, "soft": soft, "lost": np.array(lost), "age": look.age}
    clear = _clear_of(mask) if not lost else np.zeros_like(mask)
    blend = np.where(look.seen, 0.4, 1.0)[..., None]
    plate = np.where(clear[..., None], look.plate + blend * (look.lab - look.plate), look.plate)
    new |= {"plate": plate.astype(np.float16), "seen": (look.seen | clear).astype(np.uint8)}
    if trusted:
        inner = mask & (look.age > 4)
        if inner.any():
            new["own"] = 0.9 * old["own"] + 0.1 * histogram(look.bins, inner * 1.0)
        new["other"] = 0.7 * old["other"] + 0.3 * histogram(look.bins, _ring(mask) * 1.0)
        new["last"] = mask.astype(np.uint8)
    if not lost:
        new["areas"] = np.append(old["areas"], np.float32(area))[-_REMEMBERED:]
    return TrackerState(new)


def settled_age(mask: Array) -> Array:
    """The ages of a mask that is believed at once."""
    return np.where(mask, _OLD, 0).astype(np.float32)


def increment_age(age: Array, mask: Array) -> Array:
    """For how many frames each pixel has been in the mask, at most `_OLD`."""
    return np.where(mask, np.minimum(age + 1, _OLD), 0).astype(np.float32)


def colour_ratio(look: ComparedFrame, mask: Array) -> float:
    """How much more a mask has the object's colours than the rest of the picture, as a mean log ratio; 0 when empty."""
    if not mask.any():
        return 0.0
    return float(log_likelihood_ratio(look.bins, look.old["own0"], look.old["anywhere"], 3)[mask].mean())


def component_gap(main: Array, part: Array) -> float:
    """Pixels between two parts of a mask."""
    return float(cv2.distanceTransform((~main).astype(np.uint8), cv2.DIST_L2, 5)[part].min())


def _farthest(mask: Array) -> float:
    """How far the parts of a mask are from its largest one, at most, in sizes of that."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return 0.0
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    main = labels == largest
    return (
        max(component_gap(main, labels == k) for k in range(1, count) if k != largest)
        / float(np.count_nonzero(main)) ** 0.5
    )


def _ring(mask: Array) -> Array:
    """The surroundings (H, W) bool of a mask."""
    return np.asarray((cv2.dilate(mask.astype(np.uint8), np.ones((2 * BAND + 1,) * 2, np.uint8)) > 0) & ~mask)


def _clear_of(mask: Array) -> Array:
    """Pixels at least 4 away from a mask."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0)
