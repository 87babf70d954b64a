"""Masks: overlap, surroundings, connected components, against slow definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vremove_cli.arrays import (
    dilate_square,
    iou,
    keep_components,
    large_components,
    overlapping_components,
    ring,
    split_largest_component,
)
from vremove_cli.geometry import Array

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))
PAIRS = array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
    lambda shape: st.tuples(arrays(bool, shape), arrays(bool, shape))
)


def components(mask: Array, neighbours: int = 8) -> list[Array]:
    """Flood fill: the components of a mask in raster order."""
    left, found = mask.copy(), []
    while left.any():
        part, stack = np.zeros_like(mask), [tuple(int(v) for v in np.argwhere(left)[0])]
        while stack:
            row, column = stack.pop()
            if not (0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]) or not left[row, column]:
                continue
            left[row, column], part[row, column] = False, True
            around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if neighbours == 8 or dx == 0 or dy == 0]
            stack += [(row + dy, column + dx) for dy, dx in around]
        found.append(part)
    return found


def union(parts: list[Array], shape: tuple[int, ...]) -> Array:
    return np.any([np.zeros(shape, bool), *parts], axis=0)


@given(PAIRS)
def test_iou_is_the_share_of_common_pixels(pair: tuple[Array, Array]) -> None:
    a, b = pair
    both, either = int((a & b).sum()), int((a | b).sum())
    assert iou(a, b) == iou(b, a) == (both / either if either else 1.0)
    assert iou(a, a) == 1.0


def test_two_empty_masks_are_equal() -> None:
    assert iou(np.zeros((3, 4), bool), np.zeros((3, 4), bool)) == 1.0


@given(MASKS, st.integers(0, 4))
def test_a_ring_is_all_that_is_near_and_outside(mask: Array, px: int) -> None:
    expected = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        expected[max(0, row - px) : row + px + 1, max(0, column - px) : column + px + 1] = True
    assert np.array_equal(dilate_square(mask, px), expected)
    assert np.array_equal(ring(mask, px), expected & ~mask)


@given(MASKS, st.integers(1, 9), st.sampled_from([4, 8]))
def test_components_are_kept_by_area(mask: Array, least: int, neighbours: int) -> None:
    expected = union([c for c in components(mask, neighbours) if c.sum() >= least], mask.shape)
    found = keep_components(mask, lambda _, areas: areas >= least, connectivity=neighbours)  # type: ignore[arg-type]
    assert found.dtype == bool
    assert np.array_equal(found, expected)
    if neighbours == 8:
        assert np.array_equal(large_components(mask, least), expected)


@given(MASKS)
def test_the_background_is_never_kept(mask: Array) -> None:
    assert np.array_equal(keep_components(mask, lambda _, areas: np.ones(len(areas), bool)), mask)
    assert not keep_components(mask, lambda _, areas: np.zeros(len(areas), bool)).any()


@given(PAIRS)
def test_components_are_kept_by_overlap(pair: tuple[Array, Array]) -> None:
    mask, other = pair
    expected = union([c for c in components(mask) if (c & other).any()], mask.shape)
    assert np.array_equal(overlapping_components(mask, other), expected)


@given(MASKS)
def test_the_largest_component_and_the_others_make_the_mask(mask: Array) -> None:
    largest, others = split_largest_component(mask)
    areas = [int(c.sum()) for c in components(mask)]
    assert int(largest.sum()) == max(areas, default=0)
    assert sorted([int(o.sum()) for o in others] + ([int(largest.sum())] if areas else [])) == sorted(areas)
    assert np.array_equal(union([largest, *others], mask.shape), mask)


@pytest.mark.parametrize("first", [0, 3])
def test_of_equally_large_components_the_first_is_the_largest(first: int) -> None:
    mask = np.zeros((5, 5), bool)
    mask[first, first] = mask[4, 4 - first] = mask[0, 4] = True
    largest, _ = split_largest_component(mask)
    assert np.argwhere(largest).tolist() == [np.argwhere(mask).tolist()[0]]
