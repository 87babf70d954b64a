"""What a machine that shares no folder gets for a task."""

import os
import time
from pathlib import Path

import pytest

from vremove_cli.farm.transfer import all_needs, copy_of, remove_forgotten


def test_all_needs_are_in_an_order_that_can_be_done() -> None:
    needs = {"a": (), "b": ("a",), "c": ("b", "a"), "d": ("c", "b"), "e": ()}
    assert all_needs(needs, "d") == ["a", "b", "c"]
    assert all_needs(needs, "a") == []


def test_a_long_chain_is_no_recursion() -> None:
    needs = {str(k): (str(k - 1),) if k else () for k in range(5000)}
    assert all_needs(needs, "4999") == [str(k) for k in range(4999)]


def test_copies_that_a_killed_client_left_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    copies = [copy_of(name, node) for name, node in (("vremove-1", "a"), ("vremove-2", "a"), ("vremove-3", "b"))]
    for copy, days in zip(copies, (2, 0, 2), strict=True):
        copy.mkdir(parents=True)
        lock = Path(f"{copy}.lock")
        lock.touch()
        os.utime(lock, times=(time.time() - days * 24 * 3600,) * 2)
    remove_forgotten()
    assert [copy.exists() for copy in copies] == [False, True, False]
    assert not copies[2].parent.exists()
