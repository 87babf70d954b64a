"""Masks made fit for use, exported, looked at; and what stands still on the screen."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import vremove_cli
from support.clips import write_clip
from support.command import Vremove
from support.disc import FRAMES, SIZE, centre, drawn, iou, red_disc, truth, view
from vremove_cli.geometry import Box
from vremove_cli.job.exports import object_paths
from vremove_cli.masks.morphology import auto_grow, blur_grow, grow, tidy
from vremove_cli.masks.postprocess import close_in_time, upscale_mask
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip
from vremove_cli.tracking.flow.background_model import BackgroundModel

_RNG = np.random.default_rng(4)
_WIDE = cv2.resize(_RNG.uniform(30, 220, (30, 120, 3)).astype(np.float32), (900, 220), interpolation=cv2.INTER_CUBIC)


def logo() -> np.ndarray:
    """Two letters near a corner, (H, W) bool."""
    out = np.zeros(SIZE[::-1], np.uint8)
    cv2.putText(out, "TV", (236, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.1, 255, 4)
    return out > 0


def broadcast(t: int, width: int, height: int, *, since: int = 0) -> np.ndarray:
    """A pan under a half-transparent logo that is there from a frame on."""
    out = np.clip(_WIDE[20 : 20 + height, 10 + 9 * t : 10 + 9 * t + width], 0, 255).astype(np.uint8)
    if t >= since:
        out[logo()] = (0.25 * out[logo()] + 0.75 * 250).astype(np.uint8)
    return out


def gray_frames(path: Path) -> list[np.ndarray]:
    return list(read_gray(path))


def test_a_logo_in_a_box_is_found_to_stand_still(tmp_path: Path) -> None:
    vremove_cli.mask(str(drawn(tmp_path, broadcast)), str(tmp_path / "m.mkv"), box=["230,12,300,52"])
    found = [m > 127 for m in gray_frames(tmp_path / "m.mkv")]
    assert all((m == found[0]).all() for m in found)
    assert found[0][logo()].mean() > 0.95
    assert np.count_nonzero(found[0]) < 70 * 40


def test_a_logo_gets_no_mask_on_frames_where_it_is_not(tmp_path: Path) -> None:
    path = drawn(tmp_path, lambda t, w, h: broadcast(t, w, h, since=10))
    vremove_cli.mask(str(path), str(tmp_path / "m.mkv"), box=["@12:230,12,300,52"], static=True)
    found = gray_frames(tmp_path / "m.mkv")
    assert not any(m.any() for m in found[:9])
    assert all((m > 127)[logo()].mean() > 0.9 for m in found[11:])


def test_an_object_that_moves_is_not_taken_for_a_logo(tmp_path: Path) -> None:
    vremove_cli.mask(str(drawn(tmp_path, red_disc)), str(tmp_path / "m.mkv"), box=["36,71,85,120"])
    assert all(iou(m > 127, truth(t)) > 0.9 for t, m in enumerate(gray_frames(tmp_path / "m.mkv")))


@pytest.mark.parametrize("static", [False, True])
def test_a_box_round_the_whole_frame_is_taken(tmp_path: Path, static: bool) -> None:
    path = write_clip(tmp_path / "clip.mkv", codec="ffv1", size=(64, 48), frames=8)
    assert vremove_cli.mask(str(path), str(tmp_path / "m.mkv"), box=["0,0,64,48"], static=static).frames == 8


def test_a_negative_point_takes_a_part_out_of_what_stands_still(tmp_path: Path) -> None:
    path = drawn(tmp_path, broadcast, frames=14)
    vremove_cli.mask(str(path), str(tmp_path / "m.mkv"), box=["230,12,300,52"], not_point=["@10:249,30"])
    found = [m > 127 for m in gray_frames(tmp_path / "m.mkv")]
    assert found[2][30, 249]
    assert not any(m[30, 249] for m in found[10:])
    assert all(m[logo()].mean() > 0.5 for m in found)


def test_static_with_a_mask_is_refused(vremove: Vremove, tmp_path: Path) -> None:
    path = drawn(tmp_path, red_disc, frames=2)
    done = vremove("erase", path, "--mask", path, "--static")
    assert done.status == 2
    assert "--static and a mask were given" in done.stderr


def test_what_moves_stands_out_from_what_the_camera_passes() -> None:
    rgb = {t: red_disc(t, *SIZE) for t in range(FRAMES)}
    seen = BackgroundModel(rgb).evidence(12)
    assert seen.motion[truth(12)].mean() > 0.5
    away = ~(cv2.dilate(truth(12).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    assert seen.motion[away].mean() < -0.5
    assert seen.reliability(truth(12)) == 1.0


def test_a_shadow_is_the_background_in_another_light() -> None:
    def shaded(t: int) -> np.ndarray:
        out = view(t, *SIZE).astype(np.float32)
        x, y = centre(t)
        return cv2.ellipse(np.ones(SIZE[::-1], np.float32), (x, y), (30, 12), 0, 0, 360, 0.6, -1)[..., None] * out

    seen = BackgroundModel({t: shaded(t).astype(np.uint8) for t in range(FRAMES)}).evidence(12)
    inside = cv2.ellipse(np.zeros(SIZE[::-1], np.uint8), centre(12), (24, 8), 0, 0, 360, 1, -1) > 0
    assert seen.illumination[inside].mean() > 0.5
    assert seen.motion[inside].mean() < 0.1


def test_a_single_frame_tells_nothing_of_motion() -> None:
    seen = BackgroundModel({0: view(0, *SIZE)}).evidence(0)
    assert not seen.motion.any()
    assert seen.reliability(truth(0)) == 0.0


def test_a_dropout_of_one_frame_is_closed() -> None:
    grays = {t: cv2.cvtColor(red_disc(t, *SIZE), cv2.COLOR_RGB2GRAY) for t in (4, 5, 6)}
    masks = {t: truth(t).astype(np.float32) for t in (4, 5, 6)}
    masks[5][:95] = 0
    assert iou(close_in_time(masks, grays, 5) > 0.5, truth(5)) > 0.8


def test_closing_in_time_does_not_lag_behind_a_moving_object() -> None:
    grays = {t: cv2.cvtColor(red_disc(t, *SIZE), cv2.COLOR_RGB2GRAY) for t in (4, 5, 6)}
    masks = {t: truth(t).astype(np.float32) for t in (4, 5, 6)}
    assert iou(close_in_time(masks, grays, 5) > 0.5, truth(5)) > 0.97


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(17, 300), height=st.integers(17, 300), x=st.floats(-0.2, 1.2), y=st.floats(-0.2, 1.2),
    radius=st.floats(0.02, 0.9),
)  # fmt: skip
def test_a_mask_never_leaves_the_frame(width: int, height: int, x: int, y: int, radius: int) -> None:
    small = (60, 40)
    centre_at = (round(x * small[0]), round(y * small[1]))
    soft = cv2.circle(np.zeros(small[::-1], np.float32), centre_at, max(1, round(radius * small[1])), 1.0, -1)
    placed = upscale_mask(cv2.GaussianBlur(soft, (0, 0), 0.7), (width, height))
    box = placed.box
    assert placed.empty or (0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height)
    assert placed.values.shape == (box.height, box.width)
    if not placed.empty:
        share = np.count_nonzero(placed.full(width, height) > 127) / (width * height)
        assert share == pytest.approx(np.count_nonzero(soft) / soft.size, abs=0.12)


def test_a_soft_edge_is_kept() -> None:
    soft = cv2.GaussianBlur(truth(0).astype(np.float32), (0, 0), 0.7)
    values = upscale_mask(soft, SIZE).full(*SIZE)
    assert ((values > 0) & (values < 255)).sum() > 2 * np.pi * 20
    assert iou(values > 127, truth(0)) > 0.97


def test_tidy_fills_small_holes_and_drops_specks() -> None:
    mask = np.zeros((100, 100), np.uint8)
    cv2.circle(mask, (50, 50), 30, 255, -1)
    mask[48:51, 48:51] = 0
    mask[5, 5] = 255
    out = tidy(mask)
    assert out[49, 49] == 255
    assert out[5, 5] == 0


def test_grow_is_a_disc_and_auto_follows_size() -> None:
    mask = np.zeros((60, 60), np.uint8)
    mask[30, 30] = 255
    assert np.count_nonzero(grow(mask, 5)) == pytest.approx(np.pi * 5.5**2, rel=0.2)
    assert auto_grow(400, tracked=True) < auto_grow(90_000, tracked=True)


@pytest.mark.parametrize(("speed", "px"), [(0, 0), (8, 2), (20, 5), (400, 16)])
def test_a_fast_object_grows_by_its_motion_blur(speed: int, px: int) -> None:
    assert set(blur_grow({t: Box(speed * t, 0, speed * t + 30, 20) for t in range(9)}).values()) == {px}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    def both(t: int, width: int, height: int) -> np.ndarray:
        return cv2.circle(red_disc(t, width, height), (250, 40 + 4 * t), 16, (30, 60, 230), -1)

    return drawn(tmp_path, both, frames=10)


def test_each_object_gets_a_mask_of_its_own(two: Path, tmp_path: Path, vremove: Vremove) -> None:
    done = vremove(
        "mask", two, "--point", "ball=60,95", "--point", "dot=250,40", "-o", tmp_path / "m.mkv", "--per-object"
    )
    assert done.status == 0
    assert not (tmp_path / "m.mkv").exists()
    ball, dot = (gray_frames(tmp_path / f"m.{name}.mkv") for name in ("ball", "dot"))
    assert all(iou(m > 127, truth(t)) > 0.85 for t, m in enumerate(ball))
    assert not any(((a > 127) & (b > 127)).any() for a, b in zip(ball, dot, strict=True))


def test_the_masks_of_objects_are_named_by_them() -> None:
    assert object_paths("/a/m.mkv", ["ball", ""]) == {"ball": "/a/m.ball.mkv", "": "/a/m.object.mkv"}
    assert object_paths("/a/masks", ["ball"]) == {"ball": "/a/masks-ball"}


def test_the_masks_of_objects_go_to_folders(two: Path, tmp_path: Path, vremove: Vremove) -> None:
    done = vremove("mask", two, "--point", "ball=60,95", "-o", tmp_path / "masks", "--per-object")
    assert done.stdout.split() == [str(tmp_path / "masks-ball")]
    assert len(list((tmp_path / "masks-ball").iterdir())) == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--mask", "clip"), "a mask knows no objects"), (("--point", "ball=60,95", "-o", "."), "is not a name")],
    ids=["of a mask", "without a name"],
)
def test_masks_of_objects_that_cannot_be_are_refused(
    two: Path, tmp_path: Path, vremove: Vremove, options: tuple[str, ...], said: str
) -> None:
    given = [two if o == "clip" else o for o in options]
    done = vremove("mask", two, "-o", tmp_path / "m.mkv", *given, "--per-object")
    assert done.status == 2
    assert said in done.stderr


def test_an_objects_mask_in_the_way_is_refused_before_any_work(two: Path, tmp_path: Path, vremove: Vremove) -> None:
    (tmp_path / "m.ball.mkv").write_text("mine")
    done = vremove("mask", two, "--point", "ball=60,95", "-o", tmp_path / "m.mkv", "--per-object")
    assert done.status == 2
    assert (tmp_path / "m.ball.mkv").read_text() == "mine"


def test_a_cutout_is_the_object_with_alpha(two: Path, tmp_path: Path, vremove: Vremove) -> None:
    vremove("mask", two, "--point", "60,95", "-o", tmp_path / "m.mkv", "--write-cutout", tmp_path / "cut")
    picture = np.asarray(Image.open(tmp_path / "cut" / "000003.png"))
    assert picture.shape == (*SIZE[::-1], 4)
    assert iou(picture[..., 3] > 127, truth(3)) > 0.85
    assert np.abs(picture[95, centre(3)[0], :3].astype(int) - (225, 40, 30)).max() < 12
    assert not picture[picture[..., 3] == 0].any()


def test_the_sheet_shows_the_least_certain_frames(tmp_path: Path, vremove: Vremove) -> None:
    def fading(t: int, width: int, height: int) -> np.ndarray:
        """From frame 16 on the disc is nearly the ground's colour."""
        out = red_disc(t, width, height)
        if t >= 16:
            out[truth(t)] = (0.15 * out[truth(t)] + 0.85 * view(t, width, height)[truth(t)]).astype(np.uint8)
        return out

    path = drawn(tmp_path, fading)
    done = vremove("mask", path, "--point", "60,95", "-o", tmp_path / "m.mkv", "--write-preview", tmp_path / "s.png")
    assert done.status == 0
    height = Image.open(tmp_path / "s.png").height
    even = vremove("mask", drawn(tmp_path, red_disc, name="b.mkv"), "--point", "60,95", "-o", tmp_path / "n.mkv",
                   "--write-preview", tmp_path / "e.png")  # fmt: skip
    assert even.status == 0
    assert "uncertain" not in even.stderr
    assert "uncertain" in done.stderr or "not found" in done.stderr
    assert height >= 6 * SIZE[1]


