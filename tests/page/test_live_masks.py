"""The mask of one frame: that of the job, at once, and what a click would change."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.clips import mask_of, square, write_clip
from vremove_cli import mask as run_mask
from vremove_cli.arrays import iou
from vremove_cli.errors import UsageError
from vremove_cli.job.request import request_from
from vremove_cli.media.read import open_clip
from vremove_cli.page.pick import Pick, least_certain, open_pick

SIZE, FRAMES = (320, 240), 30


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", size=SIZE, frames=FRAMES)


def pick_of(clip: Path, **options: str) -> Pick:
    return open_pick(str(clip), None, request_from(str(clip), "", options), ())


def middle(t: int) -> tuple[float, float]:
    x0, y0, x1, y1 = square(t, *SIZE)
    return (x0 + x1) / 2, (y0 + y1) / 2


def point(t: int) -> str:
    x, y = middle(t)
    return f"{x},{y}"


def full(mask: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(mask, SIZE) > 127)


def test_it_is_the_mask_of_the_job(clip: Path, tmp_path: Path) -> None:
    shown = pick_of(clip, point=point(0)).mask(0, "")
    assert shown is not None
    run_mask(str(clip), str(tmp_path / "m.mkv"), point=point(0), end=1)
    (stored,) = open_clip(str(tmp_path / "m.mkv")).frames(0, 1)
    assert iou(full(shown.mask), stored.rgb8()[..., 0] > 127) > 0.97


def test_a_point_that_is_not_clicked_yet_shows_what_it_would_give(clip: Path) -> None:
    pick = pick_of(clip)
    assert pick.mask(3, "") is None
    shown = pick.mask(3, "", point(3))
    assert shown is not None
    assert iou(full(shown.mask), mask_of(3, *SIZE) > 0) > 0.8
    assert pick.session.now.clicks == ()


def test_a_wrong_point_is_refused(clip: Path) -> None:
    with pytest.raises(UsageError, match="is not a point"):
        pick_of(clip).mask(3, "", "here")


def test_a_painted_mask_is_shown_as_it_is(clip: Path) -> None:
    pick = pick_of(clip, point=point(0))
    painted = np.zeros(SIZE[::-1], np.uint8)
    painted[20:50, 30:90] = 255
    pick.paint("", 7, bytes(cv2.imencode(".png", painted)[1]))
    shown = pick.mask(7, "")
    assert shown is not None
    assert np.array_equal(shown.mask > 127, painted > 0)
    with pytest.raises(UsageError, match="another size"):
        pick.paint("", 7, bytes(cv2.imencode(".png", painted[:-1])[1]))


def test_paintings_that_are_undone_are_not_lost(clip: Path) -> None:
    pick = pick_of(clip, point=point(0))
    for level in (60, 120):
        painted = np.zeros(SIZE[::-1], np.uint8)
        painted[:, :level] = 255
        pick.paint("", 7, bytes(cv2.imencode(".png", painted)[1]))
    pick.session.undo()
    shown = pick.mask(7, "")
    assert shown is not None
    assert np.count_nonzero(shown.mask > 127) == 60 * SIZE[1]


def test_the_least_certain_frames_are_not_neighbours() -> None:
    doubtful = {t: 0.1 if 10 <= t < 30 else 0.9 for t in range(100)} | {70: 0.2}
    found = least_certain(doubtful)
    assert {10, 15, 20, 25, 70} <= set(found)
    assert min(b - a for a, b in pairwise(found)) >= 5
