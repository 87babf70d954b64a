"""Whose each difference is: the object's shadow and mirror image go with it, and others keep theirs."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.motion.mosaic import Canvas
from vremove_cli.motion.registration import register
from vremove_cli.plate.background import ShotBackground, model_background
from vremove_cli.plate.foreground import Foreground, another_thing
from vremove_cli.plate.movers import hidden_movers
from vremove_cli.plate.object_frame import ObjectFrame
from vremove_cli.plate.scene_model import BESIDE, HIDDEN, TOLD

WIDTH, HEIGHT, COUNT = 240, 140, 40
_RNG = np.random.default_rng(8)
FLOOR = np.clip(
    cv2.resize(_RNG.uniform(90, 190, (35, 60, 3)).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    + 8 * _RNG.standard_normal((HEIGHT, WIDTH, 1)), 10, 245,
).astype(np.float32)  # fmt: skip


def body(t: int) -> Array:
    """The object's mask: a box that goes right, four pixels a frame."""
    out = np.zeros((HEIGHT, WIDTH), bool)
    out[50:90, 20 + 4 * t : 44 + 4 * t] = True
    return out


def draw(paint: Callable[[Array, int], Array]) -> tuple[Array, Array]:
    """Frames with the object over what `paint` makes of the floor, and its masks."""
    frames = []
    for t in range(COUNT):
        picture = paint(FLOOR.copy(), t)
        rows, columns = np.nonzero(body(t))
        picture[body(t)] = np.stack([60 + rows % 9 * 15, 40 + columns % 7 * 20, 200 - rows], axis=1)
        frames.append(np.clip(np.rint(picture), 0, 255).astype(np.uint8))
    return np.stack(frames), np.stack([body(t) for t in range(COUNT)])


def model(paint: Callable[[Array, int], Array]) -> ShotBackground:
    frames, masks = draw(paint)
    return model_background(frames, masks, register(frames, masks), FrameRange(0, COUNT))


def shade(picture: Array, left: int, right: int, top: int = 90, bottom: int = 104, factor: float = 0.5) -> Array:
    picture[top:bottom, max(0, left) : max(0, right)] *= factor
    return picture


def covered(found: ShotBackground, left: Callable[[int], int], width: int) -> float:
    """Share of a strip below a moving thing that is taken for the object's effect, in the mean of the frames."""
    shares = [found.effects[t, 92:102, max(0, left(t)) : left(t) + width].mean() for t in range(4, COUNT - 4)]
    return float(np.mean(shares))


def test_a_hard_shadow_is_the_objects_on_every_frame() -> None:
    found = model(lambda p, t: shade(p, 20 + 4 * t, 44 + 4 * t))
    assert covered(found, lambda t: 22 + 4 * t, 20) > 0.97
    assert found.clear


def test_a_lamp_that_brightens_the_floor_goes_with_the_object() -> None:
    found = model(lambda p, t: shade(p, 20 + 4 * t, 44 + 4 * t, factor=1.25))
    assert covered(found, lambda t: 22 + 4 * t, 20) > 0.9


def test_a_mirror_image_goes_with_the_object() -> None:
    def mirrored(picture: Array, t: int) -> Array:
        part = np.zeros((40, 24, 3), np.float32)
        rows, columns = np.indices((40, 24))
        part[...] = np.stack(
            [60 + (89 - rows) % 9 * 15, 40 + (columns + 20 + 4 * t) % 7 * 20, 200 - (89 - rows)], axis=2
        )
        stop = min(WIDTH, 44 + 4 * t)
        region = picture[90:130, 20 + 4 * t : stop]
        region[...] = 0.65 * region + 0.35 * part[:, : stop - 20 - 4 * t]
        return picture

    found = model(mirrored)
    assert covered(found, lambda t: 22 + 4 * t, 20) > 0.9


def test_another_ones_shadow_stays() -> None:
    def with_other(picture: Array, t: int) -> Array:
        shade(picture, 20 + 4 * t, 44 + 4 * t)
        x = 200 - 4 * t
        shade(picture, x, x + 20, 120, 130)
        picture[100:120, max(0, x) : x + 20] = (220, 30, 30)
        return picture

    found = model(with_other)
    assert covered(found, lambda t: 22 + 4 * t, 20) > 0.8
    others = [found.effects[t, 121:129, max(0, 200 - 4 * t) : 218 - 4 * t].mean() for t in range(COUNT)]
    assert np.mean(others) < 0.05


def test_a_companion_keeps_its_own_shadow() -> None:
    def with_companion(picture: Array, t: int) -> Array:
        shade(picture, 20 + 4 * t, 44 + 4 * t)
        x = 60 + 4 * t
        shade(picture, x, x + 18)
        picture[60:90, x : x + 18] = (225, 40, 30)
        return picture

    found = model(with_companion)
    own, other = covered(found, lambda t: 22 + 4 * t, 16), covered(found, lambda t: 64 + 4 * t, 12)
    assert own > 0.7
    assert other < 0.2


