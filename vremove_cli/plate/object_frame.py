"""The object's own coordinates: what goes along with the object holds still there, and everything else smears out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array
from vremove_cli.motion.mosaic import Canvas
from vremove_cli.motion.warp import project

_HALF = 127  # half the level of a mask's pixels while it is interpolated
_MAX_GAP = 24  # frames in which a hidden object is taken to go on evenly
# A frame shows the object whole, if its mask has this share of the largest area among frames at most this far away.
_WHOLE, _NEAR = 0.95, 40
_OUTLINE, _OWN_OUTLINE = 3, 0.2  # pixels inside the outline, and their share in the mask, from which a shape fits
REACH = 1.8  # longer sides of the object that its coordinates reach from its centre


@dataclass(frozen=True)
class ObjectFrame:
    """Coordinates that are centred on the object and move with it; the camera's motion is taken out.

    Attributes:
        side: Width and height in pixels.
        poses: (3, 3) by frame, from the frame's pixels to these; also of frames that hide the object for a short while.
        shown: Frames that show the object.
        frame_size: (width, height) of a frame in pixels.
        size: Square root of the object's median area, in pixels.
        travel: How far the object moves over the background between two frames, at most, in its sizes.
    """

    side: int
    poses: Mapping[int, Array]
    shown: Sequence[int]
    frame_size: tuple[int, int]
    size: float
    travel: float

    @classmethod
    def around(cls, masks: Array, canvas: Canvas) -> "ObjectFrame | None":
        """Follow an object's masks (T, H, W) bool; None if all are empty."""
        centres, longest, areas = {}, 0, []
        for t, mask in enumerate(masks):
            rows, columns = np.nonzero(mask)
            if len(rows):
                centre = np.array([[columns.mean(), rows.mean()]], np.float32)
                centres[t] = project(canvas.poses[t], centre)[0]
                longest = max(longest, int(np.ptp(rows)), int(np.ptp(columns)))
                areas.append(len(rows))
        if not centres:
            return None
        reach = int(REACH * longest) + 1
        poses = {
            t: np.array([[1, 0, reach - x], [0, 1, reach - y], [0, 0, 1]]) @ canvas.poses[t]
            for t, (x, y) in _without_gaps(centres).items()
        }
        size = float(np.sqrt(np.median(areas)))
        places = np.stack(list(centres.values()))
        return cls(
            2 * reach + 1, poses, sorted(centres), canvas.frame_size, size, float(np.ptp(places, axis=0).max()) / size
        )

    def lay(self, picture: Array, t: int) -> Array:
        """Return a picture of frame t in these coordinates, 0 beyond the frame."""
        side = (self.side, self.side)
        return np.asarray(cv2.warpPerspective(picture, self.poses[t], side, flags=cv2.INTER_LINEAR))

    def view(self, picture: Array, t: int) -> Array:
        """Return a picture in these coordinates as frame t sees it, 0 beyond them."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpPerspective(picture, self.poses[t], self.frame_size, flags=flags))

    def lay_mask(self, mask: Array, t: int) -> Array:
        """Return a mask (H, W) bool of frame t in these coordinates."""
        return self.lay(_levels(mask), t) > _HALF

    def view_mask(self, mask: Array, t: int) -> Array:
        """Return a mask in these coordinates as frame t sees it, (H, W) bool."""
        return self.view(_levels(mask), t) > _HALF

    def usual_shape(self, masks: Array) -> Array:
        """Return where the object (T, H, W) bool is in most frames, (side, side) bool in these coordinates."""
        total = np.zeros((self.side, self.side), np.float32)
        for t in self.shown:
            total += self.lay_mask(masks[t], t)
        return np.asarray(total > 0.5 * len(self.shown))


def covered_part(masks: Array, canvas: Canvas) -> Array:
    """Return where the object is and something in front of it covers it, (T, H, W) bool.

    What a frame shows there is not the background. In a frame that shows much less of the object than others near it,
    its usual shape is laid where it is on its way between frames that show it whole. An object that reaches the edge
    of the picture is leaving or coming. Before the first whole frame and after the last one the shape must fit: an
    object that is smaller all round is growing or shrinking, and one that is elsewhere moves.

    Args:
        masks: The object (T, H, W) bool.
        canvas: The camera's motion.
    """
    areas = masks.sum(axis=(1, 2)).astype(np.float32)
    largest = np.array([areas[max(0, t - _NEAR) : t + _NEAR + 1].max() for t in range(len(areas))])
    whole = (areas > 0) & (areas >= _WHOLE * largest)
    covered = np.zeros_like(masks)
    place = ObjectFrame.around(np.where(whole[:, None, None], masks, False), canvas)
    if place is None:
        return covered
    shape, shown = place.usual_shape(masks), np.flatnonzero(whole).tolist()
    shifts = np.stack([(place.poses[t] @ np.linalg.inv(canvas.poses[t]))[:2, 2] for t in shown])
    poses = {}
    for t in np.flatnonzero((areas > 0) & ~whole).tolist():
        shift = np.eye(3)
        shift[:2, 2] = [np.interp(t, shown, along) for along in shifts.T]
        poses[t] = shift @ canvas.poses[t]
    on_its_way = replace(place, poses=poses)
    for t in poses:
        edges = (masks[t, 0], masks[t, -1], masks[t, :, 0], masks[t, :, -1])
        body = on_its_way.view_mask(shape, t)
        if not any(edge.any() for edge in edges) and (shown[0] < t < shown[-1] or _fits(body, masks[t])):
            covered[t] = body & ~masks[t]
    return covered


def _fits(body: Array, mask: Array) -> bool:
    """Return whether a mask (H, W) bool is a shape with a part cut off: a part of the shape's outline is its own."""
    outline = body & dilate_square(~body, _OUTLINE)
    return bool(np.count_nonzero(outline & mask) >= _OWN_OUTLINE * np.count_nonzero(outline))


def _without_gaps(centres: Mapping[int, Array]) -> dict[int, Array]:
    """Centres (2,) by frame, also of frames in which the object is hidden, if these are at most `_MAX_GAP`."""
    out = dict(centres)
    shown = sorted(centres)
    for before, after in pairwise(shown):
        if after - before - 1 <= _MAX_GAP:
            for t in range(before + 1, after):
                share = (t - before) / (after - before)
                out[t] = (1 - share) * centres[before] + share * centres[after]
    return out


def _levels(mask: Array) -> Array:
    """A mask (H, W) bool as levels 0 and twice `_HALF`, uint8."""
    return mask.astype(np.uint8) * np.uint8(2 * _HALF)
