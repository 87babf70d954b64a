"""Which tasks can be begun: kept up to date as others are done, without asking the folder of each need again."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from vremove_cli.job.task_graph import Task


class ReadyTasks:
    """The tasks of a plan that are left, and those of them whose needs are done.

    A worker that asked the folder of every need of every task at each look took 9 s for a look at a clip of 100,000
    frames without a cut: 3,300 windows wait for 556 plates each.

    Args:
        tasks: The tasks that are wanted, in the order of the plan.
        done: Ids of all tasks that are done, wanted or not.
    """

    def __init__(self, tasks: Iterable[Task], done: Iterable[str] = ()) -> None:
        self._done = set(done)
        self._left = {t.id: t for t in tasks if t.id not in self._done}
        self._place = {name: k for k, name in enumerate(self._left)}
        self._order = list(self._left)
        self._waits: dict[str, int] = {}
        self._after: dict[str, list[str]] = {}
        for task in self._left.values():
            needs = [n for n in task.needs if n not in self._done]
            self._waits[task.id] = len(needs)
            for need in needs:
                self._after.setdefault(need, []).append(task.id)
        self._ready = [self._place[name] for name, count in self._waits.items() if not count]

    def __iter__(self) -> Iterator[Task]:
        """Yield the tasks that can be begun, in the order of the plan; what becomes ready meanwhile comes next time."""
        return iter([self._left[self._order[k]] for k in self._ready])

    def __len__(self) -> int:
        """Return the number of tasks that are left, ready or not."""
        return len(self._left)

    @property
    def left(self) -> Iterable[Task]:
        """The tasks that are left, ready or not, in the order of the plan."""
        return self._left.values()

    def mark_done(self, names: Iterable[str]) -> list[Task]:
        """Count tasks as done, and return those of them that were left.

        Args:
            names: Ids; those that were counted before, and those of other tasks, change nothing twice.
        """
        new = set(names) - self._done
        self._done |= new
        for name in new:
            for after in self._after.pop(name, ()):
                self._waits[after] -= 1
                if not self._waits[after] and after in self._left:
                    insort(self._ready, self._place[after])
        gone = sorted(self._place[name] for name in new if name in self._left)
        return [self._remove(k) for k in gone]

    def _remove(self, place: int) -> Task:
        at = bisect_left(self._ready, place)
        if self._ready[at : at + 1] == [place]:
            del self._ready[at]
        return self._left.pop(self._order[place])
