"""How far a whole job is, and how long it will still take: from measured speeds at first, then from its own."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vremove_cli.job.speeds import measured

_PRIOR = 2.0  # seconds of work at the measured speeds that count beside the job's own: they steady the first lines
_STEADY = 0.2  # seconds of a stage before its own speed is told

Line = dict[str, str | int | float | None]


class JobProgress:
    """The progress of one job.

    Its stages are weighted by the seconds that they are expected to take. The time left is what is expected of the work
    that is left, times how much slower this job has been than expected.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = self._last = clock()
        self._expected: dict[str, float | None] = {}
        self._planned = False
        self._start: dict[str, float] = {}  # frames of a stage that an earlier run had done
        self._share: dict[str, float] = {}  # of a stage's frames that this run does
        self._spent: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._began

    def expect(self, seconds: Mapping[str, float | None]) -> None:
        """Take the seconds that the stages to come are expected to take; None where nothing was measured."""
        self._planned = True
        self._expected = {"scan": self._spent.get("scan", 0.0), **seconds}
        self._share["scan"] = 1.0

    def update(self, stage: str, done: int, total: int) -> Line:
        """Take the progress of a stage; return what is known now, as a line of JSON says it."""
        now = self._clock()
        self._spent[stage] = self._spent.get(stage, 0.0) + now - self._last
        self._last = now
        start = self._start.setdefault(stage, max(0, done - 1))
        if done < start or done == 0:  # it begins anew: another model is fetched
            start = self._start[stage] = done
            self._spent[stage] = 0.0
        self._share[stage] = (done - start) / (total - start) if total > start else 0.0
        if not self._planned and stage == "scan" and total:
            self._expected = {name: total / speed for name, speed in measured().frames_per_second.items()}
        spent = self._spent[stage]
        rate = round((done - start) / spent, 2) if spent >= _STEADY else None
        line: Line = {"stage": stage, "done": done, "total": total}
        line["bytes_per_second" if stage == "fetch" else "fps"] = rate
        percent, eta = self.percent, self.eta
        line["percent"] = None if percent is None else round(percent, 1)
        line["eta"] = None if eta is None else round(eta, 1)
        line["elapsed"] = round(self.elapsed, 1)
        return line

    @property
    def percent(self) -> float | None:
        """Share of the whole job that is done, 0 to 100; None while nothing is known of it."""
        known = [seconds for seconds in self._expected.values() if seconds is not None]
        if not self._expected:
            return None
        weights = {s: sum(known) if e is None else e for s, e in self._expected.items()}  # unknown: half of the job
        total = sum(weights.values())
        return 100 * sum(w * self._share.get(s, 0.0) for s, w in weights.items()) / total if total else None

    @property
    def eta(self) -> float | None:
        """Seconds that are left; None where a stage's speed was neither measured before nor seen yet."""
        if not self._expected and "fetch" not in self._share:
            return None
        known = {s: e for s, e in self._expected.items() if e is not None}
        worked = sum(e * self._share.get(s, 0.0) for s, e in known.items())
        spent = sum(self._spent.get(s, 0.0) for s in known)
        left = sum(known.values()) - worked
        total = left * (spent + _PRIOR) / (worked + _PRIOR)
        for stage in (*(s for s, e in self._expected.items() if e is None), "fetch"):
            share, own = self._share.get(stage, 0.0), self._spent.get(stage, 0.0)
            if stage == "fetch" and stage not in self._share:
                continue
            if share <= 0 or own < _STEADY:
                return None
            total += own * (1 - share) / share
        return total


@dataclass
class Told:
    """The progress of a job in another process, as its lines tell it."""

    percent: float | None = None
    eta: float | None = None


class CommandProgress:
    """The progress of all jobs of one command.

    Attributes:
        total: Number of jobs.
        at_once: How many of them run at the same time.
    """

    def __init__(self, total: int = 1, at_once: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.at_once, self._clock = total, at_once, clock
        self._running: dict[str, tuple[JobProgress | Told, float]] = {}
        self._places: dict[str, int] = {}
        self._took: list[float] = []

    def begin(self, name: str, *, elsewhere: bool = False) -> JobProgress | Told:
        """Begin a job, here or in another process."""
        job = Told() if elsewhere else JobProgress(self._clock)
        self._running[name] = job, self._clock()
        self._places[name] = len(self._places) + 1
        return job

    def end(self, name: str) -> None:
        """End a job, done or failed."""
        _, began = self._running.pop(name)
        self._took.append(self._clock() - began)

    def place(self, name: str) -> int:
        """Return which of the jobs this is, counted from 1 as they began."""
        return self._places[name]

    @property
    def percent(self) -> float | None:
        """Share of all jobs that is done, 0 to 100; None while nothing is known of it."""
        shares = [job.percent for job, _ in self._running.values()]
        if self.total == 1 and shares:
            return shares[0]
        return (100 * len(self._took) + sum(s or 0.0 for s in shares)) / self.total

    @property
    def eta(self) -> float | None:
        """Seconds that are left; None while a running job's are not known."""
        left = [job.eta for job, _ in self._running.values()]
        known = [seconds for seconds in left if seconds is not None]
        if len(known) < len(left):
            return None
        now = self._clock()
        whole = [*self._took, *(now - began + s for (_, began), s in zip(self._running.values(), known, strict=True))]
        waiting = self.total - len(whole)
        if not whole:
            return None
        to_come = sum(known) + waiting * sum(whole) / len(whole)
        return to_come / max(1, min(self.at_once, len(known) + waiting))
