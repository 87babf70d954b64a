"""What a job tells while it works. A callback that takes any of these is all that a caller needs."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something the user should know: what was chosen and why, what falls short."""

    text: str


@dataclass(frozen=True)
class Progress:
    """`done` of `total` frames of a stage (scan, track, plate, fill, write), or bytes (fetch); total 0: unknown."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class TaskDone:
    """A task has ended; `reused` when an earlier run had done it."""

    id: str
    reused: bool = False


Event = Note | Progress | TaskDone
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""
