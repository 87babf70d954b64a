"""Pixelwise statistics over channels and stacks give what NumPy gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vremove_cli.motion.pixelwise import largest_channel, mean_channel, shown_first, smallest_channel, sorted_stack

NOTHING = np.iinfo(np.int16).max


def pictures(count: int, seed: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(-900, 900, (count, 4, 5, channels)).astype(np.int16)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), seed=st.integers(0, 1000))
def test_a_stack_is_sorted_pixel_by_pixel(count: int, seed: int) -> None:
    stack = pictures(count, seed)
    before = stack.copy()
    assert (sorted_stack(stack) == np.sort(stack, axis=0)).all()
    assert (stack == before).all()


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 20), seed=st.integers(0, 1000))
def test_what_is_hidden_comes_last(count: int, seed: int) -> None:
    stack = pictures(count, seed)
    shown = np.random.default_rng(seed).random(stack.shape[:3]) < 0.6
    expected = np.sort(np.where(shown[..., None], stack, np.int16(NOTHING)), axis=0)
    assert (shown_first(stack, shown) == expected).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_channels_are_combined(dtype: type) -> None:
    picture: np.ndarray = np.random.default_rng(0).integers(0, 255, (6, 7, 3)).astype(dtype)
    assert (largest_channel(picture) == picture.max(axis=2)).all()
    assert (smallest_channel(picture) == picture.min(axis=2)).all()
    assert np.abs(mean_channel(picture) - picture.mean(axis=2)).max() < 1e-3
