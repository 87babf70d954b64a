"""Where the time of a remover goes: seconds by phase, such as load, encode, steps, decode."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from vremove_cli.networks import devices


class PhaseClock:
    """Seconds by phase, of one thread. A phase inside of another one stops the outer one's clock."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def phase(self, name: str, device: str = "cpu") -> Iterator[None]:
        """Count the time of the block.

        Args:
            name: The phase.
            device: Device whose work the block starts: it is waited for at the end of the block.
        """
        self._turn()
        self._running.append(name)
        try:
            yield
            devices.wait_for(device)
        finally:
            self._turn()
            self._running.pop()

    def step(self, n: int, steps: int, device: str) -> AbstractContextManager[None]:
        """Count the time of a denoising step; that of the first one, in which kernels are chosen, as warm-up.

        Args:
            n: Number of the step, from 0.
            steps: Number of steps.
            device: Device that it runs on: it is waited for after the first and the last step.
        """
        return self.phase("steps" if n else "warm-up", device if n in (0, steps - 1) else "cpu")

    def take(self) -> dict[str, float]:
        """Return the seconds by phase, and begin again at 0."""
        taken, self._seconds = self._seconds, {}
        return taken

    def _turn(self) -> None:
        """Give the time since the last turn to the innermost phase."""
        now = time.perf_counter()
        if self._running:
            self._seconds[self._running[-1]] = self._seconds.get(self._running[-1], 0.0) + now - self._since
        self._since = now


clock = PhaseClock()  # of this process
