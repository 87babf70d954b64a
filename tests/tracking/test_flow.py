"""The interface of trackers, and the flow tracker on its own: states, evidence, prompts that restart."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.disc import SIZE, centre, drawn, red_disc, truth, view
from vremove_cli.arrays import iou
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.media.read import open_clip
from vremove_cli.tracking import base
from vremove_cli.tracking.base import ForegroundEvidence, ObjectPrompts, TrackerFrame, TrackerState
from vremove_cli.tracking.flow.appearance_model import AppearanceModel
from vremove_cli.tracking.flow.initial_mask import distance_to
from vremove_cli.tracking.flow.tracker import FlowTracker

POINT = ObjectPrompts(points=((60.0, 95.0),))


def frame_at(t: int, foreground: ForegroundEvidence | None = None) -> TrackerFrame:
    return TrackerFrame(t, red_disc(t, *SIZE), SIZE, SIZE, foreground)


def follow(last: int, *, stored: bool) -> tuple[list[Array], TrackerState]:
    """Masks of frames 0 to `last`; with `stored`, every state is a plain one made from arrays."""
    tracker, masks = FlowTracker(), []
    state, result = tracker.begin(frame_at(0), POINT)
    for t in range(1, last + 1):
        masks.append(result.mask)
        state, result = tracker.propagate(frame_at(t), TrackerState(dict(state.arrays)) if stored else state)
    return [*masks, result.mask], state


def test_the_interface_imports_no_tracker() -> None:
    tree = ast.parse(Path(base.__file__).read_text())
    imported = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    imported += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    assert not [name for name in imported if name.startswith("vremove_cli.tracking")]


def test_only_trackers_without_an_input_size_get_evidence(tmp_path: Path) -> None:
    info = open_clip(str(drawn(tmp_path, red_disc, frames=6))).info
    view = SegmentView(info, FrameRange(0, 6))
    assert all(frame.foreground is None for frame in view.frames(range(6), (64, 64)))
    assert all(frame.foreground is not None for frame in view.frames(range(6), None))


def test_a_stored_state_goes_on_as_if_it_had_not_been_stored() -> None:
    live, state = follow(5, stored=False)
    stored, other = follow(5, stored=True)
    assert all(np.array_equal(a, b) for a, b in zip(live, stored, strict=True))
    assert state.arrays.keys() == other.arrays.keys()
    assert all(np.array_equal(array, other.arrays[name]) for name, array in state.arrays.items())


def test_no_evidence_equals_evidence_of_nothing() -> None:
    tracker = FlowTracker()
    state, _ = tracker.begin(frame_at(0), POINT)
    _, without = tracker.propagate(frame_at(1), state)
    _, zeros = tracker.propagate(frame_at(1, ForegroundEvidence.zeros(9, 16)), state)
    assert np.array_equal(without.mask, zeros.mask)
    assert iou(without.mask > 0.5, truth(1)) > 0.9


@pytest.mark.parametrize(
    "prompts", [ObjectPrompts(boxes=((64.0, 71.0, 93.0, 120.0),)), ObjectPrompts(points=((300.0, 20.0),))]
)
def test_a_box_or_a_far_point_restarts_segmentation(prompts: ObjectPrompts) -> None:
    tracker = FlowTracker()
    state, _ = tracker.begin(frame_at(0), POINT)
    _, corrected = tracker.correct(frame_at(1), state, prompts)
    _, begun = tracker.begin(frame_at(1), prompts)
    assert np.array_equal(corrected.mask, begun.mask)


def test_a_point_on_the_mask_keeps_the_rest_of_it() -> None:
    tracker = FlowTracker()
    state, _ = tracker.begin(frame_at(0), POINT)
    x, y = centre(1)
    after, corrected = tracker.correct(frame_at(1), state, ObjectPrompts(points=((float(x), float(y)),)))
    assert iou(corrected.mask > 0.5, truth(1)) > 0.9
    assert not AppearanceModel.from_state(after).lost


def test_prompts_scale_with_the_picture() -> None:
    prompts = ObjectPrompts(((2.0, 4.0),), ((6.0, 8.0),), ((1.0, 2.0, 3.0, 4.0),)).scaled(0.5)
    assert prompts == ObjectPrompts(((1.0, 2.0),), ((3.0, 4.0),), ((0.5, 1.0, 1.5, 2.0),))


def test_evidence_is_reliable_where_the_object_differs() -> None:
    evidence = ForegroundEvidence.zeros(*SIZE[::-1])
    assert evidence.reliability(truth(0)) == 0.0
    evidence.difference[truth(0)] = 2.0
    assert evidence.reliability(truth(0)) == 0.5
    assert evidence.reliability(np.zeros_like(truth(0))) == 0.0
    assert evidence.resized(32, 18).motion.shape == (18, 32)


def test_the_object_is_absent_once_it_leaves() -> None:
    tracker = FlowTracker()
    state, _ = tracker.begin(frame_at(0), POINT)
    empty = TrackerFrame(1, np.full((*SIZE[::-1], 3), 90, np.uint8), SIZE, SIZE)
    lost, result = tracker.propagate(empty, state)
    assert result.remark == base.ABSENT
    assert AppearanceModel.from_state(lost).lost
    _, again = tracker.propagate(frame_at(2), lost)
    assert again.remark == base.FOUND_AGAIN
    assert iou(again.mask > 0.5, truth(2)) > 0.9


def walker(t: int, width: int, height: int) -> Array:
    """A walker of three colours, who passes before a ground."""
    out, x = view(0, width, height).copy(), 40 + 6 * t
    out[walker_mask(t)] = (40, 60, 200)
    cv2.rectangle(out, (x - 12, 70), (x + 12, 110), (210, 190, 40), -1)
    cv2.circle(out, (x, 60), 10, (205, 160, 130), -1)
    return out


def walker_mask(t: int) -> Array:
    """The walker, (H, W) bool."""
    out, x = np.zeros(SIZE[::-1], np.uint8), 40 + 6 * t
    cv2.rectangle(out, (x - 12, 70), (x + 12, 110), 1, -1)
    cv2.circle(out, (x, 60), 10, 1, -1)
    cv2.rectangle(out, (x - 10, 110), (x + 10, 150), 1, -1)
    return out > 0


def test_one_point_gives_all_parts_that_move_as_one(tmp_path: Path) -> None:
    info = open_clip(str(drawn(tmp_path, walker))).info
    frame = next(iter(SegmentView(info, FrameRange(0, info.frames)).frames(range(1), None)))
    _, result = FlowTracker().begin(frame, ObjectPrompts(points=((40.0, 90.0),)))
    assert iou(result.mask > 0.5, walker_mask(0)) > 0.9


def test_a_negative_point_holds_on_the_following_frames() -> None:
    tracker = FlowTracker()
    state, _ = tracker.begin(frame_at(0), POINT)
    x, y = centre(1)
    state, result = tracker.correct(frame_at(1), state, ObjectPrompts(negative=((float(x), float(y)),)))
    for t in range(2, 6):
        state, result = tracker.propagate(frame_at(t), state)
        assert (result.mask[truth(t)] < 0).any()


def test_a_box_is_not_left_to_a_mask_of_a_few_pixels() -> None:
    """Masks that leave the box empty have no vote, however many agree."""
    rgb = np.full((*SIZE[::-1], 3), 120, np.uint8)
    cv2.rectangle(rgb, (100, 60), (160, 120), (125, 118, 120), -1)
    rgb[88:92, 128:132] = (255, 0, 0)
    _, result = FlowTracker().begin(
        TrackerFrame(0, rgb, SIZE, SIZE), ObjectPrompts(boxes=((100.0, 60.0, 161.0, 121.0),))
    )
    assert np.count_nonzero(result.mask > 0.5) > 0.5 * 61 * 61


@given(st.lists(st.tuples(st.floats(0, 39), st.floats(0, 29)), min_size=33, max_size=60))
def test_many_points_are_as_near_as_few(points: list[tuple[float, float]]) -> None:
    exact = np.minimum.reduce([distance_to((point,), (30, 40)) for point in points])
    assert np.abs(distance_to(tuple(points), (30, 40)) - exact).max() <= 0.75  # half a pixel's diagonal
