"""One remover at a time on a GPU: two that measure its free memory together would both take it."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vremove_cli.networks import devices


@contextmanager
def only_user(device: str, wait: Callable[[], None]) -> Iterator[None]:
    """Keep removers of other processes off a GPU while the block lasts.

    Where the lock cannot be taken, such as for a file of another user, the block runs without it.

    Args:
        device: cuda, xpu, mps or cpu. A CPU is shared.
        wait: Waits for a moment; called until the GPU is free.
    """
    if device == "cpu":
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(Path(tempfile.gettempdir()) / f"vremove-{devices.identity(device)}.lock", mode=0o666)
    while not lock.is_locked:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            wait()
        except OSError:
            break
    try:
        yield
    finally:
        with suppress(OSError):
            lock.release()
