"""Where something else moves behind the object: there the background alone does not tell what the hole shows."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square, label_components
from vremove_cli.geometry import Array
from vremove_cli.motion.mosaic import Canvas

_MIN_AREA = 25  # pixels of a mover
_CONTACT = 3  # pixels between a mover and the hole from which it is partly hidden
_CONTACT_REACH = 0.6  # of its size (square root of its area) that a mover may reach into the hole it touches
_BEFORE_SHARE = 0.1  # of a mover that is seen where the object should be, from which it is before the object
_FOLLOWED_SHARE = 0.3  # of a mover that lies where it was expected
_HISTORY = 4  # frames over which a mover's speed is measured
_MIN_OVERLAP = 0.1  # IoU with a neighbouring frame's component of the same mover
_MAX_HIDDEN = 45  # frames for which a mover's way behind the object is continued
_UNCERTAINTY = 0.15  # of the way gone: how far a mover may be from where its speed takes it
_MARGIN = 3  # pixels


@dataclass(frozen=True)
class _Mover:
    """A component of what moves in one frame.

    Attributes:
        mask: (H, W) bool.
        speed: Pixels of the mosaic per frame, (2,).
    """

    mask: Array
    speed: Array


def clean_movers(mask: Array) -> Array:
    """Drop specks and close gaps of a mask (H, W) bool of what moves."""
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    labels, areas = label_components(opened)
    kept = areas >= _MIN_AREA
    kept[0] = False
    return np.asarray(cv2.morphologyEx(kept[labels].astype(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)) > 0)


def hidden_movers(movers: Array, hidden: Array, bodies: Array, canvas: Canvas) -> Array:
    """Return where movers may be behind the object.

    A mover that touches the hole reaches into it; one that vanishes behind the object goes on at its speed, and one
    that comes out has come at its speed.

    Args:
        movers: (T, H, W) bool, what else moves and is seen.
        hidden: (T, H, W) bool, where the object is seen.
        bodies: (T, H, W) bool, where it would be seen with nothing before it.
        canvas: Where the frames lie.

    Returns:
        (T, H, W) bool, inside `hidden`.
    """
    labelled = [label_components(mask) for mask in movers]
    followed = np.zeros(movers.shape, bool)
    for direction in (1, -1):
        for t, mover in _vanishing(labelled, hidden, canvas, direction):
            _continue_way(mover, t, direction, hidden, canvas, followed)
    for t, (labels, areas) in enumerate(labelled):
        if len(areas) > 1 and hidden[t].any():
            followed[t] |= _contact(labels, areas, hidden[t], bodies[t], followed[t])
    return followed & hidden


def _contact(labels: Array, areas: Array, hidden: Array, body: Array, followed: Array) -> Array:
    """The surroundings (H, W) bool of movers that touch the object, are not before it, and were not followed."""
    touching = _pixels(labels, areas, dilate_square(hidden, _CONTACT)) > 0
    before = _pixels(labels, areas, body) > _BEFORE_SHARE * areas
    known = _pixels(labels, areas, followed) >= _FOLLOWED_SHARE * areas
    out = np.zeros(labels.shape, bool)
    for label in 1 + np.flatnonzero((touching & ~before & ~known)[1:]):
        out |= dilate_square(labels == label, round(_CONTACT_REACH * areas[label] ** 0.5) + _MARGIN)
    return out


def _pixels(labels: Array, areas: Array, where: Array) -> Array:
    """How many pixels (N,) of each component lie in a mask (H, W) bool."""
    return np.bincount(labels[where], minlength=len(areas))


def _vanishing(
    labelled: list[tuple[Array, Array]], hidden: Array, canvas: Canvas, direction: int
) -> Iterator[tuple[int, _Mover]]:
    """Movers that are clear of the hole in a frame and touch it in the next one in a direction of time."""
    frames = range(len(labelled) - 1) if direction > 0 else range(len(labelled) - 1, 0, -1)
    for t in frames:
        (labels, areas), follows = labelled[t], t + direction
        if len(areas) == 1 or not hidden[follows].any():
            continue
        clear = _pixels(labels, areas, dilate_square(hidden[t], _CONTACT)) == 0
        near = dilate_square(hidden[follows], _CONTACT)
        for label in 1 + np.flatnonzero(clear[1:]):
            mask = labels == label
            speed = _speed(mask, labelled, t, direction, canvas)
            if speed is not None and (_moved(mask, t, speed, follows, canvas) & near).any():
                yield t, _Mover(mask, speed)


def _speed(mask: Array, labelled: list[tuple[Array, Array]], t: int, direction: int, canvas: Canvas) -> Array | None:
    """The speed (2,) of a component over the frames before, in a direction of time; None if it was not there."""
    place = start = _centre(mask, t, canvas)
    steps, current = 0, mask
    for k in range(1, _HISTORY + 1):
        s = t - direction * k
        if not 0 <= s < len(labelled):
            break
        labels, areas = labelled[s]
        common = _pixels(labels, areas, current)[1:]
        overlap = common / (areas[1:] + np.count_nonzero(current) - common)  # IoU
        if overlap.max(initial=0) < _MIN_OVERLAP:
            break
        current = labels == 1 + overlap.argmax()
        steps, place = k, _centre(current, s, canvas)
    return (start - place) / steps if steps else None


def _centre(mask: Array, t: int, canvas: Canvas) -> Array:
    """Centre (2,) of a mask of frame t on the mosaic."""
    moments = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    x, y, w = canvas.poses[t] @ np.array([moments["m10"], moments["m01"], moments["m00"]])
    return np.array([x / w, y / w])


def _moved(mask: Array, t: int, way: Array, s: int, canvas: Canvas) -> Array:
    """A mask (H, W) bool of frame t as frame s sees it after it has gone a way (2,) on the mosaic."""
    shift = np.array([[1, 0, way[0]], [0, 1, way[1]], [0, 0, 1]])
    pose = np.linalg.inv(canvas.poses[s]) @ shift @ canvas.poses[t]
    return cv2.warpPerspective(mask.astype(np.uint8), pose, canvas.frame_size, flags=cv2.INTER_NEAREST) > 0


def _continue_way(mover: _Mover, t: int, direction: int, hidden: Array, canvas: Canvas, out: Array) -> None:
    """Add to `out` where a mover is behind the holes of the frames after t in a direction of time."""
    for k in range(1, _MAX_HIDDEN + 1):
        s = t + direction * k
        if not 0 <= s < len(hidden):
            return
        way = mover.speed * k
        margin = _MARGIN + round(_UNCERTAINTY * float(np.linalg.norm(way)))
        place = dilate_square(_moved(mover.mask, t, way, s, canvas), margin)
        if not (place & hidden[s]).any():
            return
        out[s] |= place
