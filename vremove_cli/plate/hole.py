"""One frame's hole on its way from mask to picture: where its samples are seen, and what comes of what is seen.

Samples are taken once, with a cubic, from the source's own planes, each component group on its own grid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.pixel_format import Layout
from vremove_cli.motion.trace import Ends, mask_lookup, trace
from vremove_cli.motion.warp import sample
from vremove_cli.plate.coarse import subsample_mask
from vremove_cli.plate.fuse import Sightings, fuse
from vremove_cli.plate.motion_field import MotionField

RIM = 2  # pixels of known surroundings that the solution is tied to
_GUESS_FAR = 60.0  # frames that a guess counts as away: trusted least of all
_RIGHT, _DOWN = np.array([1, 0], np.float32), np.array([0, 1], np.float32)

Planes = tuple[Array, ...]


@dataclass(frozen=True)
class Sources:
    """Where the background of a run of frames may be seen: in frames reach[0] <= t < reach[1] outside their `masks`
    (uint8, 0 or 255), in whole `clean` pictures given for some frames, and last in a `guess`: a frame and its picture,
    invented where nothing shows it."""

    info: ClipInfo
    motion: MotionField
    masks: Mapping[int, Placed]
    reach: FrameRange
    clean: Mapping[int, Planes]
    guess: tuple[int, Planes] | None = None

    def hidden(self, t: int, points: Array) -> Array:
        """Mask values (N,) at points (N, 2) of frame t."""
        mask = self.masks.get(t)
        if mask is None or mask.empty or t in self.clean:
            return np.zeros(len(points), np.uint8)
        return mask_lookup(mask, points)

    def trace(self, points: Array, start: int, step: int, *, to: int | None = None) -> Ends:
        """Follow points of frame `start` one way in time, until they are seen, or up to frame `to`."""
        flows = self.motion.ahead if step > 0 else self.motion.back
        stop = (self.reach[1] if step > 0 else self.reach[0] - 1) if to is None else to + step

        def hidden(t: int, at: Array) -> Array:
            return self.hidden(t, at) if to is None else np.full(len(at), 255 * (t != to), np.uint8)

        return trace(points, start, step, stop, flows, hidden, (self.info.width, self.info.height), self.motion.scale)


@dataclass(frozen=True)
class Recovered:
    """A frame's hole, filled: components on `box` (aligned to chroma, inside the frame), the blend's `matte` (h, w)
    uint8 and how `sure` each pixel is (h, w) uint8 (see `confidence`; 0 outside the hole)."""

    box: Box
    planes: Planes
    matte: Array
    sure: Array


def matte_of(mask: Array, feather: float) -> Array:
    """Blend weights (H, W) uint8 from a binary mask: 255 inside, falling to 0 over `feather` pixels outside."""
    if not mask.any():
        return np.zeros(mask.shape, np.uint8)
    away = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(255 * (1 - away / (feather + 1)), 0, 255).astype(np.uint8)


def hole_box(mask: Placed, info: ClipInfo, feather: float) -> Box:
    """The box of a mask's hole: its soft border and a known rim included, on whole chroma samples, in the frame."""
    room = int(np.ceil(feather)) + 1 + RIM
    step = 1 << max(info.layout.sub_x, info.layout.sub_y)
    return mask.box.grow(room).align(step).clip(info.width, info.height)


