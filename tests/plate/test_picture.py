"""Colour, compositing and the plate's mathematics on arrays."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vremove_cli.compose import blend
from vremove_cli.geometry import Box
from vremove_cli.media.colour import Colour, from_rgb, to_rgb
from vremove_cli.media.pixel_format import layout_of
from vremove_cli.motion.laplace_fill import laplace_fill
from vremove_cli.plate.poisson import solve_poisson

FORMATS = [
    "yuv420p",
    "yuvj420p",
    "yuv422p10le",
    "yuv444p",
    "yuv420p12le",
    "gbrp",
    "rgb48be",
    "gray",
    "gray16le",
    "yuv411p",
    "yuv440p",
]


def smooth(rng: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    small = rng.uniform(0.1, 0.9, (height // 8 + 2, width // 8 + 2, channels)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(FORMATS), matrix=st.sampled_from([1, 5, 6, 7, 9]), full=st.booleans(), seed=st.integers(0, 99)
)
def test_components_survive_rgb(name: str, matrix: int, full: bool, seed: int) -> None:
    layout, tags = layout_of(name), Colour(matrix=matrix, range=2 if full else 1)
    rgb = np.clip(smooth(np.random.default_rng(seed), 32, 48, 3), 0, 1)
    parts = from_rgb(rgb, layout, tags, 480)
    again = from_rgb(to_rgb(parts, layout, tags, 480), layout, tags, 480)
    for a, b in zip(parts, again, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1 << max(0, layout.bits - 10)


@pytest.mark.parametrize(("matrix", "code"), [(1, "ITU709"), (6, "ITU601")])
def test_rgb_agrees_with_ffmpeg(matrix: int, code: str) -> None:
    import av

    rgb = (np.clip(smooth(np.random.default_rng(1), 64, 96, 3), 0, 1) * 255).astype(np.uint8)
    layout, tags = layout_of("yuv444p"), Colour(matrix=matrix, range=1)
    theirs = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv444p", dst_colorspace=code, dst_color_range=1)
    ours = from_rgb(rgb.astype(np.float32) / 255, layout, tags, 64)
    for a, plane in zip(ours, theirs.to_ndarray(), strict=True):
        assert np.abs(a.astype(int) - plane).max() <= 1


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["yuv420p", "yuv422p10le", "gray"]),
    seed=st.integers(0, 50),
    x=st.integers(-3, 5),
    y=st.integers(-3, 4),
)
def test_blend_leaves_alone_what_the_matte_does_not_cover(name: str, seed: int, x: int, y: int) -> None:
    layout, rng = layout_of(name), np.random.default_rng(seed)
    shapes = [(-(-30 >> c.sub_y), -(-44 >> c.sub_x)) for c in layout.components]
    planes = tuple(rng.integers(0, layout.peak, s).astype(layout.dtype) for s in shapes)
    before = tuple(p.copy() for p in planes)
    box = Box(x * 4, y * 4, x * 4 + 24, y * 4 + 24)
    matte = rng.choice([0, 0, 128, 255], (24, 24)).astype(np.uint8)
    fill = tuple(
        rng.integers(0, layout.peak, (-(-24 >> c.sub_y), -(-24 >> c.sub_x))).astype(layout.dtype)
        for c in layout.components
    )
    blend(planes, layout, box, fill, matte)
    full = np.zeros((30, 44), np.uint8)
    rows, columns = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
    inside = (rows >= 0) & (rows < 30) & (columns >= 0) & (columns < 44)
    full[rows[inside], columns[inside]] = matte[inside]
    for old, new, values, part in zip(before, planes, fill, layout.components, strict=True):
        padded = np.pad(full, ((0, -30 % (1 << part.sub_y)), (0, -44 % (1 << part.sub_x))))
        blocks = padded.reshape(
            padded.shape[0] >> part.sub_y, 1 << part.sub_y, padded.shape[1] >> part.sub_x, 1 << part.sub_x
        )
        untouched = blocks.max(axis=(1, 3)) == 0
        np.testing.assert_array_equal(old[untouched], new[untouched])
        wanted = np.zeros_like(old)
        for row, column in np.ndindex(values.shape):
            to = row + (box.y0 >> part.sub_y), column + (box.x0 >> part.sub_x)
            if 0 <= to[0] < old.shape[0] and 0 <= to[1] < old.shape[1]:
                wanted[to] = values[row, column]
        opaque = blocks.min(axis=(1, 3)) == 255
        np.testing.assert_array_equal(new[opaque], wanted[opaque])
        between = ~untouched & ~opaque
        assert (new[between] >= np.minimum(old, wanted)[between]).all()
        assert (new[between] <= np.maximum(old, wanted)[between]).all()


@settings(max_examples=25, deadline=None)
@given(height=st.integers(9, 70), width=st.integers(9, 70), seed=st.integers(0, 200))
def test_poisson_gives_back_the_picture_whose_gradients_it_gets(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture = rng.normal(0, 40, (2, height, width)).astype(np.float32).cumsum(axis=2) / 5
    hole = rng.random((height, width)) < 0.7
    hole[:, 0] = False
    grad_x, grad_y = np.zeros_like(picture), np.zeros_like(picture)
    grad_x[:, :, :-1], grad_y[:, :-1] = np.diff(picture, axis=2), np.diff(picture, axis=1)
    weight_x, weight_y = (rng.uniform(0.05, 1, hole.shape).astype(np.float32) for _ in range(2))
    out = solve_poisson(
        np.where(hole, 0, picture),
        hole,
        grad_x,
        grad_y,
        weight_x,
        weight_y,
        np.zeros(hole.shape, np.float32),
        tolerance=1e-5,
        sweeps=200,
    )
    assert np.abs(out - picture).max() < 0.5


def test_a_membrane_continues_a_ramp() -> None:
    ramp = np.tile(np.linspace(0, 10, 60, dtype=np.float32), (50, 1))[..., None]
    hole = np.zeros((50, 60), bool)
    hole[15:35, 20:40] = True
    assert np.abs(laplace_fill(np.where(hole[..., None], 0, ramp), hole) - ramp).max() < 0.6
