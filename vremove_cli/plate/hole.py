"""One frame's hole from mask to picture: what many sightings tell, and what is traced along the flow to two of them."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from vremove_cli.compose import subsample_mask
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.clip import ClipInfo
from vremove_cli.plate.agreement import agreement
from vremove_cli.plate.confidence import encode_confidence, local_mean
from vremove_cli.plate.fuse import fuse
from vremove_cli.plate.sample_group import Planes, SampleGroup, Sources
from vremove_cli.plate.scene_model import SceneModel
from vremove_cli.plate.sightings import Sightings

_ONE_SIDED = 8 / 255  # of the largest sample value: difference assumed where only one observation is
_VOTE = 0.5  # of the difference of the flow's observations: within it, the nearer one agrees with the sightings
RIM = 6  # pixels of known surroundings: the solution is tied to them, and sightings are compared with them
_TRACED_BYTES = 2 * (3 * 20 + 2 * 40)  # per pixel and both directions: five float32 per component; positions, order


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
    """A frame's hole on its way to a picture.

    First the sightings of the scene's model fill what they tell; what is left is traced along the flow.

    Attributes:
        index: The frame.
        info: The clip.
        mask: The frame's erase mask, 0 or 255.
        box: The hole's pixels (see `hole_box`).
        matte: (h, w) uint8 on `box`.
        known: The frame's own components on `box`, once observed.
        sightings: Of the hole and its rim, by grid; empty without a model.
        groups: The samples to trace, by grid; empty before `trace`.
        told: (h, w) bool, pixels that the sightings told.
        chance: (h, w) float32, chance that they are right.
        pictures: What the sightings show on the whole box, by component.
        offered: (h, w) bool, pixels that are left and have sightings.
    """

    index: int
    info: ClipInfo
    mask: Placed
    box: Box
    matte: Array
    known: Planes = ()
    sightings: list[Sightings] = field(default_factory=list)
    groups: list[SampleGroup] = field(default_factory=list)
    told: Array = field(default_factory=lambda: np.zeros((0, 0), bool))
    chance: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    pictures: Planes = ()
    offered: Array = field(default_factory=lambda: np.zeros((0, 0), bool))

    @classmethod
    def from_mask(cls, info: ClipInfo, index: int, mask: Placed, feather: float, model: SceneModel | None) -> "Hole":
        """Make the hole of a frame's mask (0 or 255) with a soft border of `feather` pixels."""
        box = hole_box(mask, info, feather)
        matte = feather_matte(mask.on(box), feather)
        hole = cls(
            index, info, mask, box, matte, told=np.zeros(matte.shape, bool), chance=np.zeros(matte.shape, np.float32)
        )
        if model is not None:
            whole = np.full(matte.shape, 255, np.uint8)
            groups = (SampleGroup.on_grid(info, index, box, mask, whole, c) for c in info.layout.groups)
            hole.sightings = [Sightings.of(group, model) for group in groups]
        return hole

    @property
    def memory_bytes(self) -> int:
        """Memory that the sightings and the observations of both directions take."""
        return sum(s.memory_bytes for s in self.sightings) + self.matte.size * _TRACED_BYTES

    def wanted_frames(self) -> set[int]:
        """Return the frames that the sightings are taken from."""
        return {self.index}.union(*(s.chosen for s in self.sightings))

    def sight(self, planes: Planes, frame: int) -> None:
        """Take the sightings that a frame's components show, and the surroundings from the hole's own frame."""
        if frame == self.index:
            parts = zip(planes, self.info.layout.components, strict=True)
            self.known = tuple(np.array(p[self.box.scale(c.sub_x, c.sub_y).slices]) for p, c in parts)
        for one in self.sightings:
            one.observe(planes, frame)

    def tell(self, model: SceneModel) -> None:
        """Fill what the sightings tell."""
        if not self.sightings:
            return
        fused = [s.fuse() for s in self.sightings]
        self.sightings = []
        by_model, blocked = model.told_on(self.index, self.box), model.hidden_on(self.index, self.box)
        told = agreement(self.info, self.known, self.matte, fused, by_model, blocked)
        self.told, self.chance, self.known = told.pixels, told.chance, told.planes
        self.pictures, self.offered = told.pictures, told.offered

    def trace(self, sources: Sources) -> None:
        """Find out where every sample that is left is visible; what no frame shows comes from the synthesised frame."""
        rest = np.where(self.told, 0, self.matte).astype(np.uint8)
        if not rest.any():
            return
        for components in self.info.layout.groups:
            self.groups.append(SampleGroup.on_grid(self.info, self.index, self.box, self.mask, rest, components))
            self.groups[-1].trace(sources)

    def source_frames(self) -> set[int]:
        """Return the frames that show any of the traced samples."""
        return set().union(*(group.source_frames() for group in self.groups))

    def observe(self, planes: Planes, frame: int) -> None:
        """Take the traced samples that a frame's components show."""
        for group in self.groups:
            group.observe(planes, frame)

    def solve(self, *, distrust_rim: bool) -> RecoveredHole:
        """Fuse the observations; `distrust_rim` as in `fuse`."""
        layout = self.info.layout
        planes = list(self.known)
        confidence = np.where(self.told & (self.matte > 0), encode_confidence(self.chance, self.told), 0).astype(
            np.uint8
        )
        outvoted = self._outvoted()
        for n, group in enumerate(self.groups):
            _take_votes(group, self.pictures, subsample_mask(outvoted, *group.sub))
            known = np.stack([self.known[c] for c in group.components]).astype(np.float32)
            ahead, back = group.observations
            fused = fuse(known, group.hole, group.core, ahead, back, layout.peak, distrust_rim=distrust_rim)
            samples = np.clip(np.rint(fused.values), 0, layout.peak).astype(layout.dtype)
            for c, component in enumerate(group.components):
                planes[component] = samples[c]
            if n == 0:
                confidence = np.where(group.hole, fused.confidence, confidence)
        return RecoveredHole(self.box, tuple(planes), self.matte, confidence)

    def _outvoted(self) -> Array:
        """Pixels (h, w) bool where the flow's nearer observation agrees with the sightings, not with the other one."""
        out = np.zeros(self.matte.shape, bool)
        if not self.groups or not self.offered.any():
            return out
        luma, (ahead, back) = self.groups[0], self.groups[0].observations
        picture = np.stack([self.pictures[c] for c in luma.components])[:, luma.hole].T
        between = np.where(
            (ahead.distance > 0) & (back.distance > 0),
            np.abs(ahead.colour - back.colour).mean(axis=1),
            _ONE_SIDED * luma.peak,
        )
        ahead_is_near = (ahead.nearness > back.nearness)[:, None]
        near = np.abs(np.where(ahead_is_near, ahead.colour, back.colour) - picture).mean(axis=1)
        near = np.where((ahead.distance > 0) | (back.distance > 0), near, 0)
        out[luma.hole] = local_mean(near, luma.hole) < _VOTE * local_mean(between, luma.hole)
        return out & self.offered


def _take_votes(group: SampleGroup, pictures: Planes, where: Array) -> None:
    """Replace the observations of a group's samples at `where` (h', w') bool by the sightings' pictures."""
    chosen = (where & group.hole)[group.hole]
    if not chosen.any():
        return
    for observations in group.observations:
        observations.distance[chosen] = 1.0
        observations.travel[chosen] = 0.0
        observations.synthesised[chosen] = False
        for k, component in enumerate(group.components):
            picture = np.pad(pictures[component], 1, mode="edge")
            rows, columns = np.nonzero(where & group.hole)
            for values, dy, dx in (
                (observations.colour, 0, 0),
                (observations.right, 0, 1),
                (observations.below, 1, 0),
                (observations.left, 0, -1),
                (observations.above, -1, 0),
            ):
                values[chosen, k] = picture[rows + 1 + dy, columns + 1 + dx]
