"""Shadows that go with the object are found and removed; what else moves is left alone, and the tool says why."""

from pathlib import Path

import numpy as np
import pytest
from vremove_cli.plate.median_plate import MAX_OFFSET, MAX_SOURCES, MIN_OFFSET, source_frames

from support.clips import planes_of, write_clip
from support.command import Vremove
from support.stage import FRAMES, SIZE, actor, companion, mask_clip, masks, picture, shadow
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.media.read import open_clip
from vremove_cli.plate.effects import Measures, find_effects, judge


def stage(**how: bool) -> np.ndarray:
    return np.stack([picture(t, **how) for t in range(FRAMES)])


@pytest.fixture(scope="module")
def shaded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("shaded")
    clip = write_clip(
        place / "clip.mkv",
        codec="ffv1",
        pix_fmt="bgr0",
        size=SIZE,
        frames=FRAMES,
        picture=lambda t, w, h: picture(t, shaded=True),
    )
    mask = mask_clip(place / "mask.mkv", actor)
    return clip, mask


def error(path: Path | str, t: int, where: np.ndarray) -> float:
    (frame,) = open_clip(str(path)).frames(t, t + 1)
    return float(np.abs(frame.rgb8().astype(int) - picture(t, drawn=False))[where].mean())


def test_a_soft_shadow_is_found_with_its_penumbra() -> None:
    found = find_effects(stage(shaded=True), masks(), FrameRange(0, FRAMES))
    dark = [(shadow(t) < 0.93) & ~masks()[t] for t in range(FRAMES)]
    recall = np.mean([found.masks[t][dark[t]].mean() for t in range(FRAMES)])
    assert "was found" in found.verdict
    assert recall > 0.9


def test_where_there_is_none_nothing_is_found() -> None:
    found = find_effects(stage(), masks(), FrameRange(0, FRAMES))
    assert not found.masks
    assert found.clear


def test_a_stranger_who_walks_along_stays() -> None:
    found = find_effects(stage(accompanied=True), masks(), FrameRange(0, FRAMES))
    assert not found.masks
    assert "goes along with the object" in found.verdict
    assert not found.clear


def test_an_object_that_stands_still_keeps_its_shadow_and_that_is_said() -> None:
    still = np.stack([picture(0, shaded=True)] * FRAMES)
    found = find_effects(still, np.stack([masks()[0]] * FRAMES), FrameRange(0, FRAMES))
    assert not found.masks
    assert "hardly moves" in found.verdict


def test_an_object_on_a_single_frame_is_no_error() -> None:
    only = np.zeros_like(masks())
    only[7] = masks()[7]
    assert not find_effects(stage(), only, FrameRange(0, FRAMES)).masks


@pytest.mark.parametrize(
    ("measures", "words"),
    [
        (Measures(0.8, 0.0, 0.9, 0.3, 0.0005, 0.03), "no shadow"),
        (Measures(0.6, 0.05, 0.9, 0.3, 0.03, 0.03), "changes all over"),
        (Measures(0.8, 0.0, 0.2, 0.3, 0.03, 0.03), "neither"),
        (Measures(0.8, 0.0, 0.9, 1.2, 0.03, 0.03), "neither"),
        (Measures(0.8, 0.0, 0.9, 0.3, 0.03, 0.03), "was found"),
    ],
)
def test_the_verdict_names_its_reason(measures: Measures, words: str) -> None:
    assert words in judge(measures)[0]


def test_witnesses_are_within_reach_and_none_is_asked_twice() -> None:
    for t in (0, 3, 20, 99):
        chosen = source_frames(t, 100)
        assert len(chosen) == len(set(chosen))
        assert MAX_SOURCES - 2 <= len(chosen) <= MAX_SOURCES
        assert all(0 <= s < 100 and MIN_OFFSET <= abs(s - t) <= MAX_OFFSET for s in chosen)


def test_object_and_shadow_go_in_one_command(shaded: tuple[Path, Path], vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = shaded
    done = vremove("erase", clip, "--mask", mask, "-o", tmp_path / "out.mkv", "--write-effects", tmp_path / "fx.mkv")
    assert "effects: a shadow or reflection was found" in done.stderr
    dark = (shadow(20) < 0.8) & ~actor(20)
    assert error(tmp_path / "out.mkv", 20, dark) < 4 < error(clip, 20, dark)
    assert planes_of(tmp_path / "fx.mkv")[20][0][dark].mean() > 200


def test_effects_off_leaves_the_shadow(shaded: tuple[Path, Path], vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = shaded
    done = vremove("erase", clip, "--mask", mask, "-o", tmp_path / "out.mkv", "--effects", "off")
    assert done.status == 0
    below = (shadow(20) < 0.7) & ~masks()[20] & (np.indices(SIZE[::-1])[0] > 86)
    assert error(tmp_path / "out.mkv", 20, below) > 20


def test_effects_of_ones_own_are_taken(shaded: tuple[Path, Path], vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = shaded
    own = mask_clip(tmp_path / "own.mkv", companion)
    out = tmp_path / "fx.mkv"
    done = vremove("erase", clip, "--mask", mask, "-o", tmp_path / "o.mkv", "--effects", own, "--write-effects", out)
    assert "those of the file given" in done.stderr
    assert ((planes_of(out)[9][0] > 127) == companion(9)).all()


def test_two_frames_and_no_object_are_no_error() -> None:
    fast = [0, 30]
    found = find_effects(np.stack([picture(t) for t in fast]), masks()[fast], FrameRange(0, 2))
    assert not found.masks
    assert find_effects(stage(), np.zeros_like(masks()), FrameRange(0, FRAMES)).clear


def test_flat_pictures_do_not_crash_the_flow() -> None:
    strip = np.ascontiguousarray(stage(shaded=True)[:, 50:66])
    assert not find_effects(strip, np.ascontiguousarray(masks()[:, 50:66]), FrameRange(0, FRAMES)).masks
