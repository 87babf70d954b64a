"""Whether what lies under an object is its mirror image: frame = background + a (mirrored object - background)."""

from dataclasses import dataclass, field

import cv2
import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.geometry import Array, bounds

_BLUR = (5, 5)  # pixels over which pictures are compared: a mirror image is soft
_MIN_PIXELS = 20  # in a frame
_MIN_EXPLAINED = 0.4  # share of the difference that the mirrored object explains
_WEAKEST, _STRONGEST = 0.03, 0.7  # a: fainter is noise, stronger is another thing


@dataclass
class MirrorTest:
    """Sums of the regression of what is under the object on its mirrored picture.

    Attributes:
        masks: Mirrored masks (H, W) bool by frame.
    """

    masks: dict[int, Array] = field(default_factory=dict)
    _cross: float = 0.0
    _square: float = 0.0
    _total: float = 0.0

    def add(self, t: int, frame: Array, background: Array, mask: Array, foreground: Array) -> None:
        """Add a frame.

        Args:
            t: Its number.
            frame: (H, W, 3) uint8.
            background: (H, W, 3) float32 at its brightness.
            mask: (H, W) bool, the object.
            foreground: (H, W) bool, where the frame differs from the background.
        """
        rows = np.flatnonzero(mask.any(axis=1))
        height, width = mask.shape
        flip = np.array([[1, 0, 0], [0, -1, 2 * rows[-1]]], np.float32)  # about the object's lowest row
        self.masks[t] = cv2.warpAffine(mask.astype(np.uint8), flip, (width, height), flags=cv2.INTER_NEAREST) > 0
        where = self.masks[t] & foreground & ~dilate_square(mask, 3)
        if where.sum() < _MIN_PIXELS:
            return
        box = bounds(where).grow(max(_BLUR)).clip(width, height)
        where, light = where[box.slices], background[box.slices]
        flipped = cv2.warpAffine(frame, flip, (width, height), flags=cv2.INTER_NEAREST)
        mirrored, change = (cv2.blur(x[box.slices] - light, _BLUR)[where] for x in (flipped, frame))
        self._cross += float((mirrored * change).sum())
        self._square += float((mirrored * mirrored).sum())
        self._total += float((change * change).sum())

    @property
    def passed(self) -> bool:
        """Whether the mirrored object explains what is there."""
        if not self._square or not self._total:
            return False
        strength = self._cross / self._square
        return _WEAKEST < strength < _STRONGEST and strength * self._cross / self._total > _MIN_EXPLAINED
