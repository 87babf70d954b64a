"""Complete a hole of a picture from patches of its surroundings, from coarse to fine.

Wexler et al., "Space-Time Completion of Video", 2007: the completed picture is one whose every patch is found in the
known part. Newson et al., "Video Inpainting of Complex Scenes", 2014, for the vote and the texture features (section
3.3). On each level of a pyramid the patches' partners are searched (`patch_match`) and the hole's pixels become the
weighted mean of what the partners of all patches over them show. The last level takes the best patch alone, so that
nothing is blurred: the result says for each pixel of the hole which pixel to copy.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array
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

_SEED = 7  # of the random trials: the same picture gives the same result
_COARSEST_AREA = 500  # pixels from the hole's middle to its rim at which no coarser level is made
_LARGEST_SEARCH = 60_000  # patches over the hole up to which a level is searched; finer ones take its partners over
_ROUNDS = (20, 10, 6)  # searches and votes on the coarsest level, the next, and all finer ones
_TEXTURE_WEIGHT = 3.0
_PULL = 0.5
_CERTAINTY_BASE = 1.3
_PEELED = 0.7
_SIGMA_PERCENTILE = 75  # of the distances: Newson et al., section 3.1


@dataclass(frozen=True)
class _Level:
    """One level of the pyramid.

    Attributes:
        picture: (H, W, C) float32: colours and texture features; the hole's pixels do not count.
        hole: (H, W) bool.
    """

    picture: Array
    hole: Array

    def halved(self) -> "_Level":
        """The next coarser level; a pixel belongs to the hole if any of its four does."""
        pad = ((0, self.hole.shape[0] % 2), (0, self.hole.shape[1] % 2))
        picture = np.pad(self.picture, (*pad, (0, 0)), mode="edge")
        hole = np.pad(self.hole, pad, mode="edge")
        return _Level(
            (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) / 4,
            hole[::2, ::2] | hole[1::2, ::2] | hole[::2, 1::2] | hole[1::2, 1::2],
        )


def complete(colours: Array, hole: Array) -> Array | None:
    """Find the pixels to copy into a hole.

    Args:
        colours: (H, W, C) float32 on the scale of 8 bits, the hole and its surroundings.
        hole: (H, W) bool.

    Returns:
        (H, W, 2) int32, offsets (x, y) in pixels from each pixel of the hole to the one to copy, zero elsewhere; None
        if no whole patch is known.
    """
    levels = [_Level(np.concatenate([colours, _texture(colours[..., 0], hole)], axis=2), hole)]
    while np.count_nonzero(levels[-1].hole) > _COARSEST_AREA and allowed_sources(levels[-1].halved().hole).any():
        levels.append(levels[-1].halved())
    if not allowed_sources(levels[-1].hole).any():
        return None
    rng = np.random.default_rng(_SEED)
    field = _complete_level(levels[-1], None, 0, rng)
    finest = len(levels) - 1
    while finest and np.count_nonzero(dilate_square(levels[finest - 1].hole, RADIUS)) <= _LARGEST_SEARCH:
        finest -= 1
        field = _complete_level(levels[finest], field, len(levels) - 1 - finest, rng)
    return _enlarge_offsets(_best_offsets(field, levels[finest].hole), hole, finest)


def _complete_level(level: _Level, coarse: PatchField | None, depth: int, rng: np.random.Generator) -> PatchField:
    """Search and vote in turn on one level."""
    allowed = allowed_sources(level.hole)
    field = random_field(level.hole, allowed, rng)
    if coarse is not None:
        field = enlarge(coarse, field, allowed)
        picture = _vote(level, field, _certainty(level.hole)[field.targets])
    else:
        smooth = np.stack([laplace_fill(np.ascontiguousarray(level.picture[..., c]), level.hole) for c in range(level.picture.shape[2])], axis=-1)
        picture = np.where(level.hole[..., None], smooth, level.picture)
        offsets = lay_out(picture, level.hole, allowed, Descriptors.learn(level.picture, allowed, _PULL))
        rows, columns = np.nonzero(level.hole)
        picture[rows, columns] = level.picture[rows + offsets[rows, columns, 1], columns + offsets[rows, columns, 0]]
        place = field.targets + offsets[..., 1].ravel()[field.targets] * level.hole.shape[1] + offsets[..., 0].ravel()[field.targets]
        field = replace(field, sources=np.where(allowed[place], place, field.sources))
    descriptors = Descriptors.learn(level.picture, allowed, _PULL)
    known = descriptors.of(level.picture)
    certainty = _certainty(level.hole)[field.targets]
    for turn in range(_ROUNDS[min(depth, len(_ROUNDS) - 1)]):
        if turn:
            picture = _vote(level, field, _weights(field.costs) * certainty)
        field = search(field, descriptors.of(picture), known, allowed, rng, max(level.hole.shape) if depth < 2 else 8)
    return field


def _certainty(hole: Array) -> Array:
    """Weights (H * W,) float32 of patches by their distance to the rim: Wexler et al., section 3.2."""
    return (_CERTAINTY_BASE ** -cv2.distanceTransform(np.pad(hole, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]).astype(np.float32).ravel()


def _peel(level: _Level, allowed: Array) -> Array:
    """Fill the hole from its rim inwards, one layer of pixels after another, with the patches that fit what is known."""
    height, width, channels = level.picture.shape
    reach = np.arange(-RADIUS, RADIUS + 1)
    padded_width = width + 2 * RADIUS
    steps = (reach[:, None] * padded_width + reach).ravel()
    picture = np.pad(level.picture, ((RADIUS, RADIUS), (RADIUS, RADIUS), (0, 0)))
    known = np.pad(~level.hole, RADIUS).astype(np.float32)
    flat, flat_known = picture.reshape(-1, channels), known.ravel()
    y, x = np.divmod(np.flatnonzero(allowed), width)
    centres = (y + RADIUS) * padded_width + x + RADIUS
    patches = flat[centres[:, None] + steps].reshape(len(centres), -1)
    squares = patches**2
    todo = np.pad(level.hole, RADIUS)
    while todo.any():
        layer = np.flatnonzero(todo & dilate_square(~todo & (known > 0), 1))
        if not len(layer):
            break
        around = layer[:, None] + steps
        weight = np.repeat(flat_known[around], channels, axis=1)
        wanted = flat[around].reshape(len(layer), -1) * weight
        ly, lx = np.divmod(layer, padded_width)
        far = (ly[:, None] - y - RADIUS) ** 2 + (lx[:, None] - x - RADIUS) ** 2
        misfit = (weight @ squares.T - 2 * wanted @ patches.T) / weight.sum(axis=1, keepdims=True) * channels * 49 + _PULL**2 * far
        flat[layer] = flat[centres[misfit.argmin(axis=1)]]
        flat_known[layer] = _PEELED
        todo.ravel()[layer] = False
    return picture[RADIUS:-RADIUS, RADIUS:-RADIUS]


def _texture(luma: Array, hole: Array) -> Array:
    """Texture features (H, W, 2) float32: mean size of the luma's (H, W) gradients along x and y round each pixel."""
    known = (~dilate_square(hole, 1)).astype(np.float32)
    kernel = (2 * RADIUS + 1,) * 2
    share = np.maximum(cv2.blur(known, kernel), 1e-6)
    smooth = [
        cv2.blur(np.abs(cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, ksize=1)) / 2 * known, kernel) / share for dx in (1, 0)
    ]
    return np.stack(smooth, axis=-1) * np.float32(_TEXTURE_WEIGHT)


