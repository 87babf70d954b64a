"""One frame's hole from mask to picture: trace its samples, observe them in other frames, fuse the observations."""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.media.pixel_format import Layout
from vremove_cli.plate.fuse import fuse
from vremove_cli.plate.sample_group import Planes, SampleGroup, Sources

RIM = 2  # pixels of known surroundings that the solution is tied to


@dataclass(frozen=True)
class RecoveredHole:
    """A filled hole.

    Attributes:
        box: The hole's pixels, aligned to chroma and inside the frame.
        planes: Components on `box`, of the clip's dtype.
        matte: (h, w) uint8, the weight with which the fill is blended into the frame.
        confidence: (h, w) uint8, stored values of `confidence`; 0 outside the hole.
    """

    box: Box
    planes: Planes
    matte: Array
    confidence: Array


def feather_matte(mask: Array, feather: float) -> Array:
    """Soften a binary mask outwards.

    Args:
        mask: (H, W), above 0 inside.
        feather: Width of the soft border in pixels.

    Returns:
        (H, W) uint8: 255 inside, falling linearly with the distance outside.
    """
    if not mask.any():
        return np.zeros(mask.shape, np.uint8)
    distance = cv2.distanceTransform((mask == 0).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(255 * (1 - distance / (feather + 1)), 0, 255).astype(np.uint8)


def hole_box(mask: Placed, info: ClipInfo, feather: float) -> Box:
    """Return the box of a mask's hole: its soft border and a known rim, on whole chroma samples, inside the frame."""
    margin = int(np.ceil(feather)) + 1 + RIM
    chroma_step = 1 << max(info.layout.sub_x, info.layout.sub_y)
    return mask.box.grow(margin).align(chroma_step).clip(info.width, info.height)


@dataclass
class Hole:
    """One frame's hole: call `trace`, then `observe` for every frame of `source_frames`, then `solve`.

    Attributes:
        index: The frame.
        layout: The clip's pixel format.
        box: The hole's pixels (see `hole_box`).
        matte: (h, w) uint8 on `box`.
        groups: The hidden samples by grid.
        known: The frame's own components on `box`, once observed.
    """

    index: int
    layout: Layout
    box: Box
    matte: Array
    groups: list[SampleGroup]
    known: Planes = ()

    @classmethod
    def from_mask(cls, info: ClipInfo, index: int, mask: Placed, feather: float) -> "Hole":
        """Make the hole of a frame's mask (0 or 255) with a soft border of `feather` pixels."""
        box = hole_box(mask, info, feather)
        matte = feather_matte(mask.on(box), feather)
        groups = [SampleGroup.on_grid(info, index, box, mask, matte, components) for components in info.layout.groups]
        return cls(index, info.layout, box, matte, groups)

    @property
    def memory_bytes(self) -> int:
        """Memory that the observations of both directions take."""
        return sum(group.memory_bytes for group in self.groups)

    def trace(self, sources: Sources) -> None:
        """Find out where every sample is visible; those that no frame shows are taken from the synthesised frame."""
        for group in self.groups:
            group.trace(sources)

    def source_frames(self) -> set[int]:
        """Return the frames that show any of the samples."""
        return set().union(*(group.source_frames() for group in self.groups))

    def observe(self, planes: Planes, frame: int) -> None:
        """Take the samples that a frame's components show, and the hole's surroundings from its own frame."""
        if frame == self.index:
            parts = zip(planes, self.layout.components, strict=True)
            self.known = tuple(np.array(p[self.box.scale(c.sub_x, c.sub_y).slices]) for p, c in parts)
        for group in self.groups:
            group.observe(planes, frame)

    def solve(self, *, distrust_rim: bool) -> RecoveredHole:
        """Fuse the observations; `distrust_rim` as in `fuse`."""
        layout = self.layout
        planes = list(self.known)
        confidence = np.zeros(self.matte.shape, np.uint8)
        for n, group in enumerate(self.groups):
            known = np.stack([self.known[c] for c in group.components]).astype(np.float32)
            ahead, back = group.observations
            fused = fuse(known, group.hole, group.core, ahead, back, layout.peak, distrust_rim=distrust_rim)
            samples = np.clip(np.rint(fused.values), 0, layout.peak).astype(layout.dtype)
            for c, component in enumerate(group.components):
                planes[component] = samples[c]
            if n == 0:
                confidence = fused.confidence
        return RecoveredHole(self.box, tuple(planes), self.matte, confidence)
