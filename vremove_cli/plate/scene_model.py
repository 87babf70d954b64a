"""What is known of a shot when its holes are filled: the camera, the exposure, and where frames show no background."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vremove_cli.frame_ranges import FrameRange, spread_evenly
from vremove_cli.geometry import Array, Box
from vremove_cli.media.clip import ClipInfo
from vremove_cli.motion.mosaic import Canvas
from vremove_cli.motion.registration import Registration
from vremove_cli.plate.object_frame import covered_part

SOURCES = 20  # frames that a hole is looked for in
FREE, NEAR, HIDDEN = 0, 1, 2  # what a frame shows: background, the object's surroundings, the object or a mover
# What this model tells of a hole: its background; what may be, as a vote on what the flow finds; nothing.
TOLD, DOUBTFUL, BESIDE = 0, 1, 2
_NEAR_OFFSETS = (1, 2, 3, 5, 8, 12, 17, 23, 30, 40)  # frames


@dataclass(frozen=True)
class SceneModel:
    """What is known of the frames that may show a range's background.

    Attributes:
        info: The clip.
        registration: The camera and the exposure, in full pixels; frames are counted from `reach.start`.
        reach: The frames.
        blocked: (T, h, w) uint8 at the size of the model: `FREE`, `NEAR` or `HIDDEN`.
        told: (T, h, w) uint8, what it tells of the holes: `TOLD`, `DOUBTFUL` or `BESIDE`.
    """

    info: ClipInfo
    registration: Registration
    reach: FrameRange
    blocked: Array
    told: Array

    def homography(self, t: int, s: int) -> Array:
        """Return the homography (3, 3) from full pixels of frame t to those of frame s."""
        start = self.reach.start
        return self.registration.between(t - start, s - start, (self.info.width, self.info.height))

    def gain(self, t: int, s: int) -> float:
        """Return the factor that gives frame s the brightness of frame t."""
        gains = self.registration.gains
        return float(gains[t - self.reach.start] / gains[s - self.reach.start])

    def blocked_at(self, s: int, pose: Array, size: tuple[int, int]) -> Array:
        """Return what frame s shows on a grid of (width, height); beyond the frame `HIDDEN`.

        Args:
            s: The frame.
            pose: (3, 3), from the grid's samples to full pixels of the frame.
            size: (width, height) of the grid.

        Returns:
            (height, width) uint8.
        """
        blocked = self.blocked[s - self.reach.start]
        x, y = blocked.shape[1] / self.info.width, blocked.shape[0] / self.info.height
        shrink = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpPerspective(
                blocked, shrink @ pose, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=HIDDEN
            )
        )

    def told_on(self, t: int, box: Box) -> Array:
        """Return what this model tells of a frame's hole, (h, w) uint8 on a box of full pixels."""
        return self._on(self.told[t - self.reach.start], box)

    def hidden_on(self, t: int, box: Box) -> Array:
        """Return where a frame shows the object, its effects or a mover, (h, w) bool on a box of full pixels."""
        return self._on(self.blocked[t - self.reach.start] == HIDDEN, box)

    def shown_on(self, t: int, box: Box) -> Array:
        """Return which background of frame t other frames show by the camera's motion, (h, w) bool on a box."""
        size = (box.width, box.height)
        corner = np.array([[1, 0, box.x0], [0, 1, box.y0], [0, 0, 1]], np.float64)
        out = np.zeros(size[::-1], bool)
        for s in self.sources(t):
            out |= self.blocked_at(s, self.homography(t, s) @ corner, size) < HIDDEN
        return out

    def without_covered(self, masks: Array) -> "SceneModel":
        """Return this model without what frames show in front of the object: see `covered_part`.

        Args:
            masks: The object (T, h, w) bool at the size of the model.
        """
        height, width = masks.shape[1:]
        registration = self.registration.scaled(width / self.info.width)
        covered = covered_part(masks, Canvas.around(registration.homographies, (width, height)))
        return replace(self, blocked=np.where(covered, np.uint8(HIDDEN), self.blocked))

    def _on(self, small: Array, box: Box) -> Array:
        """A picture (h, w) of the model's size on a box of full pixels, of its dtype."""
        height, width = small.shape
        columns = (np.arange(box.x0, box.x1) * width) // self.info.width
        rows = (np.arange(box.y0, box.y1) * height) // self.info.height
        return np.asarray(small[np.ix_(rows, columns)])

    def sources(self, t: int) -> list[int]:
        """Return the frames in which a hole of frame t is looked for: near ones, and others spread over the reach."""
        low, high = self.reach
        near = [s for offset in _NEAR_OFFSETS for s in (t - offset, t + offset)]
        spread = spread_evenly(low, high, SOURCES)
        chosen = dict.fromkeys(s for s in (*near[: SOURCES // 2], *spread, *near) if low <= s < high and s != t)
        return sorted(list(chosen)[:SOURCES])
