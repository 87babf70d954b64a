"""Fuse many sightings of a hole's background: a shot whose camera is known shows each hidden pixel in many frames.

Each sample is projected into up to `SOURCES` frames, taken there once, bicubically, in the source's own planes and
depth, matched in exposure, and fused by the mean of the middle half of the values: outliers lose. Where the camera
stands still nothing is resampled. N counts the samples of a hole in row order, C the components that share a grid.
"""

from dataclasses import dataclass, field

import numpy as np

from vremove_cli.geometry import Array, Box
from vremove_cli.motion.warp import project, sample
from vremove_cli.plate.sample_group import CUBIC_AFTER, CUBIC_BEFORE, Planes, SampleGroup
from vremove_cli.plate.scene_model import FREE, HIDDEN, NEAR, SOURCES, SceneModel

_MIN_FREE = 2  # sightings that are free, below which those near the object also count
_BYTES_PER_SAMPLE = 8 * SOURCES


@dataclass(frozen=True)
class Fusion:
    """What the sightings of N samples agree on.

    Attributes:
        values: (N, C) float32.
        count: (N,) int, sightings that were fused; 0 where there are none.
        spread: (N,) float32, quartile distance of the sightings, the largest of the components, in sample values.
    """

    values: Array
    count: Array
    spread: Array


@dataclass
class Sightings:
    """The sightings of one group of a frame's samples.

    Attributes:
        group: The samples.
        model: What is known of the frames.
        chosen: The frames in which the samples are looked for.
    """

    group: SampleGroup
    model: SceneModel
    chosen: list[int]
    _values: list[Array] = field(default_factory=list)
    _state: list[Array] = field(default_factory=list)

    @classmethod
    def of(cls, group: SampleGroup, model: SceneModel) -> "Sightings":
        """Look for a group's samples in the frames that the model chooses."""
        return cls(group, model, model.sources(group.index))

    @property
    def memory_bytes(self) -> int:
        """Memory that all sightings take."""
        return len(self.group.points) * len(self.group.components) * _BYTES_PER_SAMPLE

    def observe(self, planes: Planes, s: int) -> None:
        """Take the samples that frame s shows."""
        group = self.group
        if s not in self.chosen or not len(group.points):
            return
        homography = self.model.homography(group.index, s)
        still = np.array_equal(homography, np.eye(3))
        points = group.points if still else project(homography, group.points)
        state = self.model.blocked_at(s, points)
        which = np.flatnonzero(state < HIDDEN)
        if not len(which):
            return
        values = np.zeros((len(group.points), len(group.components)), np.float32)
        values[which] = self._sampled(planes, points[which], still=still)
        gain = np.float32(self.model.gain(group.index, s))
        for c, component in enumerate(group.components):
            black = np.float32(group.zero_levels[component])
            values[:, c] = (values[:, c] - black) * gain + black
        self._values.append(values)
        self._state.append(state)

    def _sampled(self, planes: Planes, points: Array, *, still: bool) -> Array:
        """Samples (M, C) at points of a frame; on its own grid where the camera stands still."""
        group = self.group
        scale = np.array([1 << group.sub[0], 1 << group.sub[1]], np.float32)
        positions = (points - np.array(group.offset, np.float32)) / scale
        height, width = planes[group.components[0]].shape
        if still:
            x, y = np.rint(positions).astype(np.int32).T
            x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
            return np.stack([planes[c][y, x] for c in group.components], axis=1).astype(np.float32)
        low = np.maximum(np.floor(positions.min(axis=0)).astype(int) - CUBIC_BEFORE, 0)
        high = np.ceil(positions.max(axis=0)).astype(int) + CUBIC_AFTER
        box = Box(int(low[0]), int(low[1]), min(int(high[0]), width), min(int(high[1]), height))
        local = positions - low.astype(np.float32)
        parts = (planes[c][box.slices].astype(np.float32) for c in group.components)
        return np.stack([sample(np.ascontiguousarray(part), local, cubic=True) for part in parts], axis=1)

    def fuse(self) -> Fusion:
        """Fuse what was seen."""
        count, channels = len(self.group.points), len(self.group.components)
        if not self._values:
            return Fusion(np.zeros((count, channels), np.float32), np.zeros(count, int), np.zeros(count, np.float32))
        state = np.stack(self._state)
        free = (state == FREE).sum(axis=0)
        used = state <= np.where(free >= _MIN_FREE, FREE, NEAR)
        values = np.sort(np.where(used[..., None], np.stack(self._values), np.float32(np.inf)), axis=0)
        seen = used.sum(axis=0)
        middle, spread = _middle_half(values, seen)
        return Fusion(middle, seen, spread)


def _middle_half(ordered: Array, count: Array) -> tuple[Array, Array]:
    """Mean (N, C) of the middle half of the first `count` (N,) of ordered values (K, N, C), and its width (N,)."""
    low = count // 4
    high = np.maximum(count - low, 1)
    rank = np.arange(len(ordered))[:, None]
    inside = ((rank >= low) & (rank < high))[..., None]
    total = np.where(inside, ordered, 0).sum(axis=0)
    mean = np.where((count > 0)[:, None], total / np.maximum(high - low, 1)[:, None], 0)

    def at(rank_of: Array) -> Array:
        index = np.clip(rank_of, 0, len(ordered) - 1)[None, :, None]
        return np.asarray(np.take_along_axis(ordered, index, axis=0)[0])

    with np.errstate(invalid="ignore"):
        width = (at(high - 1) - at(low)).max(axis=1)
    return mean.astype(np.float32), np.where(count > 1, width, 0).astype(np.float32)
