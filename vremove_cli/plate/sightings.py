"""Fuse many sightings of a hole's background: a shot whose camera is known shows each hidden pixel in many frames.

Each sample is projected into up to `SOURCES` frames, taken there once, bicubically, in the source's own planes and
depth, matched in exposure, and fused by the mean of the middle half of the values: outliers lose. Where the camera
stands still nothing is resampled. N counts the samples of a hole's box in row order, C the components that share a
grid; (h, w) is the grid.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box
from vremove_cli.motion.pixelwise import at_rank, sorted_stack
from vremove_cli.motion.warp import project
from vremove_cli.plate.sample_group import CUBIC_AFTER, CUBIC_BEFORE, Planes, SampleGroup
from vremove_cli.plate.scene_model import FREE, HIDDEN, NEAR, SOURCES, SceneModel

_MIN_FREE = 2  # sightings that are free, below which those near the object also count
_BYTES_PER_SAMPLE = 5 * SOURCES  # a float32 of each component, and the state


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
        group: The samples, all those of a box.
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
        height, width = group.hole.shape
        homography = self.model.homography(group.index, s)
        to_luma = _scaling(group, group.points[0])
        state = self.model.blocked_at(s, homography @ to_luma, (width, height))
        if (state >= HIDDEN).all():
            return
        pose = np.linalg.inv(_scaling(group, group.offset)) @ homography @ to_luma
        values = self._sampled(planes, pose, still=np.array_equal(homography, np.eye(3)))
        black = np.array([group.zero_levels[c] for c in group.components], np.float32)[:, None, None]
        values = (values - black) * np.float32(self.model.gain(group.index, s)) + black
        self._values.append(values)
        self._state.append(state)

    def _sampled(self, planes: Planes, pose: Array, *, still: bool) -> Array:
        """The components (C, h, w) float32 of a frame on the group's grid; copied where the camera stands still."""
        group = self.group
        height, width = group.hole.shape
        if still:
            x, y = np.rint(pose[:2, 2]).astype(int)
            parts = [planes[c][y : y + height, x : x + width] for c in group.components]
            return np.stack(parts).astype(np.float32)
        corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], np.float32)
        outline = project(pose, corners)
        low, high = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
        plane_height, plane_width = planes[group.components[0]].shape
        box = Box(*(low - CUBIC_BEFORE), *(high + CUBIC_AFTER)).clip(plane_width, plane_height)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        local = np.array([[1, 0, -box.x0], [0, 1, -box.y0], [0, 0, 1]]) @ pose
        out = np.empty((len(group.components), height, width), np.float32)
        for values, component in zip(out, group.components, strict=True):
            part = planes[component][box.slices].astype(np.float32)
            cv2.warpPerspective(part, local, (width, height), values, flags, cv2.BORDER_REPLICATE)
        return out

    def fuse(self) -> Fusion:
        """Fuse what was seen."""
        count, channels = len(self.group.points), len(self.group.components)
        if not self._values:
            return Fusion(np.zeros((count, channels), np.float32), np.zeros(count, int), np.zeros(count, np.float32))
        state = np.stack(self._state)
        free = (state == FREE).sum(axis=0)
        used = state <= np.where(free >= _MIN_FREE, FREE, NEAR)
        values = sorted_stack([np.where(u, v, np.float32(np.inf)) for u, v in zip(used, self._values, strict=True)])
        seen = used.sum(axis=0)
        middle, spread = _middle_half(np.moveaxis(values, 1, 0), seen)
        return Fusion(middle.reshape(channels, -1).T, seen.ravel(), spread.ravel())


def _scaling(group: SampleGroup, first: Array | tuple[float, float]) -> Array:
    """The map (3, 3) from samples of a group's grid to luma pixels; the first sample lies at `first` (x, y)."""
    return np.array([[1 << group.sub[0], 0, first[0]], [0, 1 << group.sub[1], first[1]], [0, 0, 1]], np.float64)


def _middle_half(ordered: Array, count: Array) -> tuple[Array, Array]:
    """Mean (C, h, w) and width (h, w) of the middle half of the first `count` (h, w) of ordered values (C, K, h, w)."""
    low = count // 4
    high = np.maximum(count - low, 1)
    inside = [(low <= rank) & (rank < high) for rank in range(ordered.shape[1])]
    means, widths = [], []
    for values in ordered:
        total = sum(np.where(i, v, 0) for i, v in zip(inside, values, strict=True))
        means.append(np.where(count > 0, total / np.maximum(high - low, 1), 0).astype(np.float32))
        with np.errstate(invalid="ignore"):
            widths.append(at_rank(values, high - 1) - at_rank(values, low))
    return np.stack(means), np.where(count > 1, np.max(widths, axis=0), 0).astype(np.float32)
