"""Judge what sightings tell of a hole: they must agree with each other, and with the frame itself round the hole."""

from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.compose import subsample_mask
from vremove_cli.geometry import Array
from vremove_cli.media.clip import ClipInfo
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.motion.pixelwise import gradient_magnitude
from vremove_cli.plate.fuse import spread_inwards
from vremove_cli.plate.sample_group import Planes
from vremove_cli.plate.scene_model import BESIDE, TOLD
from vremove_cli.plate.sightings import Fusion

MIN_SIGHTINGS = 2  # below which a pixel is left to the flow
_MAX_MISFIT = 3.0  # 8-bit levels by which the rim may differ, beyond texture
_TEXTURE_SHARE = 0.25  # of the local gradient that the rim may differ by: a quarter of a pixel of registration error
# Spread of the sightings that still agree: 8-bit levels, multiples of the rim's, shares of the local gradient.
_MAX_SPREAD, _SPREAD_NOISE, _SPREAD_TEXTURE = 3.0, 2.0, 0.2
_RIM_WINDOW = (9, 9)  # pixels over which the rim's difference is averaged
_MAX_OFFSET = 12.0  # 8-bit levels of brightness by which the fill follows its rim


@dataclass(frozen=True)
class Told:
    """What sightings tell of a hole.

    Attributes:
        planes: The frame's components with the told pixels filled, of the clip's dtype.
        pixels: (h, w) bool.
        chance: (h, w) float32, the chance that they are within 12 of 255 levels of the truth.
        pictures: The sightings' values on the whole box, (h', w') float32 for each component.
        offered: (h, w) bool, other pixels of the hole that have sightings: they vote against the flow.
    """

    planes: Planes
    pixels: Array
    chance: Array
    pictures: tuple[Array, ...]
    offered: Array


def agreement(
    info: ClipInfo, known: Planes, matte: Array, fused: list[Fusion], by_model: Array, blocked: Array
) -> Told:
    """Fill a hole with what its sightings tell.

    Args:
        info: The clip.
        known: The frame's components on the hole's box.
        matte: (h, w) uint8, above 0 in the hole.
        fused: Sightings of every sample of the box, by grid.
        by_model: (h, w) uint8, what the scene's model tells of the hole.
        blocked: (h, w) bool, pixels where the frame does not show the background: its rim is not compared there.
    """
    layout = info.layout
    levels = 255 / layout.peak
    hole = matte > 0
    shape = matte.shape
    luma = fused[0]
    count, spread = luma.count.reshape(shape), luma.spread.reshape(shape) * levels
    rim = ~hole & (count >= MIN_SIGHTINGS) & ~blocked & (by_model == TOLD)
    pictures = [values.reshape(known[component].shape) for component, values in _components(layout.groups, fused)]
    difference = (known[0].astype(np.float32) - pictures[0]) * levels
    gradient = gradient_magnitude(cv2.GaussianBlur(pictures[0] * np.float32(levels), (0, 0), 1))
    misfit = spread_inwards(np.maximum(np.abs(_smooth(difference)) - _TEXTURE_SHARE * gradient, 0), rim)
    usual = float(np.median(spread[rim])) if rim.any() else 0.0
    told = hole & (count >= MIN_SIGHTINGS) & (by_model == TOLD)
    told &= (misfit < _MAX_MISFIT) & (spread < _MAX_SPREAD + _SPREAD_NOISE * usual + _SPREAD_TEXTURE * gradient)
    planes = []
    for component, picture in enumerate(pictures):
        part = layout.components[component]
        inside = subsample_mask(hole, part.sub_x, part.sub_y)
        rim_part = subsample_mask(rim, part.sub_x, part.sub_y) & ~inside
        offset = _rim_offset(known[component].astype(np.float32) - picture, rim_part, inside, layout.peak / 255)
        filled = np.clip(np.rint(picture + offset), 0, layout.peak).astype(layout.dtype)
        where = subsample_mask(told, part.sub_x, part.sub_y)
        planes.append(np.where(where, filled, known[component]))
    offered = hole & (count >= MIN_SIGHTINGS) & (by_model != BESIDE) & ~told
    return Told(tuple(planes), told, _chance(misfit, spread, count, gradient), tuple(pictures), offered)


def _components(groups: tuple[tuple[int, ...], ...], fused: list[Fusion]) -> list[tuple[int, Array]]:
    """Values (N,) of each component, in order."""
    pairs = [(c, one.values[:, k]) for group, one in zip(groups, fused, strict=True) for k, c in enumerate(group)]
    return sorted(pairs, key=lambda pair: pair[0])


def _chance(misfit: Array, spread: Array, count: Array, gradient: Array) -> Array:
    """Chance (h, w) that a told pixel is right."""
    error = misfit + spread / np.sqrt(np.maximum(count, 1)) + 0.15 * gradient
    return np.asarray(np.exp(-((error / 14) ** 2)), np.float32)


def _rim_offset(difference: Array, rim: Array, inside: Array, level: float) -> Array:
    """The smooth difference (h, w) of the frame to its sightings on the rim, continued into the hole."""
    if not rim.any() or not inside.any():
        return np.zeros_like(difference)
    weight = cv2.blur(rim.astype(np.float32), _RIM_WINDOW)
    smooth = cv2.blur(np.where(rim, difference, 0).astype(np.float32), _RIM_WINDOW) / np.maximum(weight, 1e-6)
    smooth = np.clip(smooth, -_MAX_OFFSET * level, _MAX_OFFSET * level)
    return laplace_fill(smooth, ~rim)


def _smooth(values: Array) -> Array:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 1.2))
