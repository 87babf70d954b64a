"""What is recovered is right, what is not is said, and what no frame shows is continued from the surroundings."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from support.clips import planes_of, write_clip
from support.command import Vremove
from support.stage import FRAMES, SIZE, actor, ground, mask_clip, picture
from vremove_cli.job.composite import plate_patches
from vremove_cli.job.plan import Plan
from vremove_cli.job.runner import run_erase
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.media.picture_export import write_rgb_image
from vremove_cli.media.pixel_format import layout_of
from vremove_cli.media.read import open_clip
from vremove_cli.motion.camera import estimate_camera_motion, estimate_homography
from vremove_cli.plate.confidence import (
    NEVER_SEEN,
    RECOVERED_FROM,
    encode_confidence,
    predict_confidence,
    recovered_mask,
    unrecovered_mask,
)
from vremove_cli.plate.heal import heal


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("moving")
    clip = write_clip(
        place / "clip.mkv", codec="ffv1", pix_fmt="bgr0", size=SIZE, frames=FRAMES, picture=lambda t, w, h: picture(t)
    )
    return clip, mask_clip(place / "mask.mkv", actor)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An object that never moves, before a camera that does not either."""
    place = tmp_path_factory.mktemp("standing")
    clip = write_clip(
        place / "clip.mkv", codec="ffv1", pix_fmt="bgr0", size=SIZE, frames=FRAMES, picture=lambda t, w, h: picture(0)
    )
    return clip, mask_clip(place / "mask.mkv", lambda t: actor(0))


def frame_of(path: Path | str, t: int) -> np.ndarray:
    (frame,) = open_clip(str(path)).frames(t, t + 1)
    return frame.rgb8().astype(int)


@pytest.fixture(scope="module")
def erased(moving: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], Path]:
    """The result's frames, and the work folder."""
    place = tmp_path_factory.mktemp("erased")
    clip, mask = moving
    run_erase(str(clip), str(place / "o.mkv"), mask=str(mask), work=str(place / "work"), keep_work=True)
    frames = [frame.rgb8().astype(int) for frame in open_clip(str(place / "o.mkv")).frames(0, FRAMES)]
    return frames, place / "work"


def test_the_background_comes_back(erased: tuple[list[np.ndarray], Path]) -> None:
    frames, _ = erased
    assert len(frames) == FRAMES
    assert max(np.abs(found - ground(t))[actor(t)].mean() for t, found in enumerate(frames)) < 6


def test_pixels_called_recovered_are_right(erased: tuple[list[np.ndarray], Path]) -> None:
    frames, work = erased
    right = total = 0
    for t, plate in plate_patches(Plan.load(work / "plan.json"), WorkFolder(work), 0, FRAMES):
        assert plate is not None
        box = plate.patch.box
        believed = recovered_mask(plate.confidence) & (plate.patch.matte == 255)
        wrong = np.abs(frames[t] - ground(t)).max(axis=2)[box.slices]
        right, total = right + int((wrong <= 12)[believed].sum()), total + int(believed.sum())
    assert total > 5000
    assert right / total > 0.9


def test_what_no_frame_shows_holds_still(standing: tuple[Path, Path], tmp_path: Path) -> None:
    clip, mask = standing
    summary = run_erase(str(clip), str(tmp_path / "o.mkv"), mask=str(mask))
    assert summary.recovered == 0
    first, last = frame_of(tmp_path / "o.mkv", 0), frame_of(tmp_path / "o.mkv", FRAMES - 1)
    assert np.abs(first - last).max() <= 1


@pytest.mark.parametrize("shift", [(0, 0), (4, -3)])
def test_a_clean_picture_is_a_witness(
    standing: tuple[Path, Path], tmp_path: Path, vremove: Vremove, shift: tuple[int, int]
) -> None:
    clip, mask = standing
    world = ground(0, SIZE[0] + 20)
    moved = np.roll(world, shift, axis=(1, 0))[:, : SIZE[0]]
    write_rgb_image(tmp_path / "clean.png", np.ascontiguousarray(moved))
    done = vremove("erase", clip, "--mask", mask, "-o", tmp_path / "o.mkv", "--reference", f"{tmp_path}/clean.png@10")
    assert done.status == 0
    for t in (0, 10, 30):
        assert np.abs(frame_of(tmp_path / "o.mkv", t) - ground(0))[actor(0)].mean() < 8


