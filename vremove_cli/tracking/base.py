"""What a tracker is: prompts on some frames in, a mask on every frame out."""

from dataclasses import dataclass
from typing import Any, Protocol

from vremove_cli.geometry import Array
from vremove_cli.tracking.flow.background_model import ForegroundEvidence

WORK_SIZE = 360  # pixels of the shorter side that trackers see

# Remarks on a frame's mask, for the summary and the preview.
NO_OBJECT, DOUBTFUL = "nothing stands out at the prompt", "the first mask is doubtful"
ABSENT, FOUND_AGAIN = "not found", "found again"


@dataclass(frozen=True)
class ObjectPrompts:
    """Prompts of one object on one frame, in stored pixels: points (x, y), negative points, boxes (x0, y0, x1, y1)."""

    points: tuple[tuple[float, float], ...] = ()
    negative: tuple[tuple[float, float], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    def scaled(self, scale: float) -> "ObjectPrompts":
        def all_of(rows: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(tuple(v * scale for v in row) for row in rows)

        return ObjectPrompts(all_of(self.points), all_of(self.negative), all_of(self.boxes))


@dataclass(frozen=True)
class TrackerFrame:
    """A frame as a tracker sees it: its number, `rgb` (h, w, 3) uint8 at the size the tracker wants, the clip's own
    (width, height), the one that masks are kept at, and what stands out from the background, at any size."""

    frame: int
    rgb: Array
    size: tuple[int, int]
    kept: tuple[int, int]
    standout: ForegroundEvidence

    @property
    def scale(self) -> float:
        """Pixels of `rgb` in a pixel of the clip."""
        return self.rgb.shape[0] / self.size[1]


@dataclass(frozen=True)
class TrackResult:
    """A soft mask (h, w) float32 at the size that masks are kept at, above 0.5 inside, and its expected overlap (IoU)
    with the truth (0..1)."""

    mask: Array
    confidence: float
    remark: str = ""


class TrackerState:
    """All a tracker remembers between frames: named arrays, so that it can be stored and work can go on elsewhere."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays

    @property
    def arrays(self) -> dict[str, Array]:
        return self._arrays


class Tracker(Protocol):
    """Segments an object on a prompted frame and carries it to the neighbours, one frame at a time.

    `sees` is the (width, height) of the pictures it wants; None: the size that masks are kept at, with the evidence of
    what stands out.
    """

    name: str
    sees: tuple[int, int] | None

    def begin(self, sight: TrackerFrame, clicks: ObjectPrompts) -> tuple[TrackerState, TrackResult]:
        """The mask on a prompted frame."""

    def correct(
        self, sight: TrackerFrame, state: TrackerState, clicks: ObjectPrompts
    ) -> tuple[TrackerState, TrackResult]:
        """The mask on the next frame, as clicks put it right."""

    def step(self, sight: TrackerFrame, state: TrackerState) -> tuple[TrackerState, TrackResult]:
        """The mask on the next frame in the direction of travel."""
