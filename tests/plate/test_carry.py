"""Keyframes that know the truth, carried to the other frames: what carrying alone adds or loses."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from support.clips import write_clip
from support.oracle_painter import NAME, OraclePainter, oracle_painter
from vremove_cli import erase
from vremove_cli.geometry import Box, Placed
from vremove_cli.media.read import open_clip
from vremove_cli.plate.carry import Coverage, FlowMotion, Keyframes
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Shot, Stage

SIZE = (160, 96)  # (width, height) in pixels
GROUND = (400, 96)
HOLE = Box(60, 30, 92, 70)  # the object in frame 0
FRAMES = 12

Draw = Callable[[int], np.ndarray]


def ground() -> np.ndarray:
    """A texture wider than the picture, (H, W, 3) uint8."""
    noise = np.random.default_rng(3).normal(128, 70, (GROUND[1], GROUND[0], 3)).astype(np.float32)
    return np.clip((cv2.GaussianBlur(noise, (0, 0), 2.5) - 128) * 2.5 + 128, 20, 235).astype(np.uint8)


def empty(t: int, speed: int = 0) -> np.ndarray:
    """What the camera would see without the object; it pans by `speed` pixels a frame."""
    return ground()[:, 20 + speed * t : 20 + speed * t + SIZE[0]].copy()


def hole(t: int, speed: int = 0) -> np.ndarray:
    """The object, which stands on the ground, (H, W) uint8."""
    out = np.zeros(SIZE[::-1], np.uint8)
    box = HOLE.moved(-speed * t, 0).clip(*SIZE)
    out[box.slices] = 255
    return out


def write(folder: Path, name: str, draw: Draw, frames: int = FRAMES) -> Path:
    return write_clip(
        folder / name, codec="ffv1", pix_fmt="bgr0", size=SIZE, frames=frames, picture=lambda t, w, h: draw(t)
    )


def clips(folder: Path, truth: Draw, mask: Draw, frames: int = FRAMES) -> tuple[Path, Path, Path]:
    """The clip with the object, the truth, and the mask."""

    def source(t: int) -> np.ndarray:
        return np.where(mask(t)[..., None] > 0, np.array([40, 220, 60], np.uint8), truth(t)).astype(np.uint8)

    masks = write(folder, "mask.mkv", lambda t: np.repeat(mask(t)[..., None], 3, 2), frames)
    return write(folder, "clip.mkv", source, frames), write(folder, "truth.mkv", truth, frames), masks


def pictures(path: Path) -> np.ndarray:
    clip = open_clip(str(path))
    return np.stack([f.rgb8() for f in clip.frames(0, clip.info.frames)])


def carried(folder: Path, truth: Draw, mask: Draw, frames: int = FRAMES) -> tuple[np.ndarray, list[int]]:
    """The result of the oracle painter, and the keyframes that it painted."""
    clip, clean, masks = clips(folder, truth, mask, frames)
    with oracle_painter(clean):
        erase(str(clip), output=str(folder / "out.mkv"), mask=str(masks), remover=NAME, effects="off")
        return pictures(folder / "out.mkv"), list(OraclePainter.painted)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    error = float(np.square(a[where].astype(np.float32) - b[where]).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def test_one_keyframe_fills_a_shot_that_stands_still(tmp_path: Path) -> None:
    found, keys = carried(tmp_path, empty, hole)
    assert len(keys) == 1
    for t in range(FRAMES):
        assert psnr(found[t], empty(t), hole(t) > 0) > 45, t
        assert np.array_equal(found[t], found[0])  # it holds still


def test_the_fill_moves_as_the_background_does(tmp_path: Path) -> None:
    found, _ = carried(tmp_path, lambda t: empty(t, 3), lambda t: hole(t, 3))
    for t in range(FRAMES):
        assert psnr(found[t], empty(t, 3), hole(t, 3) > 0) > 34, t


def test_a_change_of_exposure_is_followed(tmp_path: Path) -> None:
    def dimmed(t: int) -> np.ndarray:
        return np.rint(empty(t) * (1 - 0.03 * t)).astype(np.uint8)

    found, _ = carried(tmp_path, dimmed, hole)
    assert min(psnr(found[t], dimmed(t), hole(t) > 0) for t in range(FRAMES)) > 36


def test_the_next_segment_goes_on_from_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vremove_cli.job import planner

    monkeypatch.setattr(planner, "PLATE_SEGMENT", 5)
    found, keys = carried(tmp_path, empty, hole)
    assert len(keys) == 1  # that of the first segment
    assert psnr(found[-1], empty(0), hole(0) > 0) > 45


def test_grain_goes_on_in_the_fill(tmp_path: Path) -> None:
    def grainy(t: int) -> np.ndarray:
        noise = np.random.default_rng(t).normal(0, 4, (*SIZE[::-1], 3))
        return np.clip(np.rint(empty(t) + noise), 0, 255).astype(np.uint8)

    found, _ = carried(tmp_path, grainy, hole)
    changes = np.abs(np.diff(found.astype(int), axis=0)).mean(axis=(0, 3))
    assert 0.85 < changes[hole(0) > 0].mean() / changes[hole(0) == 0].mean() < 1.1
    assert psnr(found, np.stack([grainy(t) for t in range(FRAMES)]), np.stack([hole(0) > 0] * FRAMES)) > 31.5


def test_who_walks_past_leaves_no_stain(tmp_path: Path) -> None:
    """Somebody in front of the hole's rim is not what lies behind the object."""

    def passing(t: int) -> np.ndarray:
        out = empty(t)
        x = 20 + 8 * t
        out[20:90, x : x + 14] = (250, 20, 200)
        return out

    def visible(t: int) -> np.ndarray:
        out = hole(t)
        x = 20 + 8 * t
        out[20:90, x : x + 14] = 0  # they hide the object
        return out

    found, _ = carried(tmp_path, passing, visible)
    for t in range(FRAMES):
        inside = cv2.erode(visible(t), np.ones((3, 3), np.uint8)) > 0
        assert psnr(found[t], passing(t), inside) > 30, t


