"""Tracker interface: prompts on some frames in, a soft mask on every frame out.

Frames come one at a time, in either direction. A tracker keeps nothing between calls: what it remembers is in the
`TrackerState` that it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from vremove_cli.geometry import Array, Box

WORK_SIZE = 360  # pixels: shorter side of the frames that masks are tracked at

KEPT_OUT = -1.0  # value of a soft mask where a negative point keeps the object out
_SHADE = 0.8  # of the evidence of another light: weight against the object

# Remarks on the mask of a frame, for the summary and the preview.
NO_OBJECT, DOUBTFUL = "nothing stands out at the prompt", "the first mask is doubtful"
ABSENT, FOUND_AGAIN = "not found", "found again"


@dataclass(frozen=True)
class ObjectPrompts:
    """Prompts for one object on one frame, in pixels of the stored (not rotated) frame.

    Attributes:
        points: (x, y) of points on the object.
        negative: (x, y) of points beside the object.
        boxes: (x0, y0, x1, y1) of boxes round the object or its parts.
        mask: Path of the object's mask on the frame, which stands alone; empty without one.
    """

    points: tuple[tuple[float, float], ...] = ()
    negative: tuple[tuple[float, float], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    mask: str = ""

    @property
    def positive(self) -> bool:
        """Whether they say where the object is, and not only where it is not."""
        return bool(self.points or self.boxes or self.mask)

    def scaled(self, scale: float) -> "ObjectPrompts":
        """Return the prompts with all coordinates multiplied by `scale`."""

        def scale_points(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
            return tuple((x * scale, y * scale) for x, y in points)

        boxes = tuple((x0 * scale, y0 * scale, x1 * scale, y1 * scale) for x0, y0, x1, y1 in self.boxes)
        return ObjectPrompts(scale_points(self.points), scale_points(self.negative), boxes, self.mask)


@dataclass(frozen=True)
class ForegroundEvidence:
    """Evidence, for each pixel of a frame, that it is not the background; independent of any object.

    The arrays are (h, w) float32 of one size, which may be smaller than the frame.

    Attributes:
        difference: Difference from the background in units of the frame's usual difference, 0 or more; 0 where the
            background is unknown.
        motion: Evidence drawn from `difference`, -1.5 (background) to 1.5 (foreground); 0 where unknown.
        illumination: Evidence that the pixel is background in another light (a shadow, a reflection), 0 to 1.2.
    """

    difference: Array
    motion: Array
    illumination: Array

    @classmethod
    def zeros(cls, height: int, width: int) -> "ForegroundEvidence":
        """Return arrays (height, width) that hold no evidence."""
        return cls(*(np.zeros((height, width), np.float32) for _ in range(3)))

    def map(self, function: Callable[[Array], Array]) -> "ForegroundEvidence":
        """Return the evidence with `function` applied to each array."""
        return ForegroundEvidence(function(self.difference), function(self.motion), function(self.illumination))

    def resized(self, width: int, height: int) -> "ForegroundEvidence":
        """Return the evidence at another size, interpolated bilinearly."""
        return self.map(lambda x: np.asarray(cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR)))

    def crop(self, box: Box, width: int, height: int) -> "ForegroundEvidence":
        """Return the evidence in a box of a frame of that size, at the frame's size, interpolated bilinearly."""
        rows, columns = self.motion.shape
        scale_x, scale_y = columns / width, rows / height
        shift_x, shift_y = (box.x0 + 0.5) * scale_x - 0.5, (box.y0 + 0.5) * scale_y - 0.5
        to_small = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]], np.float64)
        flags, size = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR, (box.width, box.height)
        return self.map(
            lambda x: np.asarray(cv2.warpAffine(x, to_small, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))
        )

    def for_object(self) -> Array:
        """Return the evidence (h, w) float32 for an object: motion, and against it where it is another light."""
        shaded = np.minimum(self.motion, -_SHADE * self.illumination)
        return np.where(self.illumination > 0, shaded, self.motion).astype(np.float32)

    def reliability(self, mask: Array) -> float:
        """Return how far the evidence can be trusted for the object in `mask` (h, w) bool.

        Returns:
            0 when the object does not differ from the background, up to 1.
        """
        if not mask.any():
            return 0.0
        return float(np.clip(np.percentile(self.difference[mask], 60) - 1.5, 0, 1))