def test_a_grid_needs_a_preview(vremove: Vremove, two: Path, tmp_path: Path) -> None:
    done = vremove("mask", two, "--point", "60,95", "-o", tmp_path / "m.mkv", "--grid")
    assert done.status == 2
    assert "add --write-preview sheet.png" in done.stderr


def test_a_grid_is_drawn_on_the_preview(vremove: Vremove, two: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "grid.png"
    vremove("mask", two, "--point", "60,95", "-o", tmp_path / "m.mkv", "--write-preview", sheet, "--grid")
    picture = np.asarray(Image.open(sheet))
    yellow = (picture[..., :2] > 200).all(axis=2) & (picture[..., 2] < 60)
    assert yellow.sum() > 500


def test_masks_keep_their_work_unless_told_not_to(vremove: Vremove, two: Path, tmp_path: Path) -> None:
    vremove("mask", two, "--point", "60,95", "-o", tmp_path / "m.mkv")
    assert (tmp_path / "m.mkv.vremove" / "plan.json").exists()
    vremove("mask", two, "--point", "60,95", "-o", tmp_path / "n.mkv", "--no-keep-work")
    assert not (tmp_path / "n.mkv.vremove").exists()


def test_another_growth_keeps_the_masks(two: Path, tmp_path: Path) -> None:
    from vremove_cli import erase

    out = str(tmp_path / "o.mkv")
    erase(str(two), out, point=["60,95"], grow=3, keep_work=True, effects="off")
    again = erase(str(two), out, point=["60,95"], grow=6, keep_work=True, effects="off", overwrite=True)
    assert again.reused == 1


def test_the_same_clip_is_not_scanned_again(two: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    for more in ([], ["@5:100,95"]):
        seen.clear()
        vremove_cli.mask(
            str(two), str(tmp_path / "m.mkv"), point=["60,95", *more], overwrite=True, on_event=seen.append
        )
    assert not [e for e in seen if getattr(e, "stage", "") == "scan"]
    assert open_clip(str(two)).info.frames == 10


def test_tidy_leaves_a_hole_where_nothing_may_be_filled() -> None:
    mask, kept_out = np.zeros((60, 80), np.uint8), np.zeros((60, 80), bool)
    mask[10:50, 10:70] = 255
    mask[20:23, 20:23] = mask[20:23, 40:43] = 0
    kept_out[21, 41] = True
    found = tidy(mask, kept_out)
    assert found[21, 21] > 127
    assert found[21, 41] < 128


def test_closing_in_time_leaves_what_a_negative_point_keeps_out() -> None:
    grays = {t: cv2.cvtColor(red_disc(t, *SIZE), cv2.COLOR_RGB2GRAY) for t in (4, 5, 6)}
    masks = {t: truth(t).astype(np.float32) for t in (4, 5, 6)}
    masks[5][90:100, 95:105] = -1
    assert (close_in_time(masks, grays, 5)[90:100, 95:105] < 0).all()
