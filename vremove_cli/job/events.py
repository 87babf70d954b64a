"""What a job reports while it works. A callback that takes any of these events is all that a caller needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

_PATIENCE = 0.25  # seconds between looks at what another process is doing
_SILENCE = 5.0  # seconds of waiting after which it is said


@dataclass(frozen=True)
class Note:
    """Something the user should know: what was chosen and why, or what falls short.

    Attributes:
        text: One sentence.
        kind: What it is about: `plan` (what was decided), `first_mask`, `uncertain`, `found_again`, `not_found`,
            `guessed`, `effects` or `reference`.
        frames: Ranges of frames that it is true of, as (first, last); empty where it is about the whole job.
        object: Name of the object that it is about; empty for the unnamed one and for all.
    """

    text: str
    kind: str = "plan"
    frames: tuple[tuple[int, int], ...] = ()
    object: str = ""


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    Attributes:
        stage: `scan`, `track`, `background`, `plate`, `fill`, `write`, `fetch` or `score`.
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


@dataclass(frozen=True)
class Expected:
    """What the rest of a job is expected to take, once it is planned.

    Attributes:
        seconds: Seconds by stage, from speeds that were measured on another machine; None where nothing was measured.
    """

    seconds: dict[str, float | None]


Event = Note | Progress | TaskDone | Expected
Emit = Callable[[Event], None]


class Waiting:
    """Waits for another process, and says so once it takes long.

    Args:
        emit: Gets the note.
        what: What the other process does, after "another process".
    """

    def __init__(self, emit: Emit, what: str) -> None:
        self._emit, self._what, self._since, self._told = emit, what, time.monotonic(), False

    def wait(self) -> None:
        """Wait for a moment."""
        if not self._told and time.monotonic() - self._since > _SILENCE:
            self._told = True
            self._emit(Note(f"waiting: another process {self._what}"))
        time.sleep(_PATIENCE)


def silent(event: Event) -> None:
    """Ignore an event."""
