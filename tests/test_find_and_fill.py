"""The tracker finds what is pointed at, and the plate brings back what the camera saw."""

import cv2
import numpy as np
import pytest
from clips import write_clip

from vremove_cli.masks.base import Clicks
from vremove_cli.masks.flow import FlowTracker
from vremove_cli.masks.morphology import auto_grow, grow, tidy
from vremove_cli.media.read import open_clip

SIZE, FRAMES = (320, 180), 24
RNG = np.random.default_rng(11)
GROUND = cv2.resize(RNG.uniform(60, 190, (60, 120, 3)).astype(np.float32), (640, 320), interpolation=cv2.INTER_CUBIC)


def view(t: int, width: int, height: int) -> np.ndarray:
    """The background under a camera that pans two pixels a frame."""
    return np.clip(GROUND[60 : 60 + height, 40 + 2 * t : 40 + 2 * t + width], 0, 255).astype(np.uint8)


def centre(t: int) -> tuple[int, int]:
    return 60 + 8 * t, 95


def red_disc(t: int, width: int, height: int) -> np.ndarray:
    out = view(t, width, height).copy()
    return cv2.circle(out, centre(t), 24, (225, 40, 30), -1)


def hidden_disc(t: int, width: int, height: int) -> np.ndarray:
    """The disc goes behind a post between frames 9 and 14."""
    out = red_disc(t, width, height)
    out[:, 120:215] = (40, 70, 60)
    return out


def truth(t: int) -> np.ndarray:
    return cv2.circle(np.zeros(SIZE[::-1], np.uint8), centre(t), 24, 255, -1) > 0


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.count_nonzero(a & b) / max(1, np.count_nonzero(a | b))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    place = tmp_path_factory.mktemp("disc")
    return write_clip(place / "disc.mkv", codec="ffv1", size=SIZE, frames=FRAMES, picture=red_disc)


def follow(path, clicks, frames):
    tracker, state, out = FlowTracker(), None, {}
    pictures = {f.index: f.rgb8() for f in open_clip(str(path)).frames()}
    for t in frames:
        if state is None:
            state, tracked = tracker.begin(pictures[t], clicks)
        else:
            state, tracked = tracker.step(pictures[t], state)
        out[t] = tracked
    return out


@pytest.mark.parametrize(
    "clicks", [Clicks(points=((60, 95),)), Clicks(boxes=((36, 71, 85, 120),))], ids=["point", "box"]
)
def test_the_object_is_followed(clip, clicks):
    found = follow(clip, clicks, range(FRAMES))
    assert all(iou(m.mask > 0, truth(t)) > 0.85 for t, m in found.items())


def test_it_is_followed_backwards(clip):
    found = follow(clip, Clicks(points=(centre(FRAMES - 1),)), range(FRAMES - 1, -1, -1))
    assert all(iou(m.mask > 0, truth(t)) > 0.85 for t, m in found.items())


def test_a_hidden_object_gives_no_mask(tmp_path):
    path = write_clip(tmp_path / "post.mkv", codec="ffv1", size=SIZE, frames=14, picture=hidden_disc)
    found = follow(path, Clicks(points=((60, 95),)), range(14))
    behind = [t for t in range(14) if 120 + 30 < centre(t)[0] < 215 - 30]
    assert behind
    assert all(np.count_nonzero(found[t].mask) < 0.1 * np.pi * 24**2 for t in behind)


def test_frames_where_it_was_lost_are_named(tmp_path, vremove):
    path = write_clip(tmp_path / "post.mkv", codec="ffv1", size=SIZE, frames=14, picture=hidden_disc)
    said = vremove("mask", path, "--point", "60,95", "-o", tmp_path / "m.mkv").stderr
    assert "are uncertain: look at the preview, and add a point or a box there" in said


