"""Operations on boolean masks that several rooms share: overlap, surroundings, connected components.

A component is a maximal set of connected non-zero pixels, 8-connected unless stated otherwise.
"""

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from vremove_cli.geometry import Array


def iou(a: Array, b: Array) -> float:
    """Return the intersection over union of two masks.

    Args:
        a: Mask (H, W) bool.
        b: Mask (H, W) bool.

    Returns:
        0 (disjoint) to 1 (equal). Two empty masks are equal: 1.
    """
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def dilate_square(mask: Array, px: int) -> Array:
    """Return the pixels (H, W) bool at most `px` rows and `px` columns away from a mask (H, W) bool."""
    side = 2 * px + 1
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)


def dilate_disc(mask: Array, px: int) -> Array:
    """Return the pixels (H, W) bool within a disc of `px` pixels round those of a mask (H, W) bool."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * px + 1, 2 * px + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc) > 0)


def distance_from(mask: Array) -> Array:
    """Return the pixels (H, W) float32 from a mask (H, W) bool; infinite from an empty one."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3))


def ring(mask: Array, px: int) -> Array:
    """Return the surroundings of a mask.

    Args:
        mask: Mask (H, W) bool.
        px: Width of the ring in pixels, 0 or more.

    Returns:
        The pixels (H, W) bool outside the mask that are at most `px` rows and `px` columns away from it.
    """
    return np.asarray(dilate_square(mask, px) & ~mask)


def label_components(mask: Array, *, connectivity: Literal[4, 8] = 8) -> tuple[Array, Array]:
    """Number the components of a mask.

    Args:
        mask: Mask (H, W), non-zero inside.
        connectivity: Neighbours of a pixel, 4 or 8.

    Returns:
        Labels (H, W) int32, 0 for the background, and areas (N,) int32 in pixels by label.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=connectivity)
    return labels, stats[:, cv2.CC_STAT_AREA]


def keep_components(mask: Array, keep: Callable[[Array, Array], Array], *, connectivity: Literal[4, 8] = 8) -> Array:
    """Return the components of a mask that a criterion selects.

    Args:
        mask: Mask (H, W), non-zero inside.
        keep: Criterion: takes labels (H, W) and areas (N,), see `label_components`, and returns the selection (N,) bool
            by label. Its answer for label 0 is ignored.
        connectivity: Neighbours of a pixel, 4 or 8.

    Returns:
        The selected components (H, W) bool.
    """
    labels, areas = label_components(mask, connectivity=connectivity)
    selected = np.array(keep(labels, areas), bool)
    selected[0] = False
    return np.asarray(selected[labels])


def large_components(mask: Array, least: float) -> Array:
    """Return the components (H, W) bool of a mask (H, W) that have at least `least` pixels."""
    return keep_components(mask, lambda _, areas: areas >= least)


def overlapping_components(mask: Array, other: Array) -> Array:
    """Return the components (H, W) bool of a mask (H, W) that share a pixel with another mask (H, W) bool."""
    return keep_components(mask, lambda labels, areas: np.bincount(labels[other], minlength=len(areas)) > 0)


def split_largest_component(mask: Array) -> tuple[Array, list[Array]]:
    """Split a mask (H, W) into its largest component and the others.

    Returns:
        The largest component (H, W) bool, empty if the mask is, and the other components (H, W) bool. Of equally large
        ones, the first in raster order is the largest.
    """
    labels, areas = label_components(mask)
    if len(areas) == 1:
        return np.zeros(mask.shape, bool), []
    largest = 1 + int(areas[1:].argmax())
    return labels == largest, [labels == k for k in range(1, len(areas)) if k != largest]