@dataclass(frozen=True)
class TrackerFrame:
    """One frame, prepared for a tracker.

    Attributes:
        index: Number of the frame in the clip.
        rgb: Picture (h, w, 3) uint8 at the tracker's input size.
        clip_size: (width, height) of the clip, the pixels that prompts are given in.
        mask_size: (width, height) of the masks that the tracker returns.
        foreground: Evidence of what is not the background, at any size; None for a tracker with an input size of its
            own, and where it is not known.
        object_evidence: Takes a part (h, w) bool of an object, at any size, and returns the evidence for that object:
            what moves otherwise is not foreground. None where `foreground` is.
        camera: Motion (3, 3) of the camera to this frame from a fixed frame of the shot, in pixels of the masks; None
            where `foreground` is.
    """

    index: int
    rgb: Array
    clip_size: tuple[int, int]
    mask_size: tuple[int, int]
    foreground: ForegroundEvidence | None = None
    object_evidence: Callable[[Array], ForegroundEvidence] | None = None
    camera: Array | None = None

    @property
    def scale(self) -> float:
        """Pixels of `rgb` in a pixel of the clip."""
        return self.rgb.shape[0] / self.clip_size[1]


@dataclass(frozen=True)
class TrackResult:
    """The mask of one frame.

    Attributes:
        mask: Soft mask (h, w) float32 in [0, 1] at `TrackerFrame.mask_size`, above 0.5 inside the object; `KEPT_OUT`
            where a negative point keeps it out, so that no hole is filled there.
        confidence: Expected intersection over union with the true mask, 0 to 1.
        remark: One of the remarks above, or empty.
    """

    mask: Array
    confidence: float
    remark: str = ""


class TrackerState:
    """What a tracker remembers after a frame, as named arrays: a job can store it and go on later.

    A tracker may return a subclass that keeps its own types; it must also accept a plain `TrackerState` made from the
    subclass's `arrays`.
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays

    @property
    def arrays(self) -> dict[str, Array]:
        """All of the state, by name."""
        return self._arrays


class Tracker(Protocol):
    """Segments an object on a prompted frame and propagates its mask, one frame at a time.

    Attributes:
        name: Name of the tracker, for reports.
        input_size: (width, height) of the pictures that the tracker wants. None: the size of the masks, with foreground
            evidence.
    """

    name: str
    input_size: tuple[int, int] | None

    def begin(self, frame: TrackerFrame, prompts: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """Segment the object on a prompted frame.

        Args:
            frame: The frame.
            prompts: Prompts for it, at least one point or box.

        Returns:
            The state after the frame, and the frame's mask.
        """

    def correct(
        self, frame: TrackerFrame, state: TrackerState, prompts: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask to the next frame and correct it there.

        Args:
            frame: The next frame in the direction of travel.
            state: State after the frame before.
            prompts: Prompts for `frame`.

        Returns:
            The state after the frame, and the frame's mask.
        """

    def adopt(self, frame: TrackerFrame, state: TrackerState | None, mask: Array) -> TrackerState:
        """Learn the object from its mask, which the user gave.

        Args:
            frame: The next frame in the direction of travel.
            state: State after the frame before; None if the mask is the first prompt.
            mask: Mask (h, w) float32 in [0, 1] of the frame, at its `mask_size`, above 0.5 inside the object.

        Returns:
            The state after the frame.
        """

    def propagate(self, frame: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """Propagate the mask to the next frame in the direction of travel.

        Args:
            frame: The next frame.
            state: State after the frame before.

        Returns:
            The state after the frame, and the frame's mask.
        """
