"""A farm that is simulated by discrete events: pieces of work with needs and seconds, on workers of two kinds.

Nothing here knows video. `tests/benchmarks/farm.py` makes the pieces from a plan's own task graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Literal

GPU, CPU, TRACK, NOBODY = "gpu", "cpu", "track", ""
Policy = Literal["pull", "static", "apart", "longest"]


@dataclass(frozen=True)
class Piece:
    """One piece of work.

    Attributes:
        kind: What it is, for the summary of a chain.
        needs: Indices of the pieces that must be done before; each is smaller than its own.
        seconds: How long it takes.
        where: Kind of worker that does it: `GPU`, `CPU`, or `NOBODY` for one that takes no time and no worker.
        weights: Name of the weights that the worker must hold; "" for none.
        busy: Seconds of them in which a GPU computes.
    """

    kind: str
    needs: tuple[int, ...] = ()
    seconds: float = 1.0
    where: str = GPU
    weights: str = ""
    busy: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave.

    Attributes:
        makespan: Seconds until the last piece was done.
        loads: How often a worker loaded weights.
    """

    makespan: float
    loads: int


def with_barriers(pieces: Sequence[Piece], phases: Sequence[Sequence[str]]) -> list[Piece]:
    """Return pieces of which no phase begins before all those of earlier phases are done.

    Args:
        pieces: Pieces in an order that can be done. Those of kinds in no phase belong to that of what they need.
        phases: The kinds of each phase, in order.
    """
    number_of = {kind: number for number, kinds in enumerate(phases) for kind in kinds}
    rank: list[int] = []
    for piece in pieces:
        rank.append(number_of.get(piece.kind, max((rank[n] for n in piece.needs), default=0)))
    order = sorted(range(len(pieces)), key=lambda k: rank[k])
    out: list[Piece] = []
    place: dict[int, int] = {}
    barrier: tuple[int, ...] = ()
    number = 0
    for old in order:
        piece = pieces[old]
        if rank[old] > number:
            number = rank[old]
            out.append(Piece("barrier", tuple(place.values()), 0.0, NOBODY))
            barrier = (len(out) - 1,)
        place[old] = len(out)
        out.append(replace(piece, needs=tuple(place[n] for n in piece.needs) + barrier))
    return out


def remaining(pieces: Sequence[Piece]) -> list[float]:
    """Return for each piece the seconds of the longest chain that begins with it."""
    after = [0.0] * len(pieces)
    for k in range(len(pieces) - 1, -1, -1):
        after[k] += pieces[k].seconds
        for need in pieces[k].needs:
            after[need] = max(after[need], after[k])
    return after


def longest_chain(pieces: Sequence[Piece]) -> list[Piece]:
    """Return the chain of pieces, each needing the one before, that takes longest: no farm is faster."""
    until: list[float] = []
    before: list[int] = []
    for piece in pieces:
        last = max(piece.needs, key=lambda n: until[n], default=-1)
        before.append(last)
        until.append(piece.seconds + (until[last] if last >= 0 else 0.0))
    chain: list[Piece] = []
    k = max(range(len(pieces)), key=lambda k: until[k], default=-1)
    while k >= 0:
        chain.append(pieces[k])
        k = before[k]
    return chain[::-1]


@dataclass
class _Queue:
    """Pieces that are ready for one kind of worker, or for one worker, and the workers that are free for them."""

    ready: list[tuple[float, int]] = field(default_factory=list)
    idle: list[int] = field(default_factory=list)


class _Farm:
    """See `simulate`."""

    def __init__(self, pieces: Sequence[Piece], workers: Mapping[str, int], policy: Policy) -> None:
        self._pieces = pieces
        self._priority = [-t for t in remaining(pieces)] if policy == "longest" else [0.0] * len(pieces)
        # Queues of the GPU's pieces are one for all workers, or one for each of them.
        self._queues: list[_Queue] = []
        self._of_worker: list[int] = []
        self._shared: dict[str, list[int]] = {}
        for where, count in workers.items():
            own = policy in ("static", "apart") and where == GPU
            first = len(self._queues)
            self._queues += [_Queue() for _ in range(count if own else 1)]
            self._shared[where] = list(range(first, len(self._queues)))
            for k in range(count):
                queue = first + (k if own else 0)
                self._queues[queue].idle.append(len(self._of_worker))
                self._of_worker.append(queue)
        self._queue_of = self._assigned()
        self._waits = [len(piece.needs) for piece in pieces]
        self._after: list[list[int]] = [[] for _ in pieces]
        for k, piece in enumerate(pieces):
            for need in piece.needs:
                self._after[need].append(k)

    def _assigned(self) -> list[int]:
        """Return the queue of each piece: one after the other, in the order of the plan."""
        given = dict.fromkeys(self._shared, 0)
        out = []
        for piece in self._pieces:
            if piece.where == NOBODY:
                out.append(-1)
                continue
            queues = self._shared[piece.where]
            out.append(queues[given[piece.where] % len(queues)])
            given[piece.where] += 1
        return out

    def run(self, loading: Mapping[str, float]) -> Outcome:
        pieces, queues = self._pieces, self._queues
        held = [""] * len(self._of_worker)
        events: list[tuple[float, int, int]] = []  # when a piece is done, the piece, its worker
        now, loads = 0.0, 0
        self._release([k for k, piece in enumerate(pieces) if not piece.needs])
        changed = set(range(len(queues)))
        while True:
            for queue in (queues[number] for number in changed):
                while queue.ready and queue.idle:
                    _, k = heappop(queue.ready)
                    worker, piece, load = queue.idle.pop(), pieces[k], 0.0
                    if piece.weights and held[worker] != piece.weights:
                        held[worker], load = piece.weights, loading.get(piece.weights, 0.0)
                        loads += 1
                    heappush(events, (now + load + piece.seconds, k, worker))
            if not events:
                return Outcome(now, loads)
            now, k, worker = heappop(events)
            queues[self._of_worker[worker]].idle.append(worker)
            changed = {self._of_worker[worker], *self._release(self._opened(k))}

    def _opened(self, done: int) -> list[int]:
        """Return the pieces that wait for nothing any more now that one is done."""
        for k in self._after[done]:
            self._waits[k] -= 1
        return [k for k in self._after[done] if not self._waits[k]]

    def _release(self, ready: list[int]) -> set[int]:
        """Queue pieces that are ready; return the queues that got one."""
        changed: set[int] = set()
        while ready:
            k = ready.pop()
            if self._pieces[k].where == NOBODY:
                ready += self._opened(k)
                continue
            heappush(self._queues[self._queue_of[k]].ready, (self._priority[k], k))
            changed.add(self._queue_of[k])
        return changed


def simulate(
    pieces: Sequence[Piece], workers: Mapping[str, int], policy: Policy, loading: Mapping[str, float] | None = None
) -> Outcome:
    """Return how long a farm takes.

    Args:
        pieces: Pieces in an order that can be done: the order of the plan.
        workers: Number of workers by kind.
        policy: `pull`: a free worker takes the first piece of the plan that is ready. `static`: the GPUs' pieces are
            dealt to them one after the other beforehand, and each does those of its own that are ready. `apart`: the
            same, but pieces of tracking have workers of their own on the GPUs (kind `TRACK`). `longest`: a free
            worker takes the ready piece that the longest chain hangs on.
        loading: Seconds that a worker takes to load weights, by their name; it holds those of one name at a time.
    """
    return _Farm(pieces, workers, policy).run(loading or {})