@dataclass
class _Group:
    """The hidden samples of components that share a grid: where they are, where they were seen, what was seen."""

    index: int
    components: tuple[int, ...]
    sub: tuple[int, int]
    offset: tuple[float, float]
    hole: Array
    core: Array
    rim_x: Array
    rim_y: Array
    luma_only: bool
    points: Array = field(init=False)
    light: Mapping[int, float] = field(init=False)
    peak: int = field(init=False)
    ends: tuple[Ends, Ends] = field(init=False)
    seen: tuple[Sightings, Sightings] = field(init=False)
    order: tuple[tuple[Array, Array], ...] = field(init=False)

    def follow(self, box: Box, sources: Sources) -> None:
        """Find out where every sample is seen; what is seen nowhere is taken from the guess."""
        self.points = self._positions(box)
        self.ends = (sources.trace(self.points, self.index, 1), sources.trace(self.points, self.index, -1))
        self.light, self.peak = sources.motion.light, sources.info.layout.peak
        self.seen = tuple(Sightings.none(len(e.frame), len(self.components)) for e in self.ends)  # type: ignore[assignment]
        sorting = [np.argsort(e.frame, kind="stable") for e in self.ends]
        self.order = tuple((o, e.frame[o]) for o, e in zip(sorting, self.ends, strict=True))
        never = np.flatnonzero((self.ends[0].frame < 0) & (self.ends[1].frame < 0))
        if sources.guess is not None and len(never):
            self._take_guess(never, sources)

    def _positions(self, box: Box) -> Array:
        """Positions (N, 2) of the samples in the frame's luma pixels."""
        rows, columns = np.nonzero(self.hole)
        x = (columns << self.sub[0]) + box.x0 + self.offset[0]
        y = (rows << self.sub[1]) + box.y0 + self.offset[1]
        return np.stack([x, y], axis=1).astype(np.float32)

    def _take_guess(self, which: Array, sources: Sources) -> None:
        assert sources.guess is not None
        key, planes = sources.guess
        points = self.points[which]
        if key != self.index:
            ends = sources.trace(points, self.index, 1 if key > self.index else -1, to=key)
            which, points = which[ends.frame == key], ends.points[ends.frame == key]
        if len(which):
            seen = self.seen[0]
            seen.distance[which] = _GUESS_FAR
            seen.guessed[which] = True
            self._sample(planes, key, points, which, seen)

    def look(self, planes: Planes, frame: int) -> None:
        """Take the samples that a frame shows."""
        for ends, seen, (order, frames) in zip(self.ends, self.seen, self.order, strict=True):
            low, high = np.searchsorted(frames, [frame, frame + 1])
            if low == high:
                continue
            which = order[low:high]
            seen.distance[which] = ends.distance[which]
            seen.travel[which] = np.linalg.norm(ends.points[which] - self.points[which], axis=1)
            self._sample(planes, frame, ends.points[which], which, seen)

    def _sample(self, planes: Planes, frame: int, points: Array, which: Array, seen: Sightings) -> None:
        at = (points - np.array(self.offset, np.float32)) / np.array([1 << self.sub[0], 1 << self.sub[1]], np.float32)
        height, width = planes[self.components[0]].shape
        low = np.maximum(np.floor(at.min(axis=0)).astype(int) - 4, 0)
        high = np.ceil(at.max(axis=0)).astype(int) + 5
        box = Box(int(low[0]), int(low[1]), min(int(high[0]), width), min(int(high[1]), height))
        local = at - low.astype(np.float32)
        on_rim_x, on_rim_y = self.rim_x[which], self.rim_y[which]
        change = np.float32((self.light[self.index] - self.light[frame]) * self.peak / 255)
        for c, component in enumerate(self.components):
            brighter = np.float32(0) if component and self.luma_only else change
            part = planes[component][box.slices] + brighter
            seen.colour[which, c] = sample(part, local, cubic=True)
            seen.right[which, c] = sample(part, local + _RIGHT, cubic=True)
            seen.below[which, c] = sample(part, local + _DOWN, cubic=True)
            if on_rim_x.any():
                seen.left[which[on_rim_x], c] = sample(part, local[on_rim_x] - _RIGHT, cubic=True)
            if on_rim_y.any():
                seen.above[which[on_rim_y], c] = sample(part, local[on_rim_y] - _DOWN, cubic=True)


@dataclass
class Hole:
    """One frame's hole: `follow`, then `look` at every frame of `sources`, then `solve`."""

    index: int
    layout: Layout
    box: Box
    matte: Array
    groups: list[_Group]
    known: Planes = ()

    @classmethod
    def at(cls, info: ClipInfo, index: int, mask: Placed, feather: float) -> "Hole":
        box = hole_box(mask, info, feather)
        matte = matte_of(mask.on(box), feather)
        left = 0.0 if not info.colour.centred(info.layout) else 0.5
        groups = []
        for components in info.layout.groups:
            part = info.layout.components[components[0]]
            offset = (left * ((1 << part.sub_x) - 1), ((1 << part.sub_y) - 1) / 2)
            hole = subsample_mask(matte > 0, part.sub_x, part.sub_y)
            core = subsample_mask(mask.on(box) > 0, part.sub_x, part.sub_y)
            sub, luma_only = (part.sub_x, part.sub_y), info.layout.model == "yuv"
            groups.append(_Group(index, components, sub, offset, hole, core, *_rims(hole), luma_only))
        return cls(index, info.layout, box, matte, groups)

    @property
    def bytes(self) -> int:
        """Memory that the sightings take: six values a component and end, and the ends themselves."""
        return sum(int(g.hole.sum()) * 2 * (len(g.components) * 20 + 40) for g in self.groups)

    def follow(self, sources: Sources) -> None:
        """Find out where every sample is seen."""
        for group in self.groups:
            group.follow(self.box, sources)

    def sources(self) -> set[int]:
        """The frames that show any of it."""
        return {int(f) for g in self.groups for e in g.ends for f in np.unique(e.frame) if f >= 0}

    def look(self, planes: Planes, frame: int) -> None:
        """Take what a frame shows."""
        if frame == self.index:
            parts = zip(planes, self.layout.components, strict=True)
            self.known = tuple(np.array(p[self.box.scale(c.sub_x, c.sub_y).slices]) for p, c in parts)
        for group in self.groups:
            group.look(planes, frame)

    def solve(self, *, wary: bool) -> Recovered:
        """Fuse what was seen; `wary` as in `fuse`."""
        layout = self.layout
        planes = list(self.known)
        sure = np.zeros(self.matte.shape, np.uint8)
        for n, group in enumerate(self.groups):
            known = np.stack([self.known[c] for c in group.components]).astype(np.float32)
            fused = fuse(known, group.hole, group.core, *group.seen, layout.peak, wary=wary)
            whole = np.clip(np.rint(fused.values), 0, layout.peak).astype(layout.dtype)
            for c, component in enumerate(group.components):
                planes[component] = whole[c]
            if n == 0:
                sure = fused.sure
        return Recovered(self.box, tuple(planes), self.matte, sure)


def _rims(hole: Array) -> tuple[Array, Array]:
    """Which samples of a hole (in row order) have a known left, and a known upper neighbour."""
    left, up = np.zeros_like(hole), np.zeros_like(hole)
    left[:, 1:] = ~hole[:, :-1]
    up[1:] = ~hole[:-1]
    return left[hole], up[hole]