def test_what_recovery_got_right_stays_when_the_object_leaves(tmp_path: Path) -> None:
    """An object that goes out over the edge is smaller there, and nothing covers it."""

    def leaving(t: int) -> np.ndarray:
        return hole(0, 0) if t == 0 else shifted(t)

    def shifted(t: int) -> np.ndarray:
        out = np.zeros(SIZE[::-1], np.uint8)
        out[HOLE.moved(9 * t, 0).clip(*SIZE).slices] = 255
        return out

    found, keys = carried(tmp_path, empty, leaving)
    assert keys == []
    assert min(psnr(found[t], empty(t), leaving(t) > 0) for t in range(FRAMES) if leaving(t).any()) > 40


def test_what_recovery_got_right_stays_when_the_object_grows(tmp_path: Path) -> None:
    """It stands free in the last frames, before which it was smaller all round."""

    def growing(t: int) -> np.ndarray:
        out = np.zeros(SIZE[::-1], np.uint8)
        side = 8 + 3 * t
        out[48 - side // 2 : 48 + side // 2, 70 - side // 2 : 70 + side // 2] = 255
        return out

    found, _ = carried(tmp_path, empty, growing)
    ring = [(growing(t) > 0) & (growing(0) == 0) for t in range(FRAMES)]
    assert min(psnr(found[t], empty(t), ring[t]) for t in range(2, FRAMES)) > 40


def test_a_clean_picture_of_the_users_is_not_painted_over(tmp_path: Path) -> None:
    clip, _, masks = clips(tmp_path, empty, hole)
    cv2.imwrite(str(tmp_path / "clean.png"), empty(5)[..., ::-1])
    undo = registry.register("colours", Colours)
    try:
        erase(str(clip), output=str(tmp_path / "out.mkv"), mask=str(masks), remover="colours", effects="off",
              reference=f"{tmp_path / 'clean.png'}@5")  # fmt: skip
    finally:
        undo()
    found = pictures(tmp_path / "out.mkv")
    assert min(psnr(found[t], empty(t), hole(t) > 0) for t in range(FRAMES)) > 35


def test_grain_does_not_grow_from_segment_to_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vremove_cli.job import planner

    def grainy(t: int) -> np.ndarray:
        noise = np.random.default_rng(t).normal(0, 6, (*SIZE[::-1], 3))
        return np.clip(np.rint(empty(t) + noise), 0, 255).astype(np.uint8)

    monkeypatch.setattr(planner, "PLATE_SEGMENT", 3)
    found, _ = carried(tmp_path, grainy, hole)
    noise = (found.astype(np.float32) - empty(0))[:, hole(0) > 0]
    assert noise[-3:].std() < 1.15 * noise[:3].std()


def test_a_segment_that_ends_behind_something_is_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On its last frame somebody covers the object fully."""
    from vremove_cli.job import planner

    def passing(t: int) -> np.ndarray:
        out = empty(t)
        if t == 5:
            out[:, 40:120] = (250, 20, 200)
        return out

    monkeypatch.setattr(planner, "PLATE_SEGMENT", 6)
    found, keys = carried(tmp_path, passing, lambda t: hole(t) * np.uint8(t != 5))
    assert len(keys) == 1
    assert psnr(found[8], found[4], hole(0) > 0) > 40


@pytest.mark.parametrize("level", [0, 255])
def test_a_flash_is_no_keyframe(tmp_path: Path, level: int) -> None:
    def flashing(t: int) -> np.ndarray:
        return np.full_like(empty(t), level) if t == 4 else empty(t)

    found, keys = carried(tmp_path, flashing, hole)
    assert 4 not in keys
    assert min(psnr(found[t], empty(t), hole(t) > 0) for t in range(FRAMES) if t != 4) > 35


class Colours:
    """Paints each keyframe in a colour of its own."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("colours", "Apache-2.0", "square", paints=True)
    seen: ClassVar[list[tuple[int, bool]]] = []

    def __init__(self, settings: Any) -> None:
        """Take no settings."""

    stages, size = OraclePainter.stages, OraclePainter.size

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        assert shot.agree is not None
        self.seen.append((shot.first, bool(shot.agree.any())))
        colour = np.random.default_rng(shot.first).random(3).astype(np.float32)
        return Fill(np.broadcast_to(colour, shot.frames.shape))


def test_a_later_keyframe_shows_what_an_earlier_one_does(tmp_path: Path) -> None:
    """The camera goes along, so that each keyframe reaches a part of the shot alone."""
    frames, speed = 30, 6
    clip, _, masks = clips(tmp_path, lambda t: empty(t, speed), lambda t: wide(t, speed), frames)
    Colours.seen.clear()
    undo = registry.register("colours", Colours)
    try:
        erase(str(clip), output=str(tmp_path / "out.mkv"), mask=str(masks), remover="colours", effects="off")
    finally:
        undo()
    assert len(Colours.seen) > 1
    assert not Colours.seen[0][1]
    found = pictures(tmp_path / "out.mkv").astype(np.float32)
    steps = [
        np.abs(found[t + 1][:, :-speed] - found[t][:, speed:])[wide(t, speed)[:, speed:] > 0].mean()
        for t in range(frames - 1)
    ]
    assert max(steps) < 12  # no keyframe's colour comes up at once


def wide(t: int, speed: int) -> np.ndarray:
    """An object that is longer than the picture: no frame shows what it hides."""
    out = np.zeros(SIZE[::-1], np.uint8)
    out[40:60] = 255
    return out


class Still:
    """No motion at all, between frames that see each other."""

    def __init__(self, reach: int) -> None:
        self._reach = reach

    def locate(self, points: np.ndarray, t: int, key: int) -> tuple[np.ndarray, np.ndarray]:
        return points, np.full(len(points), abs(t - key) <= self._reach)

    exposed = FlowMotion.exposed


@pytest.mark.parametrize(("reach", "count"), [(100, 1), (5, 2), (2, 4)])
def test_there_are_as_many_keyframes_as_are_needed(tmp_path: Path, reach: int, count: int) -> None:
    info = open_clip(str(write(tmp_path, "clip.mkv", empty))).info
    gaps = {t: Placed(HOLE, np.full((HOLE.height, HOLE.width), 255, np.uint8)) for t in range(FRAMES)}
    coverage, keys = Coverage(Keyframes(info, Still(reach)), gaps), list[int]()
    while (key := coverage.next_keyframe(gaps)) is not None:
        keys.append(key)
        coverage.add(key, gaps[key])
    assert len(keys) >= count
    assert all(any(abs(t - key) <= reach for key in keys) for t in range(FRAMES))