def _thickness(hole: Array) -> float:
    """Distance in pixels from the hole's innermost pixel to its rim."""
    padded = np.pad(hole, 1).astype(np.uint8)
    return float(cv2.distanceTransform(padded, cv2.DIST_L2, 3).max())


def _weights(costs: Array) -> Array:
    """Weights of patches in the vote, by their distance to their partners."""
    variance = np.percentile(costs, _SIGMA_PERCENTILE) + 1e-3
    return np.asarray(np.exp(-costs / (2 * variance)), np.float32)


def _vote(level: _Level, field: PatchField, weights: Array) -> Array:
    """The picture with the hole's pixels replaced by the weighted mean of what the partners of the patches show."""
    height, width, channels = level.picture.shape
    flat = level.picture.reshape(-1, channels)
    total, share = np.zeros_like(flat), np.zeros((len(flat), 1), np.float32)
    y, x = np.divmod(field.targets, width)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            step = dy * width + dx
            place, weight = field.targets[inside] + step, weights[inside, None]
            total[place] += weight * flat[field.sources[inside] + step]
            share[place] += weight
    mean = total / np.maximum(share, 1e-12)
    return np.where(level.hole[..., None], mean.reshape(level.picture.shape), level.picture)


def _best_offsets(field: PatchField, hole: Array) -> Array:
    """Offsets (H, W, 2) int32 of the patch with the least cost over each pixel of the hole."""
    height, width = hole.shape
    least = np.full(hole.size, np.inf)
    source = np.arange(hole.size)
    y, x = np.divmod(field.targets, width)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
            step = dy * width + dx
            place, costs = field.targets[inside] + step, field.costs[inside]
            better = costs < least[place]
            source[place[better]] = field.sources[inside][better] + step
            least[place[better]] = costs[better]
    offset_y = source // width - np.arange(hole.size) // width
    offset_x = source % width - np.arange(hole.size) % width
    offsets = np.stack([offset_x, offset_y], axis=-1).reshape(height, width, 2)
    return np.where(hole[..., None], offsets, 0).astype(np.int32)


def _enlarge_offsets(offsets: Array, hole: Array, halvings: int) -> Array:
    """Offsets (H, W, 2) int32 for a hole (H, W) bool from those of a picture that was halved several times."""
    height, width = hole.shape
    y, x = np.mgrid[:height, :width]
    large = offsets[y >> halvings, x >> halvings] << halvings
    large[..., 0] = np.minimum(large[..., 0], width - 1 - x)
    large[..., 1] = np.minimum(large[..., 1], height - 1 - y)
    return np.where(hole[..., None], large, 0).astype(np.int32)
