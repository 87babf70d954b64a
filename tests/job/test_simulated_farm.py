"""A simulated farm: cases whose answers are known, and the planner's own task graph."""

import pytest

from support.farm_simulation import CPU, GPU, NOBODY, Piece, Policy, longest_chain, remaining, simulate, with_barriers
from support.farm_tasks import Costs, Footage, batch_of, pieces_of, tasks_of, with_regions
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings

POLICIES: list[Policy] = ["pull", "static", "longest"]
COSTS = Costs(0.01, lambda frames: 10.0, {"track": 1.0, "fill": 5.0})


@pytest.mark.parametrize("policy", POLICIES)
def test_a_chain_is_no_faster_on_many_workers(policy: Policy) -> None:
    chain = [Piece("track", (k - 1,) if k else (), 2.0) for k in range(10)]
    assert simulate(chain, {GPU: 8}, policy).makespan == 20
    assert len(longest_chain(chain)) == 10


@pytest.mark.parametrize("policy", POLICIES)
def test_independent_pieces_share_the_workers_evenly(policy: Policy) -> None:
    pieces = [Piece("fill", (), 3.0)] * 64
    assert [simulate(pieces, {GPU: n}, policy).makespan for n in (1, 8, 64, 512)] == [192, 24, 3, 3]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_sides_of_a_diamond_run_together(policy: Policy) -> None:
    diamond = [Piece("a", (), 1.0), Piece("b", (0,), 2.0), Piece("c", (0,), 5.0, CPU), Piece("d", (1, 2), 1.0)]
    assert simulate(diamond, {GPU: 1, CPU: 1}, policy).makespan == 7
    assert [p.kind for p in longest_chain(diamond)] == ["a", "c", "d"]
    assert remaining(diamond) == [7, 3, 6, 1]


def test_pieces_that_are_dealt_out_wait_for_their_own_worker() -> None:
    pieces = [Piece("long", (), 9.0), Piece("short"), Piece("chain", (1,)), Piece("chain", (2,))]
    assert simulate(pieces, {GPU: 2}, "pull").makespan == 9
    assert simulate(pieces, {GPU: 2}, "static").makespan == 11  # the first of the chain waits behind the long one


def test_the_longest_chain_comes_first_where_that_is_asked_for() -> None:
    pieces = [Piece("short"), Piece("long", (), 1.0), Piece("last", (1,), 4.0)]
    assert simulate(pieces, {GPU: 1}, "pull").makespan == 6
    pieces = [Piece("alone", (), 3.0), Piece("first"), Piece("last", (1,), 4.0, CPU)]
    assert simulate(pieces, {GPU: 1, CPU: 1}, "pull").makespan == 8
    assert simulate(pieces, {GPU: 1, CPU: 1}, "longest").makespan == 5


def test_nothing_begins_before_a_barrier() -> None:
    pieces = [Piece("track"), Piece("fill", (0,), 5.0), Piece("track", (), 5.0), Piece("fill", (2,))]
    assert simulate(pieces, {GPU: 2}, "pull").makespan == 6
    walled = with_barriers(pieces, [["track"], ["fill"]])
    assert [p.kind for p in walled] == ["track", "track", "barrier", "fill", "fill"]
    assert simulate(walled, {GPU: 2}, "pull").makespan == 10


def test_weights_are_loaded_when_the_last_piece_needed_others() -> None:
    pieces = [Piece(w, (), 1.0, GPU, w) for w in ("track", "fill", "fill", "track")]
    found = simulate(pieces, {GPU: 1}, "pull", {"track": 10.0, "fill": 100.0})
    assert (found.makespan, found.loads) == (124, 3)


def test_a_piece_of_nobody_takes_no_worker() -> None:
    pieces = [Piece("a"), Piece("b"), Piece("both", (0, 1), 0.0, NOBODY), Piece("c", (2,))]
    assert simulate(pieces, {GPU: 1}, "pull").makespan == 3


def test_tracking_is_one_chain_for_each_shot() -> None:
    remover = registry.make("minimax", Settings())
    for shot, expected in ((0, 17), (120, 2)):
        footage = Footage(1000, shot)
        pieces = pieces_of(footage, tasks_of(footage, remover, masked=False), remover, COSTS, ends=False)
        assert sum(p.kind == "track" for p in longest_chain(pieces)) == expected


def test_a_piece_for_the_region_changes_the_number_of_needs_alone() -> None:
    remover = registry.make("minimax", Settings())
    footage = Footage(3000)
    pieces = pieces_of(footage, tasks_of(footage, remover, masked=True), remover, COSTS, ends=True)
    fewer = with_regions(pieces)
    workers = {GPU: 4, CPU: 4}
    assert simulate(fewer, workers, "pull") == simulate(pieces, workers, "pull")
    assert sum(len(p.needs) for p in fewer) < sum(len(p.needs) for p in pieces) / 3


def test_equal_clips_on_many_workers_take_as_long_as_one() -> None:
    remover = registry.make("void", Settings())
    footage = Footage(81)
    one = pieces_of(footage, tasks_of(footage, remover, masked=False), remover, COSTS, ends=True)
    assert simulate(batch_of(one, 8), {GPU: 8, CPU: 8}, "pull").makespan == pytest.approx(
        simulate(one, {GPU: 1, CPU: 1}, "pull").makespan
    )
