"""The mask of one frame: that of the job, at once, and what a click would change."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.clips import mask_of, square, write_clip, write_sequence
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


def picture_file(folder: Path) -> Path:
    (path, *_) = sorted(write_sequence(folder, size=SIZE, frames=1).iterdir())
    return path


INPUTS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda d: write_sequence(d / "shot", size=SIZE),
    "pattern": lambda d: write_sequence(d / "shot", size=SIZE) / "shot.%04d.png",
    "picture": lambda d: picture_file(d / "one"),
    "rotated": lambda d: write_clip(d / "a.mov", size=SIZE, rotation=90),
    "ten bits": lambda d: write_clip(d / "a.mov", size=SIZE, codec="prores_ks", pix_fmt="yuv422p10le"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_every_kind_of_input_is_followed_and_erased(tmp_path: Path, name: str) -> None:
    source = INPUTS[name](tmp_path)
    pick = pick_of(source)
    facts, info = pick.facts(), pick.clip.info
    x0, y0, x1, y1 = square(0, *SIZE)
    corners = (x0 - 2, y0 - 2, x1 + 2, y1 + 2)
    if info.orientation.transpose:  # the square's box as it is displayed
        shown = info.orientation.display(mask_of(0, *SIZE))
        rows, columns = np.nonzero(shown)
        corners = (columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)
    pick.click({"kind": "box", "object": "", "frame": 0, "at": [int(n) for n in corners]})
    assert pick.frames.rgb(0).shape == (facts["height"], facts["width"], 3)
    found = pick.mask(0, "")
    assert found is not None
    assert found.mask.shape == (facts["height"], facts["width"])
    for work in (pick.follow, lambda: pick.erase({"effects": "off"}, replace=False)):
        work()
        while pick.child.busy:
            time.sleep(0.05)
        assert pick.child.state is not None
        assert not pick.child.state.error, pick.child.state.error
    pick.state()
    assert pick.result().clip.info.frames == facts["frames"]
    assert {p.name for p in pick.session.path.parent.iterdir() if "%" in p.name} == set()


def test_the_least_certain_frames_are_not_neighbours() -> None:
    doubtful = {t: 0.1 if 10 <= t < 30 else 0.9 for t in range(100)} | {70: 0.2}
    found = least_certain(doubtful)
    assert {10, 15, 20, 25, 70} <= set(found)
    assert min(b - a for a, b in pairwise(found)) >= 5
