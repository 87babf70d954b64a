"""Find an object's shadow, reflection and light: what differs from the background and goes along with the object.

ROSE (sec. 4.4) and UnderEraser (eq. 1-2) define the side effects of an object as the difference between a clip with and
without it. The clip without it is the mosaic of the shot here. In the object's coordinates (`object_frame`) its effects
hold still, and everything else that moves smears out. An effect is the background in another light, or the mirrored
object; a thing that goes along with the object is neither, and keeps its own shadow.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.arrays import distance_from, keep_components, label_components
from vremove_cli.geometry import Array
from vremove_cli.motion.pixelwise import at_rank, largest_channel, shown_first
from vremove_cli.plate.object_frame import ObjectFrame

SAMPLES = 32  # frames whose median difference shows an effect to its end

_MIN_SEEN = 0.15  # share of the frames that must show a place
# Presence (share of the frames in which a place differs) of an effect's core and of its edge.
_CORE, _EDGE, _FAINT_EDGE = 0.6, 0.5, 0.1
_FAINT = 1.5  # 8-bit levels of the median difference from which a place belongs to an effect
_SURE = 0.8  # presence of an effect that does not touch the object
_CORE_PIXELS, _DETACHED_PIXELS = 12, 40  # of a core; of an effect that does not touch the object
_OTHER_CORE, _OTHER = 0.4, 0.5  # share of another thing among what differs, from which a place is none of the object's
_OTHER_PRESENCE, _OTHER_AREA = 0.4, 0.04  # of a thing that goes along: presence, share of the object's area
_FOOT = 0.2  # of the height: the part from which a shadow starts
_CONTACT = 3.0  # pixels between a foot and a shadow that starts there
_CLOSING = 0.06  # of the object's size: gaps that are closed, where the effect hid its own background


@dataclass(frozen=True)
class Evidence:
    """What differs from the background, in the object's coordinates.

    Attributes:
        presence: (n, n) float32, share of the frames in which a place differs, 0 to 1.
        other: (n, n) float32, share of another thing among what differs, 0 to 1.
        level: (n, n) float32, the median difference, 8-bit levels.
        silhouette: (n, n) bool, where the object with its fringe is in any frame.
    """

    presence: Array
    other: Array
    level: Array
    silhouette: Array


@dataclass(frozen=True)
class LaidEvidence:
    """One frame's evidence in the object's coordinates.

    Attributes:
        index: The frame.
        changed: (n, n) float32, where it differs from the background, 0 to 1.
        other: (n, n) float32, where it shows another thing, 0 to 1.
        seen: (n, n) bool, where it shows the background.
        silhouette: (n, n) bool, the object with its fringe.
    """

    index: int
    changed: Array
    other: Array
    seen: Array
    silhouette: Array


class EvidenceSum:
    """Adds up the evidence of frames."""

    def __init__(self, place: ObjectFrame, sampled: Iterable[int]) -> None:
        """Begin with nothing; the median is taken of the frames `sampled`."""
        shape = (place.side, place.side)
        self._place = place
        self._sampled = set(sampled)
        self._changed, self._other, self._seen = (np.zeros(shape, np.float32) for _ in range(3))
        self._silhouette = np.zeros(shape, bool)
        self._levels: dict[int, Array] = {}
        self._level_seen: dict[int, Array] = {}
        self._frames = 0

    def add_difference(self, t: int, difference: Array) -> None:
        """Keep the difference (H, W, 3) float32, 8-bit levels, of a frame for the median, if it is sampled."""
        if t in self._sampled:
            self._levels[t] = np.clip(self._place.lay(difference, t) * 16, -30000, 30000).astype(np.int16)

    def lay(self, t: int, changed: Array, other: Array, free: Array, object_mask: Array) -> "LaidEvidence":
        """Lay out what frame t shows in the object's coordinates.

        Args:
            t: Its number.
            changed: (H, W) bool, where it differs from the background.
            other: (H, W) bool, where it shows another thing.
            free: (H, W) bool, where neither the object nor its fringe is, and the background is known.
            object_mask: (H, W) bool, the object with its fringe.
        """
        place = self._place
        seen = place.lay_mask(free, t)
        of_changed, of_other = (place.lay((mask & free).astype(np.float32), t) * seen for mask in (changed, other))
        return LaidEvidence(t, of_changed, of_other, seen, place.lay_mask(object_mask, t))

    def add(self, laid: "LaidEvidence") -> None:
        """Add a frame whose difference was added."""
        self._changed += laid.changed
        self._other += laid.other
        self._seen += laid.seen
        self._silhouette |= laid.silhouette
        self._frames += 1
        if laid.index in self._sampled:
            self._level_seen[laid.index] = laid.seen

    def result(self) -> Evidence:
        """Return the evidence of all frames."""
        enough = self._seen >= _MIN_SEEN * self._frames
        presence = np.where(enough, self._changed / np.maximum(self._seen, 1), 0).astype(np.float32)
        other = _blur(self._other, 2.5) / np.maximum(_blur(self._changed, 2.5), 0.3)
        level = _masked_median(self._levels, self._level_seen) if self._levels else presence * 0
        level = _blur(np.where(enough, level, 0).astype(np.float32), 1)
        return Evidence(_blur(presence, 1), other, level, self._silhouette)


@dataclass(frozen=True)
class EffectRegion:
    """Where an object's effects are, in its coordinates.

    Attributes:
        region: (n, n) bool, where they may be.
        always: (n, n) bool, where they are in every frame.
        company: Whether another thing goes along with the object.
    """

    region: Array
    always: Array
    company: bool


def find_region(evidence: Evidence, shape: Array, size: float, before: EffectRegion | None = None) -> EffectRegion:
    """Return where an object's effects are.

    Args:
        evidence: What differs from the background.
        shape: (n, n) bool, where the object usually is.
        size: The object's, in pixels.
        before: The result of the round before: an effect that hid its own background may not be seen again.
    """
    presence, other, silhouette = evidence.presence, evidence.other, evidence.silhouette
    faint = (evidence.level > _FAINT) & (presence > _FAINT_EDGE)
    edge = ((presence > _EDGE) | faint) & (other < _OTHER)
    core = (presence > _CORE) & (other < _OTHER_CORE)
    labels, areas = label_components(edge | silhouette)
    touching = np.zeros(len(areas), bool)
    touching[np.unique(labels[silhouette])] = True
    cores = np.bincount(labels[core], minlength=len(areas))
    sure = np.bincount(labels[core & (presence > _SURE)], minlength=len(areas))
    kept = (cores >= _CORE_PIXELS) & (touching | (sure > _DETACHED_PIXELS))
    kept[0] = False
    region = kept[labels] & edge
    things = (other > _OTHER) & (presence > _OTHER_PRESENCE) & ~silhouette
    things = keep_components(_opened(things), lambda _, sizes: sizes >= _OTHER_AREA * size**2)
    region = _closed_and_filled(_own_shadows(region, things, silhouette), size) & ~things & ~shape
    always = region & core & (evidence.level > _FAINT)
    if before is not None:
        region, always = region | (before.region & ~things), always | (before.always & ~things)
    return EffectRegion(region, always, bool(things.any()))


def _own_shadows(region: Array, things: Array, silhouette: Array) -> Array:
    """A region (n, n) bool without the shadows that start at the foot of another thing."""
    if not things.any():
        return region
    labels, areas = label_components(things)
    feet = np.zeros_like(things)
    for label in range(1, len(areas)):
        feet |= _foot(labels == label)
    to_thing, to_object = (distance_from(foot) for foot in (feet, _foot(silhouette)))
    labels, areas = label_components(region & ~silhouette)
    out = region.copy()
    for label in range(1, len(areas)):
        part = labels == label
        if to_thing[part].min() < to_object[part].min():
            out &= ~part
        elif to_thing[part].min() <= _CONTACT:
            out &= ~(part & (to_thing < to_object))
    return out


def _foot(mask: Array) -> Array:
    """The lowest part of a mask (n, n) bool."""
    rows = np.flatnonzero(mask.any(axis=1))
    out = np.zeros_like(mask)
    if len(rows):
        top = rows[-1] - max(2, round(_FOOT * (rows[-1] - rows[0])))
        out[top:] = mask[top:]
    return out


def frame_effects(inside: Array, always: Array, changed: Array, mirrored: Array | None) -> Array:
    """Return one frame's effects, (H, W) bool, before they grow.

    Args:
        inside: (H, W) bool, where effects may be.
        always: (H, W) bool, where they are in every frame.
        changed: (H, W) bool, where it differs from the background.
        mirrored: (H, W) bool, the object's mirrored mask, where the frame shows its mirror image.
    """
    found = always | (changed & inside)
    if mirrored is not None:
        found |= mirrored & inside
    return _filled(found)


def _masked_median(values: dict[int, Array], seen: dict[int, Array]) -> Array:
    """The largest channel of the absolute median (n, n) of values (n, n, 3) int16 by frame where seen (n, n) bool."""
    count = np.sum(list(seen.values()), axis=0)
    ordered = shown_first([values[t] for t in seen], list(seen.values()))
    middle = at_rank(ordered, (count - 1) // 2).astype(np.float32) / 16
    return np.where(count > 0, largest_channel(np.abs(middle)), 0)


def _closed_and_filled(mask: Array, size: float) -> Array:
    px = max(2, round(_CLOSING * size))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    padded = np.pad(mask.astype(np.uint8), px)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[px:-px, px:-px]
    return _filled(closed > 0)


def _filled(mask: Array) -> Array:
    """A mask (H, W) bool without holes."""
    out = np.zeros(mask.shape, np.uint8)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, outlines, -1, 1, cv2.FILLED)
    return out > 0


def _opened(mask: Array) -> Array:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    return np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0)


def _blur(values: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma))
