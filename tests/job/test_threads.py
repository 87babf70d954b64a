"""`--threads`: how many threads a job uses, and that its result does not depend on them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import get_ident

import cv2
import numpy as np
import pytest

import vremove_cli
from support.clips import planes_of, write_clip, write_masks
from support.command import Vremove
from vremove_cli import threads
from vremove_cli.job.plan import Plan


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mkv", codec="ffv1")


def test_a_job_uses_every_core_that_the_process_may_run_on() -> None:
    assert threads.available() >= 1
    assert threads.count() == threads.available()


def test_a_limit_holds_for_pools_and_opencv_and_ends_with_its_block() -> None:
    before = cv2.getNumThreads()
    with threads.limited(3):
        assert threads.count() == 3
        assert cv2.getNumThreads() == 3
        with threads.pool() as first, threads.pool():
            assert isinstance(first, ThreadPoolExecutor)
            assert first._max_workers == 3
            assert cv2.getNumThreads() == 1, "threads of OpenCV would multiply with those of the pool"
        assert cv2.getNumThreads() == 3
    assert threads.count() == threads.available()
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize("number", [1, 2])
def test_items_made_ahead_come_in_order_and_their_error_comes_through(number: int) -> None:
    makers = set()

    def items() -> Iterator[int]:
        for n in range(4):
            makers.add(get_ident())
            yield n
        raise ValueError("the fifth")

    got: list[int] = []
    with threads.limited(number), pytest.raises(ValueError, match="the fifth"):
        got.extend(threads.ahead(items()))
    assert got == [0, 1, 2, 3]
    assert (makers == {get_ident()}) == (number == 1)


def test_the_threads_do_not_change_the_file(clip: Path, tmp_path: Path) -> None:
    made = [tmp_path / f"{n}.mkv" for n in (1, 2)]
    for n, output in enumerate(made, 1):
        vremove_cli.erase(clip, output, point="12,32", threads=n)
    one, two = (planes_of(path) for path in made)
    assert all(np.array_equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))


def test_other_threads_keep_every_result(clip: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "masks")
    vremove_cli.erase(clip, tmp_path / "a.mkv", mask=masks, threads=1, work=tmp_path / "a.mkv.vremove", keep_work=True)
    again = vremove_cli.erase(clip, tmp_path / "a.mkv", mask=masks, threads=2, keep_work=True, overwrite=True)
    assert not again.done
    assert again.reused


def test_the_encoder_gets_the_threads(clip: Path, tmp_path: Path) -> None:
    made, folder = vremove_cli.plan(clip, tmp_path / "out.mp4", mask=write_masks(tmp_path / "masks"), threads=1)
    assert made.encode.threads == 1
    assert Plan.load(folder / "plan.json").request.threads == 1


def test_work_and_finish_may_use_other_threads_than_planned(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    masks, job = write_masks(tmp_path / "masks"), tmp_path / "job"
    assert vremove("plan", clip, "--mask", masks, "--work", job, "--threads", 2).status == 0
    assert vremove("work", job, "--threads", 1).status == 0
    assert vremove("finish", job, "--threads", 1).status == 0


def test_a_number_of_threads_is_at_least_one(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    said = vremove("erase", clip, "--mask", write_masks(tmp_path / "masks"), "--threads", 0)
    assert said.status == 2
    assert "--threads 0 is out of range: give a whole number of at least 1" in said.stderr
