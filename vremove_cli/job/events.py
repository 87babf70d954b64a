"""What a job reports while it works. A callback that takes any of these events is all that a caller needs."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Note:
    """Something the user should know: what was chosen and why, or what falls short.

    Attributes:
        text: One sentence.
    """

    text: str


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: `scan`, `track`, `effects`, `plate`, `fill`, `write` or `fetch`.
        done: Frames done (bytes for fetch).
        total: All frames (bytes for fetch); 0 if unknown.
    """

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class TaskDone:
    """A task has ended.

    Attributes:
        id: The task's id in the plan.
        reused: Whether an earlier run had done it.
    """

    id: str
    reused: bool = False


Event = Note | Progress | TaskDone
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """Ignore an event."""