def test_one_who_passes_behind_is_left_to_the_flow() -> None:
    def passing(picture: Array, t: int) -> Array:
        x = 200 - 5 * t
        picture[60:80, max(0, x) : max(0, x + 16)] = (230, 20, 20)
        return picture

    found = model(passing)
    frames = [t for t in range(COUNT) if 0 < 200 - 5 * t < WIDTH - 16]
    hidden = [body(t)[60:80, 200 - 5 * t : 216 - 5 * t] for t in frames]
    missed = [
        (inside & (found.told[t][60:80, 200 - 5 * t : 216 - 5 * t] == TOLD)).sum()
        for t, inside in zip(frames, hidden, strict=True)
    ]
    assert sum(missed) < 0.1 * sum(int(inside.sum()) for inside in hidden)
    assert (found.told[2] == TOLD).all()


@pytest.mark.parametrize(("nearer", "expected"), [(1.1, BESIDE), (1.0, TOLD)])
def test_what_stands_nearer_than_the_background_is_left_to_the_flow(nearer: float, expected: int) -> None:
    rng = np.random.default_rng(4)
    wide = cv2.resize(rng.uniform(60, 200, (20, 60, 3)).astype(np.float32), (2 * WIDTH, HEIGHT))
    board = cv2.resize(rng.uniform(20, 250, (8, 60, 3)).astype(np.float32), (4 * WIDTH, 40))

    def passed(_: Array, t: int) -> Array:
        picture = wide[:, 2 * t : 2 * t + WIDTH].copy()
        shift = np.array([[1, 0, -2 * nearer * t], [0, 1, 0]], np.float32)
        picture[50:90] = cv2.warpAffine(board, shift, (WIDTH, 40))
        return picture

    found = model(passed)
    inside = found.told[20][body(20)]
    assert (inside == expected).mean() > 0.9


def test_one_who_stood_there_for_most_of_the_shot_is_no_background() -> None:
    def leaving(picture: Array, t: int) -> Array:
        top = 10 if t < 26 else 10 - 6 * (t - 26)
        picture[max(0, top) : max(0, top + 24), 100:124] = (230, 20, 20)
        return picture

    found = model(leaving)
    assert (found.blocked[10, 14:30, 104:120] == HIDDEN).mean() > 0.9
    assert (found.blocked[36, 14:30, 104:120] == HIDDEN).mean() < 0.1


@pytest.mark.parametrize(("gap", "followed"), [(5, True), (30, False)])
def test_an_object_goes_on_while_it_is_hidden_for_a_short_time(gap: int, followed: bool) -> None:
    masks = np.stack([body(t) for t in range(COUNT)])
    masks[4 : 4 + gap] = False
    place = ObjectFrame.around(masks, Canvas.around(np.stack([np.eye(3)] * COUNT), (WIDTH, HEIGHT)))
    assert place is not None
    assert (6 in place.poses) == followed
    assert 6 not in place.shown
    if followed:
        assert place.view_mask(place.usual_shape(masks), 6)[body(6)].mean() > 0.8


def test_movers_and_the_object_are_no_background() -> None:
    found = model(lambda p, t: shade(p, 20 + 4 * t, 44 + 4 * t))
    assert (found.blocked[10][body(10)] == HIDDEN).all()
    assert (found.blocked[10][94:100, 62:82] == HIDDEN).all()
    assert (found.blocked[10][:40] == 0).all()


@pytest.mark.parametrize(("texture", "thing"), [(True, False), (False, True)])
def test_texture_kept_tells_a_shadow_from_a_dark_thing(texture: bool, thing: bool) -> None:
    picture = FLOOR.copy()
    picture[40:80, 60:120] *= 0.5
    if not texture:
        picture[40:80, 60:120] = picture[40:80, 60:120].mean(axis=(0, 1))
    known = np.ones((HEIGHT, WIDTH), bool)
    frame = np.clip(picture, 0, 255).astype(np.uint8)
    found = Foreground.of_frame(frame, FLOOR, known, known)
    other = another_thing(frame, FLOOR, found, 24.0)[46:74, 66:114]
    assert found.mask[46:74, 66:114].all()
    assert (other.mean() > 0.9) if thing else (other.mean() < 0.05)


def test_a_mover_that_vanishes_behind_goes_on_at_its_speed() -> None:
    movers, hidden = np.zeros((2, 12, 60, 100), bool)
    hidden[:, 20:40, 40:70] = True
    for t in range(12):
        movers[t, 25:35, 5 + 7 * t : 15 + 7 * t] = True
    movers &= ~hidden
    canvas = Canvas.around(np.stack([np.eye(3)] * 12), (100, 60))
    found = hidden_movers(movers, hidden, hidden, canvas)
    assert found[6, 27:33, 49:55].all()
    assert not found[1].any()
    assert not (found & ~hidden).any()
