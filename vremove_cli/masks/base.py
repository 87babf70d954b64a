"""What a tracker is: prompts on some frames in, a mask on every frame out."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from vremove_cli.geometry import Array


@dataclass(frozen=True)
class Clicks:
    """Prompts of one object on one frame, in stored pixels: points (x, y), negative points, boxes (x0, y0, x1, y1)."""

    points: tuple[tuple[float, float], ...] = ()
    negative: tuple[tuple[float, float], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    def scaled(self, scale: float) -> "Clicks":
        def all_of(rows: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(tuple(v * scale for v in row) for row in rows)

        return Clicks(all_of(self.points), all_of(self.negative), all_of(self.boxes))


@dataclass(frozen=True)
class Tracked:
    """A mask (H, W) uint8, 0 or 255, and how sure the tracker is of it (0..1)."""

    mask: Array
    confidence: float
    remark: str = ""


@dataclass
class State:
    """All a tracker remembers between frames: named arrays, so that it can be stored and work can go on elsewhere."""

    arrays: dict[str, Array] = field(default_factory=dict)


class Tracker(Protocol):
    """Segments an object on a prompted frame and carries it to the neighbours, one frame at a time."""

    name: str

    def begin(self, rgb: Array, clicks: Clicks) -> tuple[State, Tracked]:
        """The mask on a prompted frame (H, W, 3) uint8; a later prompt begins anew from its frame on."""

    def step(self, rgb: Array, state: State) -> tuple[State, Tracked]:
        """The mask on the next frame in the direction of travel."""
