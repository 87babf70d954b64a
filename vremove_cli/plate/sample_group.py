"""Trace the hidden samples of one grid until other frames show them, and observe them there.

Components that share a grid (luma, chroma) form a group with its own samples. A sample is observed once, bicubically,
in the source's own planes and depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vremove_cli.compose import subsample_mask
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.motion.trace import TraceResult, sample_mask, trace
from vremove_cli.motion.warp import sample
from vremove_cli.plate.fuse import Observations
from vremove_cli.plate.motion_field import MotionField

SYNTHESISED_DISTANCE = 60.0  # frames that a synthesised sample counts as away: it is trusted least of all

_BYTES_PER_VALUE, _BYTES_PER_SAMPLE = 20, 40  # a direction: five float32 per component; positions, order, distances
CUBIC_BEFORE, CUBIC_AFTER = 4, 5  # pixels round the sampled points that interpolation may read
_RIGHT, _DOWN = np.array([1, 0], np.float32), np.array([0, 1], np.float32)

Planes = tuple[Array, ...]


@dataclass(frozen=True)
class Sources:
    """The frames that may show a range's background.

    Attributes:
        info: The clip.
        motion: Background motion between its frames.
        masks: Erase masks (uint8, 0 or 255) by frame.
        reach: The frames that may be read.
        clean: Components of frames known without the object, by frame: all of their pixels are background.
        synthesised: A frame, and its components with every pixel synthesised that no frame shows; used last.
    """

    info: ClipInfo
    motion: MotionField
    masks: Mapping[int, Placed]
    reach: FrameRange
    clean: Mapping[int, Planes]
    synthesised: tuple[int, Planes] | None = None

    def mask_at(self, t: int, points: Array) -> Array:
        """Return mask values (N,) uint8 at points (N, 2) of frame t."""
        mask = self.masks.get(t)
        if mask is None or mask.empty or t in self.clean:
            return np.zeros(len(points), np.uint8)
        return sample_mask(mask, points)

    def trace(self, points: Array, start: int, direction: int) -> TraceResult:
        """Trace points (N, 2) of frame `start` forward (1) or backward (-1) in time until a frame shows them."""
        stop = self.reach.stop if direction > 0 else self.reach.start - 1
        flows = self.motion.ahead if direction > 0 else self.motion.back
        return trace(points, start, direction, stop, flows, self.mask_at, self._size, self.motion.scale)

    def trace_to(self, points: Array, start: int, target: int) -> TraceResult:
        """Trace points (N, 2) of frame `start` to another frame, whether or not frames between show them."""
        direction = 1 if target > start else -1
        flows = self.motion.ahead if direction > 0 else self.motion.back

        def mask_at(t: int, positions: Array) -> Array:
            return np.full(len(positions), 255 * (t != target), np.uint8)

        return trace(points, start, direction, target + direction, flows, mask_at, self._size, self.motion.scale)

    @property
    def _size(self) -> tuple[int, int]:
        return self.info.width, self.info.height


@dataclass(frozen=True)
class _TracedSamples:
    """A group's N samples, traced in one direction of time.

    Attributes:
        visible: Where the samples become visible.
        observations: What was observed there so far.
        order: (N,), the samples ordered by the frame that shows them.
        ordered_frames: (N,), these frames.
    """

    visible: TraceResult
    observations: Observations
    order: Array
    ordered_frames: Array

    @classmethod
    def of(cls, visible: TraceResult, channels: int) -> "_TracedSamples":
        order = np.argsort(visible.frame, kind="stable")
        return cls(visible, Observations.empty(len(visible.frame), channels), order, visible.frame[order])

    def samples_in(self, frame: int) -> Array:
        """Indices of the samples that a frame shows."""
        low, high = np.searchsorted(self.ordered_frames, [frame, frame + 1])
        return self.order[low:high]


@dataclass
class SampleGroup:
    """The N hidden samples of the components that share a grid.

    Attributes:
        index: The frame.
        components: Which components.
        sub: log2 of the grid's horizontal and vertical subsampling.
        offset: Position (x, y) of the grid's first sample in luma pixels.
        hole: (h, w) bool on the grid: the mask and its soft border.
        core: (h, w) bool, the mask itself.
        left_known: (N,) bool, whether the left neighbour lies outside the hole.
        upper_known: (N,) bool, whether the upper neighbour does.
        points: (N, 2) float32, positions of the samples in luma pixels of the frame.
        luma_only: Whether a change of exposure applies to the first component only.
        peak: Largest sample value.
        zero_levels: Sample value of black, or of no colour, by component.
        brightness: Brightness by frame (see `MotionField`); empty before `trace`.
        traced: The samples traced forward and backward in time; empty before `trace`.
    """

    index: int
    components: tuple[int, ...]
    sub: tuple[int, int]
    offset: tuple[float, float]
    hole: Array
    core: Array
    left_known: Array
    upper_known: Array
    points: Array
    luma_only: bool
    peak: int
    zero_levels: tuple[float, ...]
    brightness: Mapping[int, float] = field(default_factory=dict)
    traced: tuple[_TracedSamples, ...] = ()

    @classmethod
    def on_grid(
        cls, info: ClipInfo, index: int, box: Box, mask: Placed, matte: Array, components: tuple[int, ...]
    ) -> "SampleGroup":
        """Make the group of some components of a frame's hole.

        Args:
            info: The clip.
            index: The frame.
            box: The hole's pixels.
            mask: The frame's erase mask, 0 or 255.
            matte: (h, w) uint8 on `box`; the hole is where it is above 0.
            components: Components that share a grid.

        Returns:
            The group, not yet traced.
        """
        layout = info.layout
        component = layout.components[components[0]]
        sub_x, sub_y = component.sub_x, component.sub_y
        centred_x = 0.5 if info.colour.centred(layout) else 0.0
        offset = (centred_x * ((1 << sub_x) - 1), ((1 << sub_y) - 1) / 2)
        hole = subsample_mask(matte > 0, sub_x, sub_y)
        core = subsample_mask(mask.on(box) > 0, sub_x, sub_y)
        rows, columns = np.nonzero(hole)
        x, y = (columns << sub_x) + box.x0 + offset[0], (rows << sub_y) + box.y0 + offset[1]
        points = np.stack([x, y], axis=1).astype(np.float32)
        return cls(
            index=index,
            components=components,
            sub=(sub_x, sub_y),
            offset=offset,
            hole=hole,
            core=core,
            left_known=_neighbour_known(hole, axis=1),
            upper_known=_neighbour_known(hole, axis=0),
            points=points,
            luma_only=layout.model == "yuv",
            peak=layout.peak,
            zero_levels=info.colour.zero_levels(layout),
        )

    @property
    def memory_bytes(self) -> int:
        """Memory that the observations of both directions take."""
        return 2 * len(self.points) * (len(self.components) * _BYTES_PER_VALUE + _BYTES_PER_SAMPLE)

    @property
    def observations(self) -> tuple[Observations, ...]:
        """What the frames ahead and the frames back show."""
        return tuple(traced.observations for traced in self.traced)

    def source_frames(self) -> set[int]:
        """Return the frames that show any of the samples."""
        return {int(frame) for traced in self.traced for frame in np.unique(traced.visible.frame) if frame >= 0}

    def trace(self, sources: Sources) -> None:
        """Find out where every sample is visible; those that no frame shows are taken from the synthesised frame."""
        visible = [sources.trace(self.points, self.index, direction) for direction in (1, -1)]
        self.traced = tuple(_TracedSamples.of(v, len(self.components)) for v in visible)
        self.brightness = sources.motion.brightness
        never_seen = np.flatnonzero((visible[0].frame < 0) & (visible[1].frame < 0))
        if sources.synthesised is not None and len(never_seen):
            self._take_synthesised(never_seen, sources, *sources.synthesised)

    def _take_synthesised(self, which: Array, sources: Sources, key: int, planes: Planes) -> None:
        """Take samples from frame `key`, whose components are `planes`."""
        points = self.points[which]
        if key != self.index:
            reached = sources.trace_to(points, self.index, key)
            inside = reached.frame == key
            which, points = which[inside], reached.points[inside]
        if len(which):
            observations = self.traced[0].observations
            observations.distance[which] = SYNTHESISED_DISTANCE
            observations.synthesised[which] = True
            self._sample(planes, key, points, which, observations)

    def observe(self, planes: Planes, frame: int) -> None:
        """Take the samples that a frame's components show."""
        for traced in self.traced:
            which = traced.samples_in(frame)
            if len(which):
                points = traced.visible.points[which]
                traced.observations.distance[which] = traced.visible.distance[which]
                traced.observations.travel[which] = np.linalg.norm(points - self.points[which], axis=1)
                self._sample(planes, frame, points, which, traced.observations)

    def _sample(self, planes: Planes, frame: int, points: Array, which: Array, observations: Observations) -> None:
        """Observe samples `which` and their neighbours at points of a frame, at their own frame's brightness."""
        scale = np.array([1 << self.sub[0], 1 << self.sub[1]], np.float32)
        positions = (points - np.array(self.offset, np.float32)) / scale
        height, width = planes[self.components[0]].shape
        low = np.maximum(np.floor(positions.min(axis=0)).astype(int) - CUBIC_BEFORE, 0)
        high = np.ceil(positions.max(axis=0)).astype(int) + CUBIC_AFTER
        box = Box(int(low[0]), int(low[1]), min(int(high[0]), width), min(int(high[1]), height))
        local = positions - low.astype(np.float32)
        left_known, upper_known = self.left_known[which], self.upper_known[which]
        change = np.float32((self.brightness[self.index] - self.brightness[frame]) * self.peak / 255)
        for c, component in enumerate(self.components):
            brightening = np.float32(0) if component and self.luma_only else change
            part = planes[component][box.slices] + brightening
            observations.colour[which, c] = sample(part, local, cubic=True)
            observations.right[which, c] = sample(part, local + _RIGHT, cubic=True)
            observations.below[which, c] = sample(part, local + _DOWN, cubic=True)
            if left_known.any():
                observations.left[which[left_known], c] = sample(part, local[left_known] - _RIGHT, cubic=True)
            if upper_known.any():
                observations.above[which[upper_known], c] = sample(part, local[upper_known] - _DOWN, cubic=True)


def _neighbour_known(hole: Array, axis: int) -> Array:
    """Whether the previous neighbour along an axis of each sample of a hole (in row order) lies outside the hole."""
    known = np.zeros_like(hole)
    if axis == 1:
        known[:, 1:] = ~hole[:, :-1]
    else:
        known[1:] = ~hole[:-1]
    return known[hole]
