"""Background model and what moves with an object: the camera's path, plates, light, other movers."""

import cv2
import numpy as np
import pytest

from support.disc import FRAMES, RADIUS, SIZE, centre, red_disc, view
from vremove_cli.geometry import Array
from vremove_cli.tracking.flow.background_model import BackgroundModel
from vremove_cli.tracking.flow.camera_path import find_camera_path
from vremove_cli.tracking.flow.object_motion import object_evidence

_RNG = np.random.default_rng(5)
_STRIPES = cv2.resize(_RNG.uniform(20, 235, (90, 160, 3)).astype(np.float32), SIZE, interpolation=cv2.INTER_CUBIC)


def still(t: int) -> Array:
    """A disc that crosses the ground, before a camera that stands still, with grain."""
    grain = np.random.default_rng(t).normal(0, 2, (*SIZE[::-1], 3))
    picture = cv2.circle(view(0, *SIZE).copy(), centre(t), RADIUS, (225, 40, 30), -1)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def box_at(x: int, width: int) -> Array:
    """A part of the picture (h, w) bool between two heights."""
    out = np.zeros(SIZE[::-1], bool)
    out[60:120, max(0, x) : max(0, x + width)] = True
    return out


def test_a_camera_that_stands_still_has_exactly_the_identity() -> None:
    path = find_camera_path({t: still(t) for t in range(FRAMES)})
    assert all((path.motion(0, t) == np.eye(3)).all() for t in range(FRAMES))


def test_a_pan_is_measured_without_drift() -> None:
    path = find_camera_path({t: red_disc(t, *SIZE) for t in range(FRAMES)})
    moved = path.motion(0, FRAMES - 1) @ [160, 90, 1]
    assert moved[:2] == pytest.approx([160 - 2 * (FRAMES - 1), 90], abs=0.3)


def test_frames_that_cannot_be_aligned_are_a_group_of_their_own() -> None:
    frames = {t: view(0, *SIZE) if t < 6 else np.clip(_STRIPES, 0, 255).astype(np.uint8) for t in range(12)}
    group = find_camera_path(frames).group
    assert len({group[t] for t in range(6)}) == 1
    assert group[0] != group[6]


def test_background_is_found_where_something_covers_it_most_of_the_time() -> None:
    """A textured slab covers a place in 13 of 24 frames, so that the median there is the slab."""

    def passing(t: int) -> Array:
        out, slab = view(0, *SIZE).copy(), box_at(12 * t - 150, 150)
        shifted = np.roll(_STRIPES, 12 * t, axis=1)
        out[slab] = np.clip(shifted[slab], 0, 255).astype(np.uint8)
        return out

    seen = BackgroundModel({t: passing(t) for t in range(FRAMES)}).evidence(12)
    slab = box_at(12 * 12 - 150, 150)
    assert (seen.motion[slab] > 0).mean() > 0.9
    assert (seen.motion[~slab] > 0).mean() < 0.05


def test_a_bright_thing_on_a_plain_ground_is_not_light() -> None:
    def white(t: int) -> Array:
        ground = np.full((*SIZE[::-1], 3), 120, np.uint8)
        ground[130:] = view(0, *SIZE)[130:]
        return cv2.circle(ground, centre(t), RADIUS, (230, 230, 230), -1)

    seen = BackgroundModel({t: white(t) for t in range(FRAMES)}).evidence(8)
    inside = cv2.circle(np.zeros(SIZE[::-1], np.uint8), centre(8), RADIUS - 3, 1, -1) > 0
    assert (seen.illumination[inside] > 0).mean() < 0.1
    assert seen.motion[inside].mean() > 0.5


def test_what_moves_otherwise_is_no_foreground_for_an_object() -> None:
    """Two boards of one colour touch on the first frame, and go apart."""

    def apart(t: int) -> Array:
        out = view(0, *SIZE).copy()
        out[box_at(100 - 3 * t, 60) | box_at(160 + 3 * t, 60)] = (200, 40, 40)
        return out

    model = BackgroundModel({t: apart(t) for t in range(FRAMES)})
    seed = np.zeros(SIZE[::-1], bool)
    seed[70:110, 102:125] = True
    evidence = object_evidence(model, 0, seed)
    left, right = box_at(104, 40), box_at(176, 40)
    assert evidence.motion[left].mean() > 0.3
    assert evidence.motion[right].mean() < -0.3


def test_an_object_that_stands_still_has_the_frames_own_evidence() -> None:
    model = BackgroundModel({t: still(t) for t in range(FRAMES)})
    seed = np.zeros(SIZE[::-1], bool)
    seed[20:40, 20:40] = True
    assert np.array_equal(object_evidence(model, 3, seed).motion, model.evidence(3).motion)
