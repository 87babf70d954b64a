"""Signals that end a command which uses Ray.

A signal's handler runs between any two steps of the main thread, and ours raises. Inside Ray's compiled code that
becomes a `SystemError`, and Ray itself takes SIGTERM to end the process at once, without its tasks being cancelled. So
while a cluster is in use, a signal that comes inside Ray is only noted, and the next look at `ended` ends the command.
"""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # there is no SIGHUP on Windows
_AGAIN = 5.0  # seconds after a signal from which another one ends the command wherever it is


class Signals:
    """Takes signals over, and gives them back.

    Attributes:
        ended: Is set once a signal came; threads of the command look at it.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self._first = 0.0
        self._before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def note(self) -> None:
        """Remember which handlers there are now."""
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread can set them
        numbers = [int(getattr(signal, name)) for name in _NAMES if hasattr(signal, name)]
        handlers = {number: signal.getsignal(number) for number in numbers}
        self._before = {n: handler for n, handler in handlers.items() if callable(handler)}

    def take(self) -> None:
        """Handle the signals that had handlers when they were noted."""
        for number in self._before:
            signal.signal(number, self._handle)

    def give_back(self) -> None:
        """Set the handlers that were noted."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        self._first = self._first or now
        self.ended.set()
        if not _in_ray(frame) or now - self._first > _AGAIN:
            self._before[number](number, frame)


def _in_ray(frame: FrameType | None) -> bool:
    """Return whether a frame, or one that waits for it, is Ray's."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] == "ray":
            return True
        frame = frame.f_back
    return False
