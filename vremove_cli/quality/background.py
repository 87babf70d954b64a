"""The background of a shot, from the frames of the source that show it: what a good result shows in the hole.

The frames are registered (`motion.registration`); the median of what they show is the background without what moves
before it (`motion.mosaic`). Where no frame shows it, its smoothest continuation stands in.
"""

from dataclasses import dataclass

import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.motion.mosaic import Mosaic
from vremove_cli.motion.pixelwise import largest_channel
from vremove_cli.motion.registration import Registration, median_of_frames, register

RIGHT = 12  # 8-bit levels within which a pixel is right: that of the plate's confidence (docs/plate.md)

_HIDDEN_MARGIN = 4  # pixels round the mask that may show the object's soft border: the least growth of a tracked mask
_RIM = 2  # pixels round the mask in which the object's border still shows; a mover may be as thin as a leg
_MIN_SIGHTINGS = 3  # frames that must show a pixel: of two, either may be wrong


@dataclass(frozen=True)
class View:
    """The background as one frame sees it.

    Attributes:
        colour: (h, w, 3) float32, 0 to 255, at the frame's exposure.
        known: (h, w) bool, where other frames show it; elsewhere `colour` is a smooth continuation.
    """

    colour: Array
    known: Array


class Background:
    """The background of one shot of a source.

    Args:
        rgb: Frames (T, h, w, 3) uint8.
        mask: The object (T, h, w) bool.

    Attributes:
        hidden: (T, h, w) bool, where the frames do not show the background.
    """

    def __init__(self, rgb: Array, mask: Array) -> None:
        self.hidden = np.stack([dilate_square(m, _HIDDEN_MARGIN) for m in mask])
        self._rim = np.stack([dilate_square(m, _RIM) for m in mask])
        self._size = (rgb.shape[2], rgb.shape[1])
        self._found: tuple[Registration, Mosaic] | None = None
        if len(rgb) > _MIN_SIGHTINGS:  # else no hidden pixel can have so many
            registration = register(rgb, self.hidden)
            self._found = registration, median_of_frames(rgb, ~self.hidden, registration)

    def between(self, t: int, s: int) -> Array:
        """Return the camera's motion (3, 3) float64 from frame t to frame s."""
        return np.eye(3) if self._found is None else self._found[0].between(t, s, self._size)

    def view(self, t: int, frame: Array) -> View:
        """Return what frame t, the picture `frame` (h, w, 3) uint8, would show without the object."""
        known, colour = np.zeros(frame.shape[:2], bool), frame.astype(np.float32)
        if self._found is not None and self._found[0].aligned[t]:
            registration, mosaic = self._found
            known = mosaic.canvas.view(mosaic.count, t, nearest=True) >= _MIN_SIGHTINGS
            seen = mosaic.canvas.view(mosaic.colour, t, cubic=True) * np.float32(registration.gains[t])
            colour = np.where(known[..., None], seen, colour)
        unknown = self.hidden[t] & ~known
        return View(laplace_fill(colour, unknown) if unknown.any() else colour, known)

    def movers(self, t: int, frame: Array, view: View) -> Array:
        """Return where frame t, the picture `frame` (h, w, 3) uint8, shows what moves before its background.

        Returns:
            (h, w) bool, outside the object.
        """
        return np.asarray(view.known & ~self._rim[t] & ~right(frame, view.colour))


def right(a: Array, b: Array) -> Array:
    """Return where two pictures (h, w, 3), 0 to 255, differ by `RIGHT` levels at most in every channel, (h, w) bool."""
    return np.asarray(largest_channel(np.abs(a.astype(np.float32) - b)) <= RIGHT)


def presence(source: Array, result: Array, view: View, where: Array) -> tuple[float, float]:
    """Say how much of the object a result shows.

    A ghost shows r = b + a (s - b), where s is the source and b the background. The share a is the least squares
    estimate, the projection of r - b on s - b. Sums of several frames are added before they are divided.

    Args:
        source: (h, w, 3) uint8.
        result: (h, w, 3) uint8.
        view: The background.
        where: Where the object is, (h, w) bool.

    Returns:
        The sums of (r - b) (s - b) and of (s - b)^2.
    """
    own = source[where].astype(np.float32) - view.colour[where]
    left = result[where].astype(np.float32) - view.colour[where]
    return float(np.vdot(left, own)), float(np.vdot(own, own))
