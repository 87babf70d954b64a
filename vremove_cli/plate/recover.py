"""The clean plate: what other frames saw of the background, brought to where the object hides it.

Motion of the hidden background is measured with the object kept out of it (`motion_field`), every hidden pixel is
followed both ways in time until a frame shows it (`motion.trace`), the source is sampled there once, with a cubic, in
its own planes and depth, and the two sightings are fused (`fuse`).
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.read import Clip, Frame
from vremove_cli.motion.trace import Ends, mask_lookup, trace
from vremove_cli.motion.warp import sample
from vremove_cli.plate.fuse import Sightings, fuse
from vremove_cli.plate.motion_field import WORKERS, MotionField, measure, working_scale

BATCH_BYTES = 300 << 20  # memory for the sightings of the frames that are worked on together
_RIGHT, _DOWN = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
FLOW_BYTES, FLOW_BYTES_PER_PIXEL = 400 << 20, 8  # two directions of two half-precision numbers
_RIM = 2  # pixels of known surroundings that the solution is tied to


@dataclass(frozen=True)
class Recovered:
    """A frame's hole, filled: components on `box` (aligned to chroma, inside the frame), the blend's `matte` (h, w)
    uint8 and each pixel's `status` (h, w) uint8 (`fuse.RECOVERED`, `DOUBTFUL`, `UNSEEN` or 0)."""

    box: Box
    planes: tuple[Array, ...]
    matte: Array
    status: Array


def matte_of(mask: Array, feather: float) -> Array:
    """Blend weights (H, W) uint8 from a binary mask: 255 inside, falling to 0 over `feather` pixels outside."""
    if not mask.any():
        return np.zeros(mask.shape, np.uint8)
    away = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(255 * (1 - away / (feather + 1)), 0, 255).astype(np.uint8)


def hole_box(mask: Placed, info: ClipInfo, feather: float) -> Box:
    """The box of a mask's hole: its soft border and a known rim included, on whole chroma samples, in the frame."""
    room = int(np.ceil(feather)) + 1 + _RIM
    step = 1 << max(info.layout.sub_x, info.layout.sub_y)
    return mask.box.grow(room).align(step).clip(info.width, info.height)


def affordable(
    info: ClipInfo, run: tuple[int, int], reach: tuple[int, int], masks: Mapping[int, Placed]
) -> tuple[int, int]:
    """`reach`, drawn in evenly round `run` until the motion of its holes fits into `FLOW_BYTES`."""
    scale = working_scale(info)

    def bytes_of(t: int) -> float:
        return masks[t].box.width * masks[t].box.height * scale**2 * FLOW_BYTES_PER_PIXEL if t in masks else 0

    low, high = reach
    while (low, high) != run and sum(bytes_of(t) for t in range(low, high)) > FLOW_BYTES:
        low, high = min(low + 5, run[0]), max(high - 5, run[1])
    return low, high


def recover(
    clip: Clip,
    run: tuple[int, int],
    reach: tuple[int, int],
    masks: Mapping[int, Placed],
    feather: float,
    wary: bool = True,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, Recovered | None]]:
    """Fill the masks of frames `run` from the frames of `reach` (both half-open); (index, None) where there is none.

    `masks` are binary (0 or 255) for every frame of `reach` that has one. `wary` when a shadow or a rest of the object
    may lie on the holes' rims: see `fuse`. `tick` is called once for each frame of
    `reach` measured and once for each frame of `run` filled.
    """
    motion = measure(clip, *reach, masks, tick)
    with ThreadPoolExecutor(WORKERS) as pool:
        for holes in _batches(clip, run, masks, feather):
            todo = [hole for hole in holes.values() if hole is not None]
            list(pool.map(lambda hole: hole.follow(motion, masks, reach, clip), todo))
            _look(clip, todo, reach)
            solved = pool.map(lambda hole: hole.solve(clip, wary), todo)
            for t, hole in holes.items():
                yield t, None if hole is None else next(solved)
                tick()


