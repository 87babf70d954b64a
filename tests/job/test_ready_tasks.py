"""Which tasks can be begun, while others are done."""

import random

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.job.ready_tasks import ReadyTasks
from vremove_cli.job.task_graph import Task

SPAN = FrameRange(0, 1)
DIAMOND = [Task("a", "track", SPAN), Task("b", "plate", SPAN, ("a",)), Task("c", "plate", SPAN, ("a",)),
           Task("d", "fill", SPAN, ("b", "c"))]  # fmt: skip


def test_a_task_is_ready_once_all_its_needs_are_done() -> None:
    ready = ReadyTasks(DIAMOND)
    assert [t.id for t in ready] == ["a"]
    assert [t.id for t in ready.mark_done(["a"])] == ["a"]
    assert [t.id for t in ready] == ["b", "c"]
    ready.mark_done(["a", "c", "of another job"])
    assert [t.id for t in ready] == ["b"]
    assert [t.id for t in ready.mark_done(["a", "b", "c"])] == ["b"]
    assert [t.id for t in ready] == ["d"]
    assert (len(ready), [t.id for t in ready.left]) == (1, ["d"])


def test_what_was_done_before_or_is_not_wanted_is_not_ready() -> None:
    assert [t.id for t in ReadyTasks(DIAMOND, ["a", "b"])] == ["c"]
    wanted = ReadyTasks(DIAMOND[3:], ["b"])
    assert not list(wanted)
    wanted.mark_done(["b", "c"])
    assert [t.id for t in wanted] == ["d"]
    assert [t.id for t in wanted.mark_done(["d"])] == ["d"]
    assert not list(wanted)


def test_ready_tasks_are_those_whose_needs_are_done_in_the_order_of_the_plan() -> None:
    rng = random.Random(0)
    tasks = [
        Task(str(k), "fill", SPAN, tuple({str(rng.randrange(k)) for _ in range(rng.randrange(4))}) if k else ())
        for k in range(200)
    ]
    ready, done = ReadyTasks(tasks), set[str]()
    while len(ready):
        expected = [t.id for t in tasks if t.id not in done and set(t.needs) <= done]
        assert [t.id for t in ready] == expected
        new = rng.sample(expected, min(3, len(expected)))
        done |= set(new)
        ready.mark_done(done)
    assert len(done) == 200
