"""How many threads a job may use: `--threads`, or every core that the process may run on.

The number is one for the process, and changes how long a job takes, never what a stage computes. Work is shared out by
`pool()`. OpenCV's own threads would multiply with those of a pool, so it gets one while a pool is open, and all of them
otherwise.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_END = object()

_lock = Lock()
_asked: list[int | None] = [None]  # the users' numbers of the jobs that run, the last of which counts
_pools: list[int] = []  # for each open pool, the threads of OpenCV before it


def available() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count() -> int:
    """Return the number of threads that a job may use."""
    return _asked[-1] or available()


@contextmanager
def limited(number: int | None) -> Iterator[None]:
    """Let jobs use so many threads while the block lasts; None for every core."""
    import cv2

    of_opencv = cv2.getNumThreads()
    _asked.append(number)
    cv2.setNumThreads(count())
    try:
        yield
    finally:
        _asked.pop()
        cv2.setNumThreads(of_opencv)


def limit_torch() -> None:
    """Let networks on a CPU use so many threads; torch's own number stays unless the user asked for one."""
    import torch

    if _asked[-1]:
        torch.set_num_threads(_asked[-1])


@contextmanager
def pool() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of `count()` threads; OpenCV runs in one thread while any pool is open."""
    import cv2

    with _lock:
        _pools.append(cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(count()) as made:
            yield made
    finally:
        with _lock:
            before = _pools.pop()  # the first that opened is the last here, whatever the order of closing
            if not _pools:
                cv2.setNumThreads(before)


def each(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Call a function for each item in a pool, and yield the results in order."""
    with pool() as made:
        yield from made.map(function, items)


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items in order while a thread makes the next one; without a thread if a job may use but one."""
    if count() < 2:
        yield from items
        return
    source = iter(items)
    with ThreadPoolExecutor(1) as made:
        following: Future[Any] = made.submit(next, source, _END)
        while (item := following.result()) is not _END:
            following = made.submit(next, source, _END)
            yield item
