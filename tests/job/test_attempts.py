"""Fills that are made more than once: which is kept, when it ends, and what is refused."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from support.clips import empty_scene, write_clip, write_masks
from vremove_cli import erase
from vremove_cli.errors import UsageError
from vremove_cli.job.attempts import best_attempt, measured_score
from vremove_cli.job.request import Request, request_from
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common.temporal_windows import chained_stages


class Lottery:
    """Fills a hole with the gray that the seed draws."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("lottery", "Apache-2.0", "crop")
    drawn: ClassVar[list[float]] = []

    def __init__(self, settings: Settings) -> None:
        self._seed = settings.seed

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return chained_stages(self.spec.name, shot.spans, shot.shots)

    def size(self, width: int, height: int) -> None:
        """As it is."""

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        level = float(np.random.default_rng(self._seed).random())
        self.drawn.append(level)
        return Fill(np.full_like(shot.frames, level))


class StillLottery(Lottery):
    """The same for keyframes."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("still-lottery", "Apache-2.0", "square", paints=True)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    Lottery.drawn.clear()
    undo = [registry.register(kind.spec.name, kind) for kind in (Lottery, StillLottery)]
    yield
    for one in undo:
        one()


@pytest.fixture
def clip(tmp_path: Path) -> tuple[str, str]:
    """A clip and its masks."""
    return str(write_clip(tmp_path / "clip.mkv", codec="ffv1")), str(write_masks(tmp_path / "masks"))


def asked(**options: object) -> Request:
    return request_from("in.mkv", "out.mkv", dict(options))


def test_the_best_of_all_candidates_is_kept() -> None:
    scores = iter([0.2, 0.9, 0.4, 0.1])
    seeds: list[int] = []

    def make(settings: Settings) -> int:
        seeds.append(settings.seed)
        return len(seeds) - 1

    best, attempts = best_attempt(asked(candidates=4), Settings(seed=6), 12, make, lambda _: next(scores))
    assert best == 1
    assert attempts is not None
    assert (attempts.frame, attempts.scores, attempts.kept) == (12, (0.2, 0.9, 0.4, 0.1), 1)
    assert seeds[0] == 6
    assert len(set(seeds)) == 4


def test_there_are_no_more_after_one_that_is_good_enough() -> None:
    scores = iter([0.2, 0.6, 0.9])
    _, attempts = best_attempt(asked(retry=5, min_score=0.5), Settings(), 0, lambda s: s, lambda _: next(scores))
    assert attempts is not None
    assert attempts.scores == (0.2, 0.6)


def test_nothing_is_scored_unless_it_is_asked_for() -> None:
    def never(_: Settings) -> float:
        raise AssertionError

    made, attempts = best_attempt(asked(), Settings(seed=3), 0, lambda s: s, never)
    assert (made.seed, attempts) == (3, None)


def test_a_clean_picture_has_a_better_score_than_the_object() -> None:
    empty = empty_scene(0, 96, 64)
    source, mask = empty.copy(), np.zeros((64, 96), bool)
    mask[20:40, 30:55] = True
    source[mask] = (230, 30, 40)
    flat = np.where(mask[..., None], np.uint8(128), empty)
    assert measured_score(source, empty, mask) > measured_score(source, flat, mask) > 0
    assert measured_score(source, source, mask) < 0.1


@pytest.mark.parametrize("remover", ["lottery", "still-lottery"])
def test_the_fill_with_the_best_score_is_in_the_result(clip: tuple[str, str], tmp_path: Path, remover: str) -> None:
    found = erase(
        clip[0], mask=clip[1], output=str(tmp_path / "o.mkv"), remover=remover, recover=False, effects="off", retry=3,
        min_score=1.0,
    )  # fmt: skip
    assert len(Lottery.drawn) == 4 * len(found.attempts)
    for attempt in found.attempts:
        assert len(attempt.scores) == 4
        assert attempt.scores[attempt.kept] == max(attempt.scores)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retry": 2}, "needs a score to reach"),
        ({"min_score": 0.5}, "alone changes nothing"),
        ({"candidates": 2}, "plate paints no candidates"),
        ({"candidates": 2, "remover": "lottery"}, "lottery paints no candidates"),
        ({"retry": 2, "min_score": 0.5, "remover": "plate"}, "the same fill each time"),
        ({"candidates": 0}, "--candidates"),
        ({"min_score": 1.5, "retry": 1}, "--min-score"),
    ],
)
def test_what_makes_no_sense_is_refused(clip: tuple[str, str], options: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        erase(clip[0], mask=clip[1], **options)  # type: ignore[arg-type]
