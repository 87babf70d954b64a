"""Shadows that go with the object are found and removed; what else moves is left alone, and the tool says why."""

from pathlib import Path

import numpy as np
import pytest

from support.clips import planes_of, write_clip
from support.command import Vremove
from support.stage import FRAMES, SIZE, actor, companion, mask_clip, masks, picture, shadow
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.media.read import open_clip
from vremove_cli.motion.registration import register
from vremove_cli.plate.background import ShotBackground, model_background
from vremove_cli.plate.scene_model import BESIDE


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


def model(frames: np.ndarray, masks: np.ndarray) -> ShotBackground:
    """The background of some frames, registered here."""
    return model_background(frames, masks, register(frames, masks), FrameRange(0, len(frames)))


def test_a_soft_shadow_is_found_with_its_penumbra() -> None:
    found = model(stage(shaded=True), masks())
    dark = [(shadow(t) < 0.93) & ~masks()[t] for t in range(FRAMES)]
    recall = np.mean([found.effects[t][dark[t]].mean() for t in range(FRAMES)])
    assert "was found" in found.verdict
    assert recall > 0.9


def test_where_there_is_none_nothing_is_found() -> None:
    found = model(stage(), masks())
    assert not found.effects.any()
    assert found.clear


def test_a_stranger_who_walks_along_stays() -> None:
    found = model(stage(accompanied=True), masks())
    assert not found.effects.any()
    assert "goes along with the object" in found.verdict
    assert not found.clear


def test_an_object_that_stands_still_keeps_its_shadow_and_that_is_said() -> None:
    still = np.stack([picture(0, shaded=True)] * FRAMES)
    found = model(still, np.stack([masks()[0]] * FRAMES))
    assert not found.effects.any()
    assert "hardly moves" in found.verdict
    assert "may remain" in found.verdict


def test_an_object_on_a_single_frame_is_no_error() -> None:
    only = np.zeros_like(masks())
    only[7] = masks()[7]
    assert not model(stage(), only).effects.any()


def test_frames_of_noise_are_not_explained_and_that_is_said() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (FRAMES, *SIZE[::-1], 3)).astype(np.uint8)
    found = model(noise, masks())
    assert not found.effects.any()
    assert "changes all over" in found.verdict
    assert (found.told[6][masks()[6]] == BESIDE).all()


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
    assert not model(np.stack([picture(t) for t in fast]), masks()[fast]).effects.any()
    assert model(stage(), np.zeros_like(masks())).clear


def test_flat_pictures_are_no_error() -> None:
    strip = np.ascontiguousarray(stage(shaded=True)[:, 50:66])
    assert not model(strip, np.ascontiguousarray(masks()[:, 50:66])).effects.any()
