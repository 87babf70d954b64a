"""Carry painted keyframes along the motion of the hidden background to the frames around them.

What no frame shows is painted on few keyframes. Every other frame takes it from the nearest keyframes before and after
it: traced through the camera's motion, or through the flow where that does not explain the scene, and sampled once. So
it moves as the background does, and holds still where that does. A smooth correction joins it to its surroundings
(Perez et al., "Poisson image editing", 2003, with the keyframe's gradients), which leaves out what has come before the
background there since, such as a person who walks past.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import cv2
import numpy as np

from vremove_cli.compose import subsample_mask
from vremove_cli.geometry import Array, Box, Placed, put, take
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.pixel_format import Layout
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.motion.trace import sample_mask
from vremove_cli.motion.warp import project, sample
from vremove_cli.plate.sample_group import CUBIC_AFTER, CUBIC_BEFORE, Planes, SampleGroup, Sources
from vremove_cli.plate.scene_model import SceneModel

_POINTS = 1000  # of the largest gap, about, that tell how much of it a keyframe reaches
_INSIDE = 0.5  # of what was painted at a point, from which the point is painted
_LEAST = 0.02  # of the largest gap, in points, below which no keyframe is made: the surroundings continue there
_RIM = 12  # pixels round a gap in which it is compared with the frame
_SMOOTH = 3.0  # samples (standard deviation of a Gaussian) over which differences on the rim are averaged
_ALIKE = 0.1  # of the rim, below which a keyframe shows another scene, such as a flash, and is left out if it can be
_FOREIGN = 16.0  # 8-bit levels by which a frame differs from a keyframe where something else is in front


class BackgroundMotion(Protocol):
    """The motion of the background between two frames."""

    def locate(self, points: Array, t: int, key: int) -> tuple[Array, Array]:
        """Return where points (N, 2) of frame t lie in another frame, (N, 2), and whether that is in the frame."""

    def exposed(self, values: Array, t: int, key: int, group: SampleGroup, component: int) -> Array:
        """Return samples of another frame at the exposure of frame t, as float32."""


@dataclass(frozen=True)
class CameraMotion:
    """Motion by the camera alone: one homography for each pair of frames.

    Attributes:
        model: What is known of the shot.
    """

    model: SceneModel

    def locate(self, points: Array, t: int, key: int) -> tuple[Array, Array]:
        """See `BackgroundMotion`."""
        start, aligned = self.model.reach.start, self.model.registration.aligned
        if not (aligned[t - start] and aligned[key - start]):
            return points, np.zeros(len(points), bool)
        there = project(self.model.homography(t, key), points).astype(np.float32)
        info = self.model.info
        return there, np.asarray(((there >= 0) & (there <= [info.width - 1, info.height - 1])).all(axis=1))

    def exposed(self, values: Array, t: int, key: int, group: SampleGroup, component: int) -> Array:
        """See `BackgroundMotion`."""
        black = np.float32(group.zero_levels[component])
        return (values - black) * np.float32(self.model.gain(t, key)) + black


@dataclass(frozen=True)
class FlowMotion:
    """Motion by the flow from frame to frame.

    Attributes:
        sources: The flow.
    """

    sources: Sources

    def locate(self, points: Array, t: int, key: int) -> tuple[Array, Array]:
        """See `BackgroundMotion`."""
        if not (self.sources.reach.holds(t) and self.sources.reach.holds(key)):
            return points, np.zeros(len(points), bool)
        found = self.sources.trace_to(points, t, key)
        return found.points, found.frame == key

    def exposed(self, values: Array, t: int, key: int, group: SampleGroup, component: int) -> Array:
        """See `BackgroundMotion`."""
        brightness = self.sources.motion.brightness
        change = 0.0 if component and group.luma_only else (brightness[t] - brightness[key]) * group.peak / 255
        return values + np.float32(change)


@dataclass(frozen=True)
class Keyframes:
    """Painted keyframes, and how to reach them.

    A point that no frame shows is one that was painted in a keyframe: beside that the keyframe shows something else.

    Attributes:
        info: The clip.
        motion: The background's motion.
        pictures: Whole components by keyframe, without the object.
        painted: What was painted, or filled in the segment before (uint8, 0 or 255), by keyframe.
    """

    info: ClipInfo
    motion: BackgroundMotion
    pictures: Mapping[int, Planes] = field(default_factory=dict)
    painted: Mapping[int, Placed] = field(default_factory=dict)

    def plus(self, t: int, planes: Planes, painted: Placed) -> "Keyframes":
        """Return these keyframes and one more."""
        return replace(self, pictures={**self.pictures, t: planes}, painted={**self.painted, t: painted})

    def nearest(self, t: int) -> Iterable[int]:
        """Yield the keyframes in the order in which a frame takes from them: the nearest on each side, then others."""
        by_distance = sorted(self.pictures, key=lambda key: abs(key - t))
        sides = [next((k for k in by_distance if (k > t) is later), None) for later in (False, True)]
        first = sorted((k for k in sides if k is not None), key=lambda key: abs(key - t))
        return dict.fromkeys([*first, *by_distance])

    def was_painted(self, points: Array, key: int) -> Array:
        """Return which points (N, 2) of a keyframe were painted, (N,) bool."""
        return _lie_in(self.painted[key], points)


class Coverage:
    """Which points of the gaps of some frames the keyframes reach."""

    def __init__(self, keyframes: Keyframes, gaps: Mapping[int, Placed]) -> None:
        """Begin with what some keyframes do not reach.

        Args:
            keyframes: The keyframes and the motion.
            gaps: What no frame shows (uint8, 0 or 255), by frame.
        """
        self._motion = keyframes.motion
        largest = max((gap.area for gap in gaps.values()), default=0)
        step = max(1, round((largest / _POINTS) ** 0.5))
        self._left = {t: _points(gap, step) for t, gap in gaps.items() if not gap.empty}
        self._least = _LEAST * max((len(points) for points in self._left.values()), default=0)
        for key, painted in keyframes.painted.items():
            self.add(key, painted)

    def next_keyframe(self, usable: Collection[int]) -> int | None:
        """Return the frame, of some, with the most points that no keyframe reaches; None if these are few."""
        key = max((t for t in self._left if t in usable), key=lambda t: len(self._left[t]), default=None)
        return None if key is None or len(self._left[key]) <= self._least else key

    def add(self, key: int, painted: Placed) -> None:
        """Count a keyframe with what is painted in it."""
        for t, points in self._left.items():
            if t == key:
                self._left[t] = points[:0]
            elif len(points):
                there, inside = self._motion.locate(points, t, key)
                hit = inside & _lie_in(painted, there)
                self._left[t] = points[~hit]


@dataclass(frozen=True)
class Carried:
    """A frame's gap as the keyframes show it.

    Attributes:
        box: Where it lies, on whole chroma samples, inside the frame.
        planes: Components on `box`: the frame's own, with what a keyframe shows in the gap.
        reached: (h, w) bool, pixels of the gap that a keyframe shows.
    """

    box: Box
    planes: Planes
    reached: Array


def carry(keyframes: Keyframes, t: int, planes: Planes, gap: Placed) -> Carried:
    """Fill a frame's gap from the keyframes.

    Args:
        keyframes: The keyframes and the motion.
        t: The frame.
        planes: Its components, whole, with all that other frames show in place.
        gap: What no frame shows (uint8, 0 or 255); not empty.
    """
    info, layout = keyframes.info, keyframes.info.layout
    box = gap.box.grow(_RIM).align(1 << max(layout.sub_x, layout.sub_y)).clip(info.width, info.height)
    whole = np.full((box.height, box.width), 255, np.uint8)
    out: list[Array] = [np.empty(0)] * len(planes)
    reached = np.zeros(whole.shape, bool)
    for n, components in enumerate(layout.groups):
        group = SampleGroup.on_grid(info, t, box, gap, whole, components)
        own = np.stack([planes[c][box.scale(*group.sub).slices] for c in components])
        values, shown = _sampled(keyframes, group, own)
        rim = shown & ~group.core
        for value, plane, component in zip(values, own, components, strict=True):
            joined = np.clip(np.rint(value + _correction(plane - value, rim)), 0, layout.peak)
            out[component] = np.where(group.core & shown, joined, plane).astype(layout.dtype)
        if n == 0:
            reached = group.core & shown
    return Carried(box, tuple(out), reached)


def _sampled(keyframes: Keyframes, group: SampleGroup, own: Array) -> tuple[Array, Array]:
    """Return what the keyframes show of a group's samples: the mean by 1 / frames^2 of the nearest on each side.

    Args:
        keyframes: The keyframes.
        group: The samples of a gap and its rim.
        own: The frame's own samples (C, h, w).

    Returns:
        Values (C, h, w) float32, and (h, w) bool, the samples that a keyframe shows: those of the gap where it was
        painted, those of the rim where it shows what the frame shows.
    """
    (height, width), core = group.hole.shape, group.core.ravel()
    known, foreign = own.reshape(len(own), -1).astype(np.float32), np.float32(_FOREIGN * group.peak / 255)
    total = np.zeros((len(group.components), height * width), np.float32)
    weight = np.zeros(height * width, np.float32)
    scale, offset = np.array([1 << group.sub[0], 1 << group.sub[1]], np.float32), np.array(group.offset, np.float32)
    sides = set[bool]()
    for key in keyframes.nearest(group.index):
        side = key > group.index
        wanted = np.flatnonzero(weight == 0) if side in sides else np.arange(len(weight))
        sides.add(side)
        there, inside = keyframes.motion.locate(group.points[wanted], group.index, key)
        inside &= ~core[wanted] | keyframes.was_painted(there, key)
        wanted, local = wanted[inside], ((there[inside] - offset) / scale).astype(np.float32)
        if not len(wanted):
            continue
        values = np.stack([
            keyframes.motion.exposed(
                _sample_part(keyframes.pictures[key][c], local), group.index, key, group, c
            )
            for c in group.components
        ])  # fmt: skip
        alike = np.abs(values - known[:, wanted]).max(axis=0) < foreign
        rim = ~core[wanted]
        if len(keyframes.pictures) > 1 and rim.any() and alike[rim].mean() < _ALIKE:
            continue
        used = core[wanted] | alike
        share = np.float32(1 / max(abs(key - group.index), 1) ** 2)
        weight[wanted[used]] += share
        total[:, wanted[used]] += share * values[:, used]
    mean = (total / np.maximum(weight, np.finfo(np.float32).tiny)).reshape(-1, height, width)
    return mean, (weight > 0).reshape(height, width)


def _sample_part(plane: Array, points: Array) -> Array:
    """Return samples (N,) float32 of a plane at points (N, 2), converting no more of it than that takes."""
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - CUBIC_BEFORE, 0)
    high = np.ceil(points.max(axis=0)).astype(int) + CUBIC_AFTER
    part = plane[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    return sample(part, points - low.astype(np.float32), cubic=True)


def _correction(difference: Array, rim: Array) -> Array:
    """Return differences (h, w) float32 on the rim (h, w) bool, smoothed, and continued smoothly everywhere."""
    if not rim.any():
        return np.zeros_like(difference)
    known = rim.astype(np.float32)
    share = cv2.GaussianBlur(known, (0, 0), _SMOOTH)
    mean = cv2.GaussianBlur(np.where(rim, difference, 0).astype(np.float32), (0, 0), _SMOOTH) / np.maximum(share, 1e-6)
    return laplace_fill(mean, ~rim)


def replace_in(planes: Planes, box: Box, values: Planes, where: Placed, layout: Layout) -> None:
    """Replace the samples of a mask in a frame, in place: a large picture is not copied.

    Args:
        planes: Writable whole components (H', W').
        box: Where the new values lie, on whole chroma samples; it may reach over the frame.
        values: Components (h', w') of the box.
        where: Pixels to replace; inside the box.
        layout: The components' layout.
    """
    for plane, new, component in zip(planes, values, layout.components, strict=True):
        part = box.scale(component.sub_x, component.sub_y)
        inside = subsample_mask(where.on(box), component.sub_x, component.sub_y)
        put(plane, part, np.where(inside, new, take(plane, part)))


def _lie_in(painted: Placed, points: Array) -> Array:
    """Return which points (N, 2) lie in what was painted (uint8), (N,) bool."""
    return np.asarray(sample_mask(painted, points) >= 255 * _INSIDE)


def _points(gap: Placed, step: int) -> Array:
    """Return points (N, 2) float32 in a gap, on a grid of pixels that all gaps share."""
    x0, y0 = -gap.box.x0 % step, -gap.box.y0 % step
    rows, columns = np.nonzero(gap.values[y0::step, x0::step])
    points: Array = np.stack([columns * step + gap.box.x0 + x0, rows * step + gap.box.y0 + y0], axis=1)
    return points.astype(np.float32)