@pytest.mark.parametrize(
    ("reference", "status", "words"),
    [("none.png", 3, "does not exist"), ("CLIP", 2, "has 40 frames"), ("PNG@99", 2, "99"), ("PNG@x", 2, "x")],
)
def test_a_bad_reference_is_refused(
    standing: tuple[Path, Path], vremove: Vremove, tmp_path: Path, reference: str, status: int, words: str
) -> None:
    clip, mask = standing
    write_rgb_image(tmp_path / "clean.png", ground(0))
    reference = reference.replace("CLIP", str(clip)).replace("PNG", str(tmp_path / "clean.png"))
    done = vremove("erase", clip, "--mask", mask, "-o", tmp_path / "o.mkv", "--reference", reference)
    assert done.status == status
    assert words in done.stderr
    assert not (tmp_path / "o.mkv").exists()


def test_plate_and_patch_fit_together(moving: tuple[Path, Path], vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = moving
    plate, patch = tmp_path / "plate.mkv", tmp_path / "patch"
    done = vremove(
        "erase", clip, "--mask", mask, "-o", tmp_path / "o.mkv", "--write-plate", plate, "--write-patch", patch
    )
    assert done.status == 0
    rgba = cv2.imread(str(patch / "000012.png"), cv2.IMREAD_UNCHANGED)
    assert rgba is not None
    assert rgba.shape == (SIZE[1], SIZE[0], 4)
    alpha = rgba[..., 3:].astype(float) / 255
    over = picture(12) * (1 - alpha) + rgba[..., 2::-1] * alpha
    shown = np.stack(planes_of(plate)[12], axis=-1)
    assert np.abs(over - frame_of(plate, 12)).max() <= 2
    assert shown.shape[:2] == SIZE[::-1]


def test_a_preview_colours_what_is_doubtful(standing: tuple[Path, Path], vremove: Vremove, tmp_path: Path) -> None:
    clip, mask = standing
    vremove("erase", clip, "--mask", mask, "-o", tmp_path / "o.mkv", "--write-preview", tmp_path / "s.png")
    sheet = np.asarray(Image.open(tmp_path / "s.png").convert("RGB")).astype(int)
    assert ((sheet[..., 0] > 130) & (sheet[..., 1] < 150) & (sheet[..., 0] - sheet[..., 2] > 60)).sum() > 1000


def test_a_gap_in_stripes_is_filled_with_stripes() -> None:
    stripes = np.where(np.arange(120) // 6 % 2, 60, 190).astype(np.uint8)
    picture_ = np.repeat(stripes[None], 90, axis=0)
    gap = np.zeros(picture_.shape, bool)
    gap[35:60, 45:75] = True
    (healed,) = heal((np.where(gap, 0, picture_).astype(np.uint8),), layout_of("gray"), picture_, gap)
    assert np.abs(healed.astype(int) - picture_)[gap].mean() < 4


def test_healing_changes_nothing_else() -> None:
    rng = np.random.default_rng(5)
    planes = tuple(rng.integers(0, 256, s).astype(np.uint8) for s in ((60, 80), (30, 40), (30, 40)))
    gap = np.zeros((60, 80), bool)
    gap[20:31, 33:50] = True
    healed = heal(planes, layout_of("yuv420p"), planes[0], gap)
    assert (healed[0][~gap] == planes[0][~gap]).all()
    assert (healed[1][:10] == planes[1][:10]).all()


@settings(max_examples=40, deadline=None)
@given(pull=st.floats(0, 200), texture=st.floats(0, 200), more=st.floats(0, 50))
def test_confidence_falls_with_pull_and_with_texture(pull: float, texture: float, more: float) -> None:
    hole = np.ones((1, 1), bool)

    def chance(a: float, b: float) -> float:
        return float(predict_confidence(np.array([a], np.float32), np.array([b], np.float32), hole)[0])

    assert 0 <= chance(pull + more, texture) <= chance(pull, texture) <= 1
    assert chance(pull, texture + more) <= chance(pull, texture)


def test_stored_confidence_divides_into_three() -> None:
    values = encode_confidence(
        np.array([0, 0.5, RECOVERED_FROM + 0.01, 1.0, 1.0]), np.array([True, True, True, True, False])
    )
    assert values.tolist()[-1] == NEVER_SEEN
    assert recovered_mask(values).tolist() == [False, False, True, True, False]
    assert unrecovered_mask(values).tolist() == [True, True, False, False, True]


def test_the_smaller_size_helps_where_the_larger_fails() -> None:
    rng = np.random.default_rng(3)
    coarse = cv2.resize(rng.uniform(40, 210, (14, 22)).astype(np.float32), (500, 300), interpolation=cv2.INTER_CUBIC)
    world = np.clip(coarse, 0, 255).astype(np.uint8)
    a, b = world[20:220, 20:340], world[26:226, 60:380]
    nothing = np.zeros(a.shape, np.uint8)
    box = nothing.copy()
    box[80:120, 140:180] = 255
    motion = estimate_camera_motion(a, b, box, nothing)
    corner = motion.homography @ np.array([160, 100, 1.0])
    assert np.abs(corner[:2] / corner[2] - (120, 94)).max() < 1.0
    assert estimate_homography(nothing, nothing, nothing, nothing).tolist() == np.eye(3).tolist()


def test_brightening_is_measured() -> None:
    rng = np.random.default_rng(4)
    a = cv2.GaussianBlur(rng.integers(40, 180, (120, 160)).astype(np.uint8), (0, 0), 1.5)
    box = np.zeros(a.shape, np.uint8)
    box[50:70, 70:90] = 255
    assert abs(estimate_camera_motion(a, a + np.uint8(9), box, box).brightness - 9) < 0.6


def test_chroma_is_left_alone_when_the_light_changes(tmp_path: Path) -> None:
    def brighter(t: int, w: int, h: int) -> np.ndarray:
        return np.clip(picture(t).astype(int) + 2 * t - 30, 0, 255).astype(np.uint8)

    clip = write_clip(tmp_path / "c.mkv", codec="ffv1", pix_fmt="yuv444p", size=SIZE, frames=30, picture=brighter)
    mask = mask_clip(tmp_path / "m.mkv", actor, 30)
    run_erase(str(clip), str(tmp_path / "o.mkv"), mask=str(mask))
    expected = np.clip(ground(26).astype(int) + 2 * 26 - 30, 0, 255)
    off = (frame_of(tmp_path / "o.mkv", 26) - expected)[actor(26)]
    assert np.abs(off.mean(axis=0)).max() < 5


@pytest.mark.parametrize("option", ["--write-preview", "--write-mask", "-o"])
def test_what_the_user_gave_is_never_written_over(
    standing: tuple[Path, Path], vremove: Vremove, tmp_path: Path, option: str
) -> None:
    clip, mask = standing
    own = tmp_path / ("clean.png" if option == "--write-preview" else "own.mkv")
    if own.suffix == ".png":
        write_rgb_image(own, ground(0))
        given = ("--reference", own)
    else:
        own.write_bytes(mask.read_bytes())
        given = ("--effects", own)
    before = own.read_bytes()
    target = () if option == "-o" else ("-o", tmp_path / "o.mkv")
    done = vremove("erase", clip, "--mask", mask, *given, *target, option, own, "--overwrite")
    assert done.status == 2
    assert own.read_bytes() == before


def test_a_reference_where_nothing_is_erased_is_named(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "c.mkv", codec="ffv1", pix_fmt="bgr0", size=SIZE, frames=12, picture=lambda t, w, h: picture(t)
    )
    mask = mask_clip(tmp_path / "m.mkv", lambda t: actor(t) & (t > 4), 12)
    write_rgb_image(tmp_path / "clean.png", ground(0))
    done = vremove("erase", clip, "--mask", mask, "-o", tmp_path / "o.mkv", "--reference", tmp_path / "clean.png")
    assert "it was not used" in done.stderr