def _batches(
    clip: Clip, run: tuple[int, int], masks: Mapping[int, Placed], feather: float
) -> "Iterator[dict[int, _Hole | None]]":
    """The holes of a run of frames, in order, as many at a time as `BATCH_BYTES` hold."""
    batch: dict[int, _Hole | None] = {}
    size = 0
    for t in range(*run):
        hole = _Hole.at(clip, t, masks[t], feather) if t in masks and not masks[t].empty else None
        batch[t] = hole
        size += hole.bytes if hole else 0
        if size > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    yield batch


def _look(clip: Clip, holes: "list[_Hole]", reach: tuple[int, int]) -> None:
    """Read the frames that any of the holes needs, once."""
    wanted = {hole.index for hole in holes}
    for hole in holes:
        wanted |= hole.sources()
    if not wanted:
        return
    for frame in clip.frames(max(reach[0], min(wanted)), min(reach[1], max(wanted) + 1)):
        if frame.index in wanted:
            for hole in holes:
                hole.look(frame)


@dataclass
class _Group:
    """The hidden samples of components that share a grid: where they are, where they were seen, what was seen."""

    components: tuple[int, ...]
    sub: tuple[int, int]
    offset: tuple[float, float]
    hole: Array
    core: Array
    rim_x: Array
    rim_y: Array
    index: int
    points: Array = field(init=False)
    light: Mapping[int, float] = field(init=False)
    ends: tuple[Ends, Ends] = field(init=False)
    seen: tuple[Sightings, Sightings] = field(init=False)
    order: tuple[tuple[Array, Array], ...] = field(init=False)

    def positions(self, box: Box) -> Array:
        """Positions (N, 2) of the samples in the frame's luma pixels."""
        rows, columns = np.nonzero(self.hole)
        x = (columns << self.sub[0]) + box.x0 + self.offset[0]
        y = (rows << self.sub[1]) + box.y0 + self.offset[1]
        return np.stack([x, y], axis=1).astype(np.float32)

    def settle(self, points: Array, ends: tuple[Ends, Ends], light: Mapping[int, float], peak: int) -> None:
        """Take note of where the samples are seen; `light` by frame is what brightness is matched by."""
        self.points, self.ends = points, ends
        self.light = {t: level * peak / 255 if 0 in self.components else 0.0 for t, level in light.items()}
        self.seen = tuple(Sightings.none(len(e.frame), len(self.components)) for e in ends)  # type: ignore[assignment]
        sorting = [np.argsort(e.frame, kind="stable") for e in ends]
        self.order = tuple((o, e.frame[o]) for o, e in zip(sorting, ends, strict=True))

    def look(self, frame: Frame) -> None:
        """Take the samples that this frame shows."""
        for ends, seen, (order, frames) in zip(self.ends, self.seen, self.order, strict=True):
            low, high = np.searchsorted(frames, [frame.index, frame.index + 1])
            if low == high:
                continue
            which = order[low:high]
            seen.distance[which] = ends.distance[which]
            seen.travel[which] = np.linalg.norm(ends.points[which] - self.points[which], axis=1)
            at = (ends.points[which] - np.array(self.offset, np.float32)) / np.array(
                [1 << self.sub[0], 1 << self.sub[1]], np.float32
            )
            self._sample(frame, at, which, seen)

    def _sample(self, frame: Frame, at: Array, which: Array, seen: Sightings) -> None:
        planes = frame.planes()
        height, width = planes[self.components[0]].shape
        low = np.maximum(np.floor(at.min(axis=0)).astype(int) - 4, 0)
        high = np.ceil(at.max(axis=0)).astype(int) + 5
        box = Box(int(low[0]), int(low[1]), min(int(high[0]), width), min(int(high[1]), height))
        local = at - low.astype(np.float32)
        on_rim_x, on_rim_y = self.rim_x[which], self.rim_y[which]
        brighter = np.float32(self.light[self.index] - self.light[frame.index])
        for c, component in enumerate(self.components):
            part = planes[component][box.slices] + brighter
            seen.colour[which, c] = sample(part, local, cubic=True)
            seen.right[which, c] = sample(part, local + _RIGHT, cubic=True)
            seen.below[which, c] = sample(part, local + _DOWN, cubic=True)
            if on_rim_x.any():
                seen.left[which[on_rim_x], c] = sample(part, local[on_rim_x] - _RIGHT, cubic=True)
            if on_rim_y.any():
                seen.above[which[on_rim_y], c] = sample(part, local[on_rim_y] - _DOWN, cubic=True)


