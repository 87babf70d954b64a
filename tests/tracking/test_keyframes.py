"""A costly tracker on keyframes, flow between them: with the truth, spoilt, in the costly tracker's place."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.disc import FRAMES, drawn, hidden_disc, iou, red_disc, truth
from support.oracle_tracker import OracleTracker
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.media.read import open_clip
from vremove_cli.tracking.base import ABSENT, ObjectPrompts, TrackerState, TrackResult
from vremove_cli.tracking.keyframes import KeyframedState, keyframes_of, track_every_frame, track_with_keyframes

POINT = ObjectPrompts(points=((60.0, 95.0),))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("disc"), red_disc)


def follow(
    path: Path, oracle: OracleTracker, every: int, prompts: Mapping[int, ObjectPrompts], order: range
) -> dict[int, TrackResult]:
    info = open_clip(str(path)).info
    view = SegmentView(info, FrameRange(0, info.frames))
    keys = keyframes_of(FrameRange(0, info.frames), min(prompts) if order.step > 0 else max(prompts), prompts, every)
    steps = track_with_keyframes(oracle, view.frame_pairs(order, keys, oracle.input_size), None, prompts)
    return {t: tracked for t, tracked, _ in steps}


def whole() -> dict[int, Array]:
    return {t: truth(t) for t in range(FRAMES)}


@pytest.mark.parametrize("every", [5, 15, 30])
def test_frames_between_keyframes_are_followed(clip: Path, every: int) -> None:
    found = follow(clip, OracleTracker(whole()), every, {0: POINT}, range(FRAMES))
    assert list(found) == list(range(FRAMES))
    assert all(iou(m.mask > 0.5, truth(t)) > 0.9 for t, m in found.items())


def test_the_costly_tracker_sees_keyframes_only(clip: Path) -> None:
    oracle = OracleTracker(whole())
    follow(clip, oracle, 8, {0: POINT}, range(FRAMES))
    assert oracle.asked == [0, 7, 15, 23]


def test_the_way_back_is_followed_too(clip: Path) -> None:
    found = follow(clip, OracleTracker(whole()), 10, {FRAMES - 1: POINT}, range(FRAMES - 1, -1, -1))
    assert list(found) == list(range(FRAMES - 1, -1, -1))
    assert all(iou(m.mask > 0.5, truth(t)) > 0.9 for t, m in found.items())


def test_nothing_is_found_between_two_keyframes_without_the_object(tmp_path: Path) -> None:
    masks = whole()
    for mask in masks.values():
        mask[:, 120:215] = False
    found = follow(drawn(tmp_path, hidden_disc), OracleTracker(masks), 3, {0: POINT}, range(FRAMES))
    assert found[13].remark == ABSENT
    assert not (found[13].mask > 0.5).any()
    assert iou(found[21].mask > 0.5, masks[21]) > 0.8


def test_a_given_mask_is_the_mask_of_its_frame_and_is_followed_between_keyframes(clip: Path) -> None:
    info = open_clip(str(clip)).info
    view, oracle = SegmentView(info, FrameRange(0, info.frames)), OracleTracker(whole())
    given = truth(0).astype(np.float32)
    prompts = {0: ObjectPrompts(mask="key.png")}
    keys = keyframes_of(FrameRange(0, info.frames), 0, prompts, 8)
    pairs = view.frame_pairs(range(FRAMES), keys, oracle.input_size)
    found = {t: m for t, m, _ in track_with_keyframes(oracle, pairs, None, prompts, {"key.png": given})}
    assert np.array_equal(found[0].mask, given)
    assert oracle.asked == [7, 15, 23]
    assert all(iou(m.mask > 0.5, truth(t)) > 0.9 for t, m in found.items())


@pytest.mark.parametrize("shift", [4, 60])
def test_a_given_mask_of_something_else_than_was_followed_starts_anew(clip: Path, shift: int) -> None:
    info = open_clip(str(clip)).info
    view, oracle = SegmentView(info, FrameRange(0, info.frames)), OracleTracker(whole())
    given = np.roll(truth(3), shift, axis=1).astype(np.float32)
    prompts = {0: POINT, 3: ObjectPrompts(mask="key.png")}
    list(track_every_frame(oracle, view.frames(range(6), oracle.input_size), None, prompts, {"key.png": given}))
    assert oracle.anew == [shift == 60]


def test_a_stored_memory_goes_on_as_if_it_had_not_been_stored(clip: Path) -> None:
    info = open_clip(str(clip)).info
    view, oracle = SegmentView(info, FrameRange(0, info.frames)), OracleTracker(whole())
    keys = set(range(0, FRAMES, 6)) | {FRAMES - 1}
    first = list(track_with_keyframes(oracle, view.frame_pairs(range(13), keys, oracle.input_size), None, {0: POINT}))
    live = first[-1][2]
    assert isinstance(live, KeyframedState)
    masks = []
    for state in (live, TrackerState(dict(live.arrays))):
        rest = track_with_keyframes(oracle, view.frame_pairs(range(13, FRAMES), keys, oracle.input_size), state, {})
        masks.append([tracked.mask for _, tracked, _ in rest])
    assert all(np.array_equal(a, b) for a, b in zip(*masks, strict=True))


@given(
    start=st.integers(0, 50), length=st.integers(1, 80), origin=st.integers(0, 150), every=st.integers(2, 60),
    prompts=st.sets(st.integers(0, 150), max_size=4),
)  # fmt: skip
def test_keyframes_are_near_and_end_every_way(
    start: int, length: int, origin: int, every: int, prompts: set[int]
) -> None:
    run, given_here = (start, start + length), dict.fromkeys(prompts | {origin}, POINT)
    keys = keyframes_of(FrameRange(*run), origin, given_here, every)
    assert keys <= set(range(*run))
    assert {t for t in given_here if start <= t < run[1]} <= keys
    ahead = [t for t in range(*run) if t > origin]
    back = [t for t in range(*run) if t < origin]
    for way, last in ((ahead, run[1] - 1), (back, start)):
        if way:
            assert last in keys
            stops = sorted({origin, *(k for k in keys if k in way)}) if start <= origin < run[1] else sorted(keys)
            assert all(b - a <= every for a, b in zip(stops, stops[1:], strict=False))
