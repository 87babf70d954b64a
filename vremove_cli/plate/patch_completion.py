"""Complete a hole of a picture from patches of its surroundings, from coarse to fine.

Wexler et al., "Space-Time Completion of Video", 2007: the picture is complete when each of its patches is found in the
known part. Newson et al., "Video Inpainting of Complex Scenes", 2014, for the vote and the texture features (sections
3.1 and 3.3). The coarsest level of a pyramid is laid out by `offset_labels`. On each level the patches' partners are
searched (`patch_match`), and the hole's pixels become the weighted mean of what the partners of all patches over them
show. At the end each pixel follows the best patch alone, so that nothing is blurred: the result says which pixel to
copy.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array, Box, bounds
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.offset_labels import lay_out
from vremove_cli.plate.patch_match import (
    RADIUS,
    Descriptors,
    PatchField,
    allowed_sources,
    enlarge,
    random_field,
    search,
)

# Weights and counts without a source were fitted on the drawn scenes 0-11 with travel=.3,camera=static.
_SEED = 7  # of the random trials: the same picture gives the same result
_COARSEST_AREA = 500  # pixels of the hole up to which no coarser level is made
_LARGEST_SEARCH = 60_000  # patches over the hole up to which a level is searched; finer ones take its offsets over
_ROUNDS = (20, 10, 6)  # searches, each with a vote, on the coarsest level, the next one, and all finer ones
_WIDE_SEARCHES = 2  # coarsest levels on which partners are tried in the whole picture
_NARROW_RADIUS = 8  # pixels round the partner in which others are tried on the finer levels
_TEXTURE_WEIGHT = np.float32(3)  # of a level of gradient against a level of colour
_PULL = 0.5  # levels of misfit for a pixel of distance: near patches are preferred to equal ones far away
_SIGMA_PERCENTILE = 75  # of the misfits: Newson et al., section 3.1
_CERTAINTY_BASE = 1.3  # a patch counts less by this factor for each pixel from the rim: Wexler et al., section 3.2
_MIN_VARIANCE = 1e-3  # keeps divisions finite


@dataclass(frozen=True)
class _Level:
    """One level of the pyramid.

    Attributes:
        picture: (H, W, C) float32: colours, then texture features, with a smooth continuation where unknown.
        hole: (H, W) bool, what is to complete.
        unknown: (H, W) bool, what is not to be copied; holds `hole`.
    """

    picture: Array
    hole: Array
    unknown: Array

    def halved(self) -> "_Level":
        """The next coarser level; a pixel is unknown if any of its four is."""
        pad = ((0, self.hole.shape[0] % 2), (0, self.hole.shape[1] % 2))
        picture = np.pad(self.picture, (*pad, (0, 0)), mode="edge")
        hole, unknown = (_any_of_four(np.pad(mask, pad, mode="edge")) for mask in (self.hole, self.unknown))
        mean = (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) / 4
        return _Level(mean, hole, unknown)


def complete(colours: Array, hole: Array, unknown: Array) -> Array | None:
    """Find the pixels to copy into a hole.

    Args:
        colours: (H, W, C) float32 on the scale of 8 bits, luma first; unknown pixels do not count.
        hole: (H, W) bool, what is to complete; at least one pixel.
        unknown: (H, W) bool, the hole and what else is not to be copied.

    Returns:
        (H, W, 2) int32, offsets (x, y) in pixels from each pixel of the hole to the one to copy, zero elsewhere; None
        if no patch of the picture is known.
    """
    channels = np.concatenate([colours, _texture(colours[..., 0], unknown)], axis=2)
    smooth = [laplace_fill(np.ascontiguousarray(channel), unknown) for channel in np.moveaxis(channels, -1, 0)]
    levels = [_Level(np.stack(smooth, axis=-1), hole, unknown)]
    if not allowed_sources(unknown).any():
        return None
    while np.count_nonzero(levels[-1].hole) > _COARSEST_AREA:
        coarser = levels[-1].halved()
        if not allowed_sources(coarser.unknown).any():
            break
        levels.append(coarser)
    finest = len(levels) - 1
    while finest and np.count_nonzero(dilate_square(levels[finest - 1].hole, RADIUS)) <= _LARGEST_SEARCH:
        finest -= 1
    rng = np.random.default_rng(_SEED)
    field: PatchField | None = None
    for depth, level in enumerate(reversed(levels[finest:])):
        field = _complete_level(level, field, depth, rng)
    assert field is not None
    return _enlarge_offsets(_best_offsets(field, levels[finest].hole), hole, finest)


def _complete_level(level: _Level, coarse: PatchField | None, depth: int, rng: np.random.Generator) -> PatchField:
    """Search and vote in turn on one level; `depth` counts the levels from the coarsest one."""
    height, width = level.hole.shape
    allowed = allowed_sources(level.unknown)
    certainty = _certainty(level.hole)
    descriptors = Descriptors.learn(level.picture, allowed, _PULL)
    known = descriptors.of(level.picture, Box(0, 0, width, height))
    field = random_field(level.hole, allowed, rng)
    if coarse is None:
        picture, field = _first_guess(level, field, allowed, known)
    else:
        field = enlarge(coarse, field, allowed)
        picture = _vote(level, field, certainty[field.targets])
    box = bounds(level.hole).grow(2 * RADIUS).clip(width, height)
    y, x = np.divmod(field.targets, width)
    radius = max(height, width) if depth < _WIDE_SEARCHES else _NARROW_RADIUS
    for turn in range(_ROUNDS[min(depth, len(_ROUNDS) - 1)]):
        if turn:
            picture = _vote(level, field, _similarity(field.costs) * certainty[field.targets])
        wanted = descriptors.of(picture, box)[y - box.y0, x - box.x0]
        field = search(field, wanted, known.reshape(height * width, -1), allowed, rng, radius)
    return field


def _first_guess(level: _Level, field: PatchField, allowed: Array, known: Array) -> tuple[Array, PatchField]:
    """The coarsest level's picture and partners from few offsets; a partner that is not allowed stays as it is."""
    chosen = lay_out(level.picture, level.hole, level.unknown, known)
    picture = level.picture.copy()
    picture[level.hole] = picture.reshape(-1, picture.shape[2])[chosen]
    sources = field.sources.copy()
    usable = allowed[chosen]
    sources[field.slots[np.flatnonzero(level.hole)[usable]]] = chosen[usable]
    return picture, replace(field, sources=sources)


