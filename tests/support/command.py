"""Types of the fixtures in `conftest.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Install = Callable[[Any], None]
"""Makes a remover known under its spec's name until the test ends."""


@dataclass(frozen=True)
class Outcome:
    """Exit status and what a command printed."""

    status: int
    stdout: str
    stderr: str


class Vremove(Protocol):
    """Runs the real command in this process: `vremove("erase", "clip.mp4", ...)`."""

    def __call__(self, *arguments: object) -> Outcome: ...
