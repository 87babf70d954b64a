"""What no frame shows is continued from its surroundings: patterns, edges and grain, in the clip's own samples."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vremove_cli.geometry import Placed
from vremove_cli.media.pixel_format import layout_of
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.heal import heal, seen_by_heal

GRAY = layout_of("gray")


def bricks(height: int = 160, width: int = 200) -> np.ndarray:
    """A wall of bricks of 20x10 pixels with light joints, each row moved by half a brick."""
    y, x = np.mgrid[:height, :width]
    joint = (y % 10 < 2) | ((x + y // 10 % 2 * 10) % 20 < 2)
    return np.where(joint, 190, 90).astype(np.uint8)


def ellipse(shape: tuple[int, int], centre: tuple[int, int], axes: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, np.uint8)
    cv2.ellipse(out, centre, axes, 0, 0, 360, 1, -1)
    return out > 0


def healed(picture: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """A gray picture with a gap that is black before it is filled."""
    holed = np.where(gap, 0, picture).astype(np.uint8)
    return heal((holed,), GRAY, holed, gap)[0]


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    error = ((a.astype(float) - b)[where] ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def test_bricks_go_on_in_step() -> None:
    wall = bricks()
    gap = ellipse(wall.shape, (100, 80), (30, 26))
    smooth = laplace_fill(wall.astype(np.float32), gap)
    assert psnr(healed(wall, gap), wall, gap) > psnr(smooth, wall, gap) + 10


@pytest.mark.parametrize("slope", [0.0, 0.25, -0.6])
def test_a_straight_edge_stays_straight(slope: float) -> None:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:140, :200]
    edge = 70 + slope * (x - 100)
    picture = (np.clip(y - edge + 0.5, 0, 1) * 100 + 60 + rng.normal(0, 1.5, y.shape)).astype(np.uint8)
    gap = ellipse(picture.shape, (100, 70), (26, 26))
    found = (healed(picture, gap) < 110).sum(axis=0)
    assert np.abs(found - edge[0])[78:123].max() <= 3


def test_grain_is_not_smoothed_away() -> None:
    rng = np.random.default_rng(3)
    grain = np.clip(120 + rng.normal(0, 12, (140, 160)), 0, 255).astype(np.uint8)
    gap = ellipse(grain.shape, (80, 70), (24, 24))
    assert healed(grain, gap)[gap].std() > 0.7 * grain.std()


def test_a_neighbour_is_not_pasted_in() -> None:
    rng = np.random.default_rng(4)
    plain = np.clip(150 + rng.normal(0, 2, (160, 220)), 0, 255).astype(np.uint8)
    cv2.circle(plain, (165, 80), 18, 30, -1)
    gap = ellipse(plain.shape, (90, 80), (24, 30))
    assert healed(plain, gap)[gap].min() > 130


def test_ten_bits_stay_ten_bits_and_the_rest_stays_as_it_is() -> None:
    wall = bricks().astype(np.uint16)
    layout = layout_of("yuv420p10le")
    luma = (wall * 4 + 1).astype("<u2")  # no code that 8 bits could hold
    chroma = tuple(np.full((80, 100), code, "<u2") for code in (509, 515))
    gap = ellipse(wall.shape, (100, 80), (30, 26))
    holed = np.where(gap, 0, luma).astype("<u2")
    out = heal((holed, *chroma), layout, (holed >> 2).astype(np.uint8), gap)
    assert [plane.dtype for plane in out] == [np.dtype("<u2")] * 3
    assert (out[0][~gap] == luma[~gap]).all()
    assert (out[1] == 509).all()
    assert (out[2] == 515).all()
    assert (np.abs(out[0].astype(int) - luma)[gap] <= 1).mean() > 0.9


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "rgb24", "gray"])
def test_a_gap_at_the_corner_of_a_frame_of_odd_size_is_filled(pixel_format: str) -> None:
    wall = bricks(101, 131)
    layout = layout_of(pixel_format)
    planes = tuple(wall[:: 1 << c.sub_y, :: 1 << c.sub_x].copy() for c in layout.components)
    gap = np.zeros(wall.shape, bool)
    gap[70:, 95:] = True
    out = heal(planes, layout, wall, gap)
    assert [plane.shape for plane in out] == [plane.shape for plane in planes]
    assert (out[0][~gap] == wall[~gap]).all()
    assert psnr(out[0], wall, gap) > 15


@pytest.mark.parametrize("left", [1, 4, 9])
def test_a_gap_over_nearly_all_takes_the_colour_that_is_left(left: int) -> None:
    picture = np.full((60, 80), 77, np.uint8)
    gap = np.ones(picture.shape, bool)
    gap[:, :left] = False
    assert np.abs(healed(picture, gap).astype(int) - 77).max() <= 1


def test_a_gap_over_the_whole_frame_becomes_gray() -> None:
    assert (healed(np.zeros((20, 30), np.uint8), np.ones((20, 30), bool)) == 128).all()


def test_no_gap_changes_nothing() -> None:
    wall = bricks()
    assert (healed(wall, np.zeros(wall.shape, bool)) == wall).all()


def test_the_same_picture_gives_the_same_result() -> None:
    rng = np.random.default_rng(6)
    picture = cv2.GaussianBlur(rng.integers(0, 256, (120, 150)).astype(np.uint8), (0, 0), 2)
    gap = ellipse(picture.shape, (70, 60), (25, 20))
    assert (healed(picture, gap) == healed(picture, gap)).all()


def test_what_a_gap_holds_does_not_count() -> None:
    wall = bricks()
    gap = ellipse(wall.shape, (100, 80), (30, 26))
    a, b = (
        heal((np.where(gap, v, wall).astype(np.uint8),), GRAY, np.where(gap, v, wall).astype(np.uint8), gap)[0]
        for v in (0, 255)
    )
    assert (a == b).all()


def test_two_gaps_are_not_copied_into_each_other() -> None:
    wall = bricks()
    gap = ellipse(wall.shape, (60, 80), (18, 18)) | ellipse(wall.shape, (130, 80), (18, 18))
    assert psnr(healed(wall, gap), wall, gap) > 20


def test_a_long_strip_along_the_border_is_filled() -> None:
    """Halved until it is small, it lies so near to the border that no whole patch has its middle on its rim."""
    wall = bricks(120, 900)
    gap = np.zeros(wall.shape, bool)
    gap[:6, 100:700] = True
    assert psnr(healed(wall, gap), wall, gap) > 10


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(8, 60),
    width=st.integers(8, 60),
    boxes=st.lists(st.tuples(*[st.integers(0, 60)] * 4), min_size=1, max_size=3),
)
def test_no_shape_of_gap_fails_or_changes_the_rest(
    height: int, width: int, boxes: list[tuple[int, int, int, int]]
) -> None:
    wall = bricks(height, width)
    gap = np.zeros(wall.shape, bool)
    for x, y, w, h in boxes:
        gap[y : y + h, x : x + w] = True
    assert (healed(wall, gap)[~gap] == wall[~gap]).all()


@pytest.mark.parametrize("name", ["gray", "yuv420p"])
@pytest.mark.parametrize("corner", [(150, 90), (0, 0), (361, 221)])
def test_a_gap_is_healed_alike_in_the_frame_and_on_what_is_seen_of_it(name: str, corner: tuple[int, int]) -> None:
    layout, rng = layout_of(name), np.random.default_rng(5)
    size = (401, 261)
    shapes = [(-(-size[1] >> c.sub_y), -(-size[0] >> c.sub_x)) for c in layout.components]
    planes = tuple(rng.integers(60, 190, shape).astype(np.uint8) for shape in shapes)
    gaps = np.zeros(size[::-1], bool)
    gaps[corner[1] : corner[1] + 40, corner[0] : corner[0] + 40] = True
    gaps[corner[1] + 10 : corner[1] + 14, max(0, corner[0] - 30) : corner[0]] = True
    near = seen_by_heal(Placed.tight(gaps.astype(np.uint8)), layout, size)
    parts = tuple(p[near.scale(c.sub_x, c.sub_y).slices] for p, c in zip(planes, layout.components, strict=True))
    whole = heal(planes, layout, planes[0], gaps)
    for frame, part, component in zip(
        whole, heal(parts, layout, parts[0], gaps[near.slices]), layout.components, strict=True
    ):
        np.testing.assert_array_equal(frame[near.scale(component.sub_x, component.sub_y).slices], part)
    assert near.width < size[0]