def test_negative_points_keep_a_neighbour_out(tmp_path):
    def twins(t, width, height):
        out = red_disc(t, width, height)
        return cv2.circle(out, (centre(t)[0] + 52, 95), 24, (225, 40, 30), -1)

    path = write_clip(tmp_path / "twins.mkv", codec="ffv1", size=SIZE, frames=2, picture=twins)
    found = follow(path, Clicks(points=((60, 95),), negative=((112, 95),)), range(1))
    assert iou(found[0].mask > 0, truth(0)) > 0.8


def test_the_plate_brings_the_background_back(vremove, clip, tmp_path):
    done = vremove("erase", clip, "--point", "60,95", "-o", tmp_path / "out.mkv")
    assert done.status == 0
    errors = []
    for frame in open_clip(str(tmp_path / "out.mkv")).frames():
        error = frame.rgb8().astype(float) - view(frame.index, *SIZE)
        errors.append((error[truth(frame.index)] ** 2).mean())
    psnr = 10 * np.log10(255**2 / np.mean(errors))
    filled = [
        cv2.inpaint(red_disc(t, *SIZE), truth(t).astype(np.uint8) * 255, 5, cv2.INPAINT_TELEA) for t in range(FRAMES)
    ]
    telea = np.mean([((f.astype(float) - view(t, *SIZE))[truth(t)] ** 2).mean() for t, f in enumerate(filled)])
    assert psnr > 10 * np.log10(255**2 / telea) + 6


def test_segments_hand_the_object_on_in_both_directions(clip, tmp_path, monkeypatch):
    from vremove_cli import track
    from vremove_cli.job import plan as planning
    from vremove_cli.media.lossless import read_gray

    prompt = "@12:{},{}".format(*centre(12))
    track(str(clip), str(tmp_path / "whole.mkv"), points=[prompt])
    monkeypatch.setattr(planning, "LONGEST", 5)
    summary = track(str(clip), str(tmp_path / "pieces.mkv"), points=[prompt])
    assert summary.done == 5
    whole, pieces = (list(read_gray(tmp_path / f"{name}.mkv")) for name in ("whole", "pieces"))
    assert all((a == b).all() for a, b in zip(whole, pieces, strict=True))
    assert all(iou(m > 0, truth(t)) > 0.85 for t, m in enumerate(pieces))


def test_two_named_objects_are_both_erased(vremove, tmp_path):
    def two(t, width, height):
        return cv2.circle(red_disc(t, width, height), (250, 40 + 4 * t), 16, (30, 60, 230), -1)

    path = write_clip(tmp_path / "two.mkv", codec="ffv1", size=SIZE, frames=12, picture=two)
    done = vremove("erase", path, "--point", "ball=60,95", "--point", "dot=@0:250,40", "-o", tmp_path / "out.mkv")
    assert done.status == 0
    for frame in open_clip(str(tmp_path / "out.mkv")).frames():
        t, error = frame.index, np.abs(frame.rgb8().astype(int) - view(frame.index, *SIZE)).mean(axis=2)
        dot = cv2.circle(np.zeros(SIZE[::-1], np.uint8), (250, 40 + 4 * t), 16, 255, -1) > 0
        assert error[truth(t)].mean() < 12
        assert error[dot].mean() < 12


def test_tidy_fills_small_holes_and_drops_specks():
    mask = np.zeros((100, 100), np.uint8)
    cv2.circle(mask, (50, 50), 30, 255, -1)
    mask[48:51, 48:51] = 0
    mask[5, 5] = 255
    out = tidy(mask)
    assert out[49, 49] == 255
    assert out[5, 5] == 0


def test_grow_is_a_disc_and_auto_follows_size():
    mask = np.zeros((60, 60), np.uint8)
    mask[30, 30] = 255
    assert np.count_nonzero(grow(mask, 5)) == pytest.approx(np.pi * 5.5**2, rel=0.2)
    assert auto_grow(400, tracked=True) < auto_grow(90_000, tracked=True)
    assert auto_grow(8000, tracked=False) < auto_grow(8000, tracked=True)
