"""How much masks grow: tracked ones more than drawn ones, and a frame alike whatever range of frames is asked."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import vremove_cli
from support.clips import write_clip
from support.disc import drawn, red_disc
from vremove_cli.geometry import Array
from vremove_cli.job.erase_mask import grown_objects
from vremove_cli.job.plan import Plan
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.masks.io import write_masks
from vremove_cli.media.read import open_clip

FRAMES, SIZE = 12, (640, 360)


def planned(clip: Path, work: Path, **options: object) -> tuple[Plan, WorkFolder]:
    """A job whose masks are made."""
    plan, folder = vremove_cli.plan(clip, work=work, effects="off", **options)  # type: ignore[arg-type]
    for task in plan.tasks_of("mask", "track"):
        vremove_cli.work(folder, task=task.id)
    return plan, WorkFolder(folder)


def growing_disc(t: int) -> Array:
    """A disc that runs and comes nearer, (H, W) uint8."""
    return np.asarray(cv2.circle(np.zeros(SIZE[::-1], np.uint8), (60 + 40 * t, 180), 20 + 8 * t, 255, -1))


def written(folder: Path, name: str, *, tracked: bool) -> tuple[Path, Path]:
    """A clip, and masks of it as `vremove mask` writes them (or as they are drawn)."""
    clip = write_clip(folder / "clip.mkv", codec="ffv1", size=SIZE, frames=FRAMES)
    target = folder / name
    info = open_clip(str(clip)).info
    write_masks(str(target), map(growing_disc, range(FRAMES)), info, overwrite=False, tracked=tracked)
    return clip, target


@pytest.mark.parametrize("name", ["m.mkv", "masks"])
def test_a_tracked_mask_that_is_given_back_grows_more_than_a_drawn_one(tmp_path: Path, name: str) -> None:
    areas = []
    for tracked in (False, True):
        (tmp_path / str(tracked)).mkdir()
        clip, masks = written(tmp_path / str(tracked), name, tracked=tracked)
        plan, folder = planned(clip, tmp_path / str(tracked) / "w", mask=masks)
        assert plan.tracked == tracked
        areas.append(grown_objects(plan, folder, 5, 6)[5].area)
    assert areas[1] > areas[0]


def test_a_mask_given_back_grows_like_the_tracked_one_that_it_was(tmp_path: Path) -> None:
    clip = drawn(tmp_path, red_disc, frames=8)
    vremove_cli.mask(clip, tmp_path / "m.mkv", point="60,95")
    tracked = planned(clip, tmp_path / "a", point="60,95")
    given = planned(clip, tmp_path / "b", mask=tmp_path / "m.mkv")
    for t in range(8):
        one, other = (grown_objects(*job, t, t + 1)[t] for job in (tracked, given))
        assert one.box == other.box
        assert np.array_equal(one.values, other.values)


def test_a_mask_that_was_drawn_stays_drawn_when_it_is_written_again(tmp_path: Path) -> None:
    clip, masks = written(tmp_path, "m.mkv", tracked=False)
    vremove_cli.mask(clip, tmp_path / "again.mkv", mask=masks)
    plan, _ = planned(clip, tmp_path / "w", mask=tmp_path / "again.mkv")
    assert not plan.tracked


def test_a_frame_grows_alike_whatever_range_is_asked_for(tmp_path: Path) -> None:
    clip, masks = written(tmp_path, "m.mkv", tracked=True)
    job = planned(clip, tmp_path / "w", mask=masks)
    whole = grown_objects(*job, 0, FRAMES)
    for low, high in ((0, 3), (5, 6), (4, FRAMES)):
        for t, mask in grown_objects(*job, low, high).items():
            assert np.array_equal(mask.full(*SIZE), whole[t].full(*SIZE))
