"""Frames are registered exactly: a still camera is the identity, a moving one is known to a part of a pixel."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from vremove_cli.geometry import Array
from vremove_cli.motion.mosaic import Canvas, median_mosaic
from vremove_cli.motion.registration import largest_shift, median_of_frames, register
from vremove_cli.motion.warp import project

WIDTH, HEIGHT, COUNT = 200, 120, 24
_RNG = np.random.default_rng(5)
WORLD = np.clip(
    cv2.resize(_RNG.uniform(60, 200, (60, 90, 3)).astype(np.float32), (360, 240), interpolation=cv2.INTER_CUBIC), 0, 255
)


def pose(t: int, camera: str) -> Array:
    """From the world's pixels to those of frame t, (3, 3)."""
    zoom = 1 + 0.01 * t if camera == "zoom" else 1.0
    x, y = {"still": (60.0, 50.0), "pan": (30 + 2.3 * t, 50.0), "zoom": (60.0, 50.0)}[camera]
    shake = (0.7 * np.sin(t), 0.5 * np.cos(2 * t)) if camera == "pan" else (0.0, 0.0)
    return np.array([[zoom, 0, -x * zoom + shake[0]], [0, zoom, -y * zoom + shake[1]], [0, 0, 1]])


def shot(camera: str, light: Callable[[int], float] = lambda t: 1.0, noise: float = 0) -> tuple[Array, Array]:
    """Frames (T, h, w, 3) uint8 and masks (T, h, w) bool of a black square that crosses the picture."""
    frames, masks = [], np.zeros((COUNT, HEIGHT, WIDTH), bool)
    rng = np.random.default_rng(1)
    for t in range(COUNT):
        view = cv2.warpPerspective(WORLD, pose(t, camera), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
        view = view * light(t) + noise * rng.standard_normal(view.shape)
        masks[t, 40:70, 20 + 5 * t : 50 + 5 * t] = True
        view[masks[t]] = 0
        frames.append(np.clip(np.rint(view), 0, 255).astype(np.uint8))
    return np.stack(frames), masks


def errors(homographies: Array, camera: str) -> Array:
    """Pixels by which the corners of the frames miss their true places, (T,)."""
    corners = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float64)
    middle = COUNT // 2
    out = []
    for t in range(COUNT):
        true = pose(t, camera) @ np.linalg.inv(pose(middle, camera))
        ours = homographies[t] @ np.linalg.inv(homographies[middle])
        out.append(float(np.abs(project(ours, corners) - project(true, corners)).max()))
    return np.array(out)


@pytest.mark.parametrize("noise", [0, 4])
def test_a_still_camera_is_exactly_the_identity(noise: float) -> None:
    found = register(*shot("still", noise=noise))
    assert found.still
    assert (found.homographies == np.eye(3)).all()


@pytest.mark.parametrize("camera", ["pan", "zoom"])
def test_a_moving_camera_is_known_to_a_part_of_a_pixel(camera: str) -> None:
    found = register(*shot(camera))
    assert not found.still
    assert found.aligned.all()
    assert errors(found.homographies, camera).max() < 0.2


def test_errors_of_the_chain_do_not_add_up() -> None:
    found = register(*shot("pan", noise=3))
    missed = errors(found.homographies, "pan")
    assert missed[[0, -1]].max() < 0.25


def test_the_exposure_of_every_frame_is_known() -> None:
    found = register(*shot("pan", light=lambda t: 1 + 0.1 * np.sin(t)))
    true = np.array([1 + 0.1 * np.sin(t) for t in range(COUNT)])
    assert np.abs(found.gains - true / np.median(true)).max() < 0.01


def test_frames_without_anything_in_common_are_not_aligned() -> None:
    frames = np.random.default_rng(2).integers(0, 255, (40, HEIGHT, WIDTH, 3)).astype(np.uint8)
    assert not register(frames, np.zeros(frames.shape[:3], bool)).aligned.any()


def test_a_registration_is_scaled_about_pixel_centres() -> None:
    found = register(*shot("pan"))
    point = np.array([[31.0, 17.0]])
    small = project(found.between(2, 20, (WIDTH, HEIGHT)), point)
    large = project(found.scaled(3).between(2, 20, (3 * WIDTH, 3 * HEIGHT)), point * 3 + 1)
    assert np.abs(large - (small * 3 + 1)).max() < 1e-3


def test_the_mosaic_shows_what_every_frame_hid_in_turn() -> None:
    frames, masks = shot("still")
    mosaic = median_of_frames(frames, ~masks, register(frames, masks))
    expected = cv2.warpPerspective(WORLD, pose(0, "still"), (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC)
    assert np.abs(mosaic.colour - expected).max() < 1
    assert mosaic.count.min() > 0


def test_pixels_that_no_frame_shows_have_no_count() -> None:
    frames, masks = shot("still")
    hidden = np.zeros_like(masks)
    hidden[:, 10:20, 10:20] = True
    mosaic = median_of_frames(frames, ~hidden, register(frames, hidden))
    assert (mosaic.count[10:20, 10:20] == 0).all()
    assert (mosaic.colour[10:20, 10:20] == 0).all()
    assert (mosaic.count[30:, 30:] > 0).all()


def test_a_shadow_that_covers_most_frames_gives_way_to_the_light_far_from_the_object() -> None:
    bright = np.full((20, 8, 8, 3), 200, np.uint8)
    bright[:14] = 90
    canvas = Canvas.around(np.stack([np.eye(3)] * 20), (8, 8))
    shown = {t: np.ones((8, 8), bool) for t in range(20)}
    distance = {t: np.full((8, 8), np.float32(t)) for t in range(20)}
    gains = np.ones(20)
    assert np.abs(median_mosaic(bright, shown, gains, canvas).colour - 90).max() < 1
    assert np.abs(median_mosaic(bright, shown, gains, canvas, distance).colour - 200).max() < 1


def test_a_mosaic_stays_within_bounds_however_far_the_camera_goes() -> None:
    far = np.stack([np.array([[1, 0, 500.0 * t], [0, 1, 0], [0, 0, 1]]) for t in range(9)])
    canvas = Canvas.around(far, (100, 60))
    assert canvas.size[0] <= 7 * 100
    assert canvas.size[1] <= 61


def test_a_horizon_in_the_picture_is_an_infinite_shift() -> None:
    assert largest_shift(np.array([[1, 0, 0], [0, 1, 0], [0, -1 / HEIGHT, 1.0]]), (WIDTH, HEIGHT)) == float("inf")
