"""Many sightings of a hidden pixel are fused: outliers lose, exposure is matched, nothing is resampled needlessly."""

from pathlib import Path

import numpy as np
import pytest

from support.clips import write_clip
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array, Box, Placed
from vremove_cli.media.read import Clip, open_clip
from vremove_cli.motion.registration import Registration
from vremove_cli.plate.sample_group import SampleGroup
from vremove_cli.plate.scene_model import FREE, HIDDEN, NEAR, SOURCES, SceneModel
from vremove_cli.plate.sightings import Fusion, Sightings

SIZE, COUNT = (64, 48), 16
BOX = Box(20, 10, 40, 30)
_RNG = np.random.default_rng(3)
FLOOR = _RNG.integers(40, 200, (SIZE[1], SIZE[0], 3)).astype(np.uint8)


def clip_of(path: Path, brightness: Array | None = None, pix_fmt: str = "bgr0") -> Clip:
    """The floor under a still camera, each frame at its brightness."""
    gains = np.ones(COUNT) if brightness is None else brightness

    def picture(t: int, w: int, h: int) -> np.ndarray:
        return np.clip(np.rint(FLOOR * gains[t]), 0, 255).astype(np.uint8)

    write_clip(path / "c.mkv", codec="ffv1", pix_fmt=pix_fmt, size=SIZE, frames=COUNT, picture=picture)
    return open_clip(str(path / "c.mkv"))


def model_of(clip: Clip, blocked: Array, gains: Array | None = None) -> SceneModel:
    still = Registration(
        np.stack([np.eye(3)] * COUNT), np.ones(COUNT) if gains is None else gains, True, np.ones(COUNT)
    )
    return SceneModel(clip.info, still, FrameRange(0, COUNT), blocked, np.zeros(blocked.shape, bool))


def fused(clip: Clip, model: SceneModel, t: int, spoil: int | None = None) -> Fusion:
    """The sightings of a box of frame t; frame `spoil` shows black there."""
    mask = Placed(BOX, np.full((BOX.height, BOX.width), 255, np.uint8))
    whole = np.full((BOX.height, BOX.width), 255, np.uint8)
    group = SampleGroup.on_grid(clip.info, t, BOX, mask, whole, clip.info.layout.groups[0])
    sightings = Sightings.of(group, model)
    for frame in clip.frames():
        planes = tuple(np.array(p) for p in frame.planes())
        if frame.index == spoil:
            for plane in planes:
                plane[BOX.slices] = 0
        sightings.observe(planes, frame.index)
    return sightings.fuse()


def free() -> Array:
    return np.full((COUNT, SIZE[1], SIZE[0]), FREE, np.uint8)


def expected(clip: Clip, t: int) -> Array:
    (frame,) = clip.frames(t, t + 1)
    return np.stack([p[BOX.slices].ravel() for p in frame.planes()], axis=1).astype(np.float32)


def test_under_a_still_camera_nothing_is_resampled(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    found = fused(clip, model_of(clip, free()), 5)
    assert (found.values == expected(clip, 5)).all()
    assert (found.spread == 0).all()


def test_an_outlier_loses(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    found = fused(clip, model_of(clip, free()), 5, spoil=9)
    assert np.abs(found.values - expected(clip, 5)).max() < 0.01


def test_the_exposure_of_the_frame_is_matched(tmp_path: Path) -> None:
    gains = 1 + 0.15 * np.sin(np.arange(COUNT))
    clip = clip_of(tmp_path, gains)
    found = fused(clip, model_of(clip, free(), gains), 4)
    assert np.abs(found.values - expected(clip, 4)).mean() < 0.6


def test_what_is_hidden_everywhere_has_no_sighting(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    blocked = free()
    blocked[:, BOX.y0 : BOX.y1, BOX.x0 : BOX.x0 + 4] = HIDDEN
    found = fused(clip, model_of(clip, blocked), 5)
    count = found.count.reshape(BOX.height, BOX.width)
    assert (count[:, :4] == 0).all()
    assert (count[:, 4:] > 2).all()


@pytest.mark.parametrize(("elsewhere", "count"), [(NEAR, COUNT - 1), (HIDDEN, 1)])
def test_the_objects_surroundings_count_only_where_nothing_better_is_seen(
    tmp_path: Path, elsewhere: int, count: int
) -> None:
    clip = clip_of(tmp_path)
    blocked = np.full((COUNT, SIZE[1], SIZE[0]), elsewhere, np.uint8)
    blocked[3] = FREE
    found = fused(clip, model_of(clip, blocked), 5)
    assert (found.count == count).all()


def test_free_sightings_push_out_those_near_the_object(tmp_path: Path) -> None:
    clip = clip_of(tmp_path)
    blocked = np.full((COUNT, SIZE[1], SIZE[0]), NEAR, np.uint8)
    blocked[[2, 7, 11]] = FREE
    assert (fused(clip, model_of(clip, blocked), 5).count == 3).all()


@pytest.mark.parametrize("t", [0, 7, 15])
def test_few_frames_are_looked_at_and_the_nearest_are_among_them(tmp_path: Path, t: int) -> None:
    clip = clip_of(tmp_path)
    long = np.ones(300)
    still = Registration(np.stack([np.eye(3)] * 300), long, True, long)
    model = SceneModel(
        clip.info, still, FrameRange(0, 300), np.zeros((300, 4, 4), np.uint8), np.zeros((300, 4, 4), bool)
    )
    chosen = model.sources(20 * t)
    assert len(chosen) <= SOURCES
    assert 20 * t not in chosen
    assert chosen == sorted(set(chosen))
    assert min(abs(s - 20 * t) for s in chosen) <= 1
    assert max(abs(s - 20 * t) for s in chosen) > 100
