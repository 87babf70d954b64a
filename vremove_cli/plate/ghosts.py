"""Find what the mosaic shows of a thing that stood in one place for most of a shot: the frames without it are right.

Such a ghost differs from the frames that show the background, and looks like something that moves there. Its outline
tells: an edge of the mosaic that the frame does not have.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from vremove_cli.arrays import dilate_disc, label_components
from vremove_cli.geometry import Array, bounds

_BAND = 4  # pixels on each side of an outline that are compared
_WINDOW = (9, 9)  # pixels in which both sides are averaged
_MIN_OUTLINE = 20  # pixels of an outline that must be visible
_STRONGER, _LEVELS = 1.5, 3.0  # factor, and 8-bit levels beyond it, by which one picture has the stronger outline


def outline_votes(frame: Array, background: Array, changed: Array, visible: Array) -> tuple[Array, Array]:
    """Tell ghosts from things among what differs between a frame and the background.

    Args:
        frame: (H, W, 3) uint8.
        background: (H, W, 3) float32, the mosaic as the frame sees it.
        changed: (H, W) bool, where they differ.
        visible: (H, W) bool, where both are known to show neither the object nor its fringe.

    Returns:
        Two masks (H, W) bool: components that are in the mosaic alone, and components that are in the frame alone.
    """
    ghosts, things = np.zeros_like(changed), np.zeros_like(changed)
    for component in _components(changed):
        sides = dilate_disc(component, _BAND) & visible
        if np.count_nonzero(sides & ~component) < _MIN_OUTLINE:
            continue
        box = bounds(sides).grow(_BAND).clip(changed.shape[1], changed.shape[0]).slices
        in_frame, in_mosaic = (_contrast(x[box], component[box], sides[box]) for x in (frame, background))
        if in_mosaic > _STRONGER * in_frame + _LEVELS:
            ghosts |= component
        elif in_frame > _STRONGER * in_mosaic + _LEVELS:
            things |= component
    return ghosts, things


def _contrast(picture: Array, component: Array, sides: Array) -> float:
    """The difference of a picture (H, W, 3) across a component's outline, 8-bit levels, mean of the channels."""
    inside, outside = (_local_mean(picture, side & sides) for side in (component, ~component))
    both = (inside[1] > 0) & (outside[1] > 0) & sides
    if not both.any():
        return 0.0
    return float(np.abs(inside[0] - outside[0]).mean(axis=2)[both].mean())


def _local_mean(picture: Array, where: Array) -> tuple[Array, Array]:
    """Mean (H, W, 3) of a picture's pixels in a mask (H, W) bool over a window, and their share (H, W) of it."""
    share = cv2.blur(where.astype(np.float32), _WINDOW)
    total = cv2.blur(picture.astype(np.float32) * where[..., None], _WINDOW)
    return total / np.maximum(share, 1e-6)[..., None], share


def _components(mask: Array) -> Iterator[Array]:
    """The components (H, W) bool of a mask."""
    labels, areas = label_components(mask)
    for label in range(1, len(areas)):
        yield labels == label