def _any_of_four(mask: Array) -> Array:
    """Whether any pixel of each 2x2 block is set, for even sizes."""
    return np.asarray(mask[::2, ::2] | mask[1::2, ::2] | mask[::2, 1::2] | mask[1::2, 1::2])


def _texture(luma: Array, unknown: Array) -> Array:
    """Texture features (H, W, 2) float32: mean size of the luma's (H, W) gradients along x and y round each pixel."""
    known = (~dilate_square(unknown, 1)).astype(np.float32)
    kernel = (2 * RADIUS + 1,) * 2
    share = np.maximum(cv2.blur(known, kernel), 1e-6)
    gradients = (cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, ksize=1) / 2 for dx in (1, 0))
    means = [cv2.blur(np.abs(gradient) * known, kernel) / share for gradient in gradients]
    return np.stack(means, axis=-1) * _TEXTURE_WEIGHT


def _certainty(hole: Array) -> Array:
    """Weights (H * W,) float32 of patches by their distance to the hole's rim."""
    padded = np.pad(hole, 1, mode="edge").astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(_CERTAINTY_BASE ** -distance.ravel(), np.float32)


def _similarity(costs: Array) -> Array:
    """Weights of patches by their distance to their partners: Newson et al., equation 3."""
    variance = np.percentile(costs, _SIGMA_PERCENTILE) + _MIN_VARIANCE
    return np.asarray(np.exp(-costs / (2 * variance)), np.float32)


def _overlaps(field: PatchField) -> Iterator[tuple[Array, Array, int]]:
    """For each pixel of a patch: which patches (bool) have it inside the picture, where, its step from them."""
    height, width = field.shape
    y, x = np.divmod(field.targets, width)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            step = dy * width + dx
            yield inside, field.targets[inside] + step, step


def _vote(level: _Level, field: PatchField, weights: Array) -> Array:
    """The picture with the hole's pixels replaced by the weighted mean of what the partners of the patches show."""
    flat = level.picture.reshape(-1, level.picture.shape[2])
    total, share = np.zeros_like(flat), np.zeros((len(flat), 1), np.float32)
    for inside, place, step in _overlaps(field):
        weight = weights[inside, None]
        total[place] += weight * flat[field.sources[inside] + step]
        share[place] += weight
    mean = total / np.maximum(share, np.finfo(np.float32).tiny)
    return np.where(level.hole[..., None], mean.reshape(level.picture.shape), level.picture)


def _best_offsets(field: PatchField, hole: Array) -> Array:
    """Offsets (H, W, 2) int32 of the patch with the least cost over each pixel of the hole."""
    height, width = hole.shape
    own = np.arange(hole.size)
    source, least = own.copy(), np.full(hole.size, np.inf)
    for inside, place, step in _overlaps(field):
        costs = field.costs[inside]
        better = costs < least[place]
        source[place[better]] = field.sources[inside][better] + step
        least[place[better]] = costs[better]
    offsets = np.stack([source % width - own % width, source // width - own // width], axis=-1)
    return np.where(hole[..., None], offsets.reshape(height, width, 2), 0).astype(np.int32)


def _enlarge_offsets(offsets: Array, hole: Array, halvings: int) -> Array:
    """Offsets (H, W, 2) int32 for a hole (H, W) bool from those of a picture that was halved several times."""
    height, width = hole.shape
    y, x = np.mgrid[:height, :width]
    large = offsets[y >> halvings, x >> halvings] << halvings
    large[..., 0] = np.minimum(large[..., 0], width - 1 - x)
    large[..., 1] = np.minimum(large[..., 1], height - 1 - y)
    return np.where(hole[..., None], large, 0).astype(np.int32)