@dataclass
class _Hole:
    """One frame's hole on its way from mask to picture."""

    index: int
    box: Box
    matte: Array
    groups: list[_Group]
    known: tuple[Array, ...] = ()

    @classmethod
    def at(cls, clip: Clip, index: int, mask: Placed, feather: float) -> "_Hole":
        info, layout = clip.info, clip.info.layout
        box = hole_box(mask, info, feather)
        matte = matte_of(mask.on(box), feather)
        left = 0.0 if not info.colour.centred(layout) else 0.5
        groups = []
        for components in layout.groups:
            part = layout.components[components[0]]
            offset = (left * ((1 << part.sub_x) - 1), ((1 << part.sub_y) - 1) / 2)
            hole = coarse(matte > 0, part.sub_x, part.sub_y)
            core = coarse(mask.on(box) > 0, part.sub_x, part.sub_y)
            groups.append(_Group(components, (part.sub_x, part.sub_y), offset, hole, core, *_rims(hole), index))
        return cls(index, box, matte, groups)

    @property
    def bytes(self) -> int:
        """Memory that the sightings take: six values a component and end, and the ends themselves."""
        return sum(int(g.hole.sum()) * 2 * (len(g.components) * 20 + 40) for g in self.groups)

    def follow(self, motion: MotionField, masks: Mapping[int, Placed], reach: tuple[int, int], clip: Clip) -> None:
        """Find out where every sample is seen."""

        def hidden(t: int, points: Array) -> Array:
            mask = masks.get(t)
            if mask is None or mask.empty:
                return np.zeros(len(points), np.uint8)
            return mask_lookup(mask.values, (mask.box.x0, mask.box.y0), points)

        size = (clip.info.width, clip.info.height)
        for group in self.groups:
            points = group.positions(self.box)
            ahead = trace(points, self.index, 1, reach[1], motion.ahead, hidden, size, motion.scale)
            back = trace(points, self.index, -1, reach[0] - 1, motion.back, hidden, size, motion.scale)
            group.settle(points, (ahead, back), motion.light, clip.info.layout.peak)

    def sources(self) -> set[int]:
        return {int(f) for g in self.groups for e in g.ends for f in np.unique(e.frame) if f >= 0}

    def look(self, frame: Frame) -> None:
        if frame.index == self.index:
            self.known = tuple(np.array(p) for p in frame.crop(self.box))
        for group in self.groups:
            group.look(frame)

    def solve(self, clip: Clip, wary: bool) -> Recovered:
        layout = clip.info.layout
        planes = list(self.known)
        status = np.zeros(self.matte.shape, np.uint8)
        for n, group in enumerate(self.groups):
            known = np.stack([self.known[c] for c in group.components]).astype(np.float32)
            fused = fuse(known, group.hole, group.core, *group.seen, layout.peak, wary=wary)
            whole = np.clip(np.rint(fused.values), 0, layout.peak).astype(layout.dtype)
            for c, component in enumerate(group.components):
                planes[component] = whole[c]
            if n == 0:
                status = fused.status
        return Recovered(self.box, tuple(planes), self.matte, status)


def coarse(mask: Array, sub_x: int, sub_y: int) -> Array:
    """A mask (h, w) on a subsampled grid: set where any of the covered pixels is."""
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % (1 << sub_y)), (0, -width % (1 << sub_x))))
    rows, columns = padded.shape[0] >> sub_y, padded.shape[1] >> sub_x
    return np.asarray(padded.reshape(rows, 1 << sub_y, columns, 1 << sub_x).any(axis=(1, 3)))


def _rims(hole: Array) -> tuple[Array, Array]:
    """Which samples of a hole (in row order) have a known left, and a known upper neighbour."""
    left, up = np.zeros_like(hole), np.zeros_like(hole)
    left[:, 1:] = ~hole[:, :-1]
    up[1:] = ~hole[:-1]
    return left[hole], up[hole]
