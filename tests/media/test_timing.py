"""Prompts, times and windows: pure functions, checked on whatever hypothesis finds."""

from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vremove_cli.errors import UsageError
from vremove_cli.frame_ranges import FrameRange, segments, shot_context, spread_evenly
from vremove_cli.geometry import Box, Crops, Orientation
from vremove_cli.media.timing import FrameTimes, TimeList, are_fields, lost_times, repaired
from vremove_cli.prompts import Prompt, When, parse_prompt, parse_when

decimals = st.integers(0, 10_000).map(lambda n: Fraction(n, 10)) | st.integers(0, 4000).map(Fraction)
moments = st.one_of(
    st.integers(0, 100_000).map(lambda n: When("frame", Fraction(n))),
    st.integers(0, 100_000).map(lambda n: When("file", Fraction(n))),
    st.integers(0, 1_000_000).map(lambda n: When("seconds", Fraction(n, 1000))),
)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True) | st.just("")


@given(when=moments)
def test_a_moment_prints_as_it_parses(when: When) -> None:
    assert parse_when(str(when)) == when


@given(x=decimals, y=decimals, when=moments | st.none(), name=names, positive=st.booleans())
def test_a_point_prints_as_it_parses(x: Fraction, y: Fraction, when: When | None, name: str, positive: bool) -> None:
    assume(max(x, y) > 1 or (x.denominator, y.denominator) == (1, 1))  # else it is taken for shares of the frame
    prompt = Prompt((x, y), when, name, positive)
    assert parse_prompt(str(prompt), "point", positive=positive) == prompt


@given(x=decimals, y=decimals, w=decimals.filter(bool), h=decimals.filter(bool), when=moments | st.none(), name=names)
def test_a_box_prints_as_it_parses(
    x: Fraction, y: Fraction, w: Fraction, h: Fraction, when: When | None, name: str
) -> None:
    assume(max(x + w, y + h) > 1)  # a box within the first pixel is taken for shares of the frame
    prompt = Prompt((x, y, x + w, y + h), when, name)
    assert parse_prompt(str(prompt), "box") == prompt


@given(text=st.text(max_size=30), kind=st.sampled_from(["point", "box"]))
def test_any_text_is_a_prompt_or_a_usage_error(text: str, kind: Literal["point", "box"]) -> None:
    try:
        prompt = parse_prompt(text, kind)
    except UsageError as error:
        assert error.advice  # noqa: PT017
    else:
        assert len(prompt.numbers) == (2 if kind == "point" else 4)


@pytest.mark.parametrize(("text", "seconds"), [("1:02.5", "62.5"), ("1:00:02", "3602"), ("4.5s", "4.5"), ("0s", "0")])
def test_times_of_day_are_seconds(text: str, seconds: str) -> None:
    assert parse_when(text) == When("seconds", Fraction(seconds))


@given(gaps=st.lists(st.integers(1, 500), min_size=1, max_size=60), start=st.integers(-1000, 1000), i=st.data())
def test_a_frames_own_time_names_it(gaps: list[int], start: int, i: st.DataObject) -> None:
    pts = [start]
    for gap in gaps:
        pts.append(pts[-1] + gap)
    times = FrameTimes(tuple(pts), Fraction(1, 1000), gaps[-1])
    k = i.draw(st.integers(0, len(pts) - 1))
    assert times.at(times.seconds(k)) == k
    assert times.at(times.seconds(k) + Fraction(1, 3000)) == k


@given(pts=st.lists(st.none() | st.integers(0, 200), min_size=1, max_size=50), step=st.integers(0, 40))
def test_repaired_times_increase(pts: list[int | None], step: int) -> None:
    out = repaired(pts, step)
    assert len(out) == len(pts)
    assert all(b > a for a, b in zip(out, out[1:], strict=False))


@given(
    frames=st.lists(st.none() | st.integers(-99, 99), max_size=30),
    packets=st.lists(st.integers(-99, 99), max_size=30),
)
def test_lost_times_are_those_of_packets_after_the_first_frame_without_a_frame(
    frames: list[int | None], packets: list[int]
) -> None:
    seen = {t for t in frames if t is not None}
    first = min(seen, default=0)
    lost = lost_times(TimeList(frames), TimeList(packets)).tolist()
    assert lost == sorted({p for p in packets if p > first} - seen)
    assert list(TimeList(frames)) == frames


@given(gaps=st.lists(st.integers(2, 50), min_size=2, max_size=30), last=st.booleans())
def test_fields_take_turns_with_frames(gaps: list[int], last: bool) -> None:
    """As cameras write pictures of two fields: only one of two packets gives a frame."""
    frames = [sum(gaps[:i]) for i in range(len(gaps) + 1)]
    fields = [t + 1 for t in frames[: len(frames) if last else -1]]
    assert are_fields(TimeList(frames), lost_times(TimeList(frames), TimeList(fields)))
    one_gone = TimeList([*fields[:1], *fields[2:], frames[-1] + 9])
    assert not are_fields(TimeList(frames), lost_times(TimeList(frames), one_gone))


@given(count=st.integers(0, 5000), cuts=st.lists(st.integers(0, 5000), max_size=20), longest=st.integers(1, 300))
def test_segments_cover_every_frame_once_and_cross_no_cut(count: int, cuts: list[int], longest: int) -> None:
    runs = segments(count, cuts, longest)
    assert [t for a, b in runs for t in range(a, b)] == list(range(count))
    assert all(0 < b - a <= longest for a, b in runs)
    assert not any(a < c < b for a, b in runs for c in cuts)


@given(count=st.integers(1, 2000), cuts=st.lists(st.integers(1, 1999), max_size=9), reach=st.integers(0, 90))
def test_context_holds_the_segment_and_stays_in_its_shot(count: int, cuts: list[int], reach: int) -> None:
    for run in segments(count, cuts, 100):
        low, high = shot_context(FrameRange(*run), count, cuts, reach)
        assert 0 <= low <= run[0] < run[1] <= high <= count
        assert run[0] - low <= reach
        assert high - run[1] <= reach
        assert not any(low < c < high for c in cuts if c < count)


@given(start=st.integers(0, 100), length=st.integers(1, 300), amount=st.integers(1, 12))
def test_evenly_spread_numbers_are_inside_and_include_the_ends(start: int, length: int, amount: int) -> None:
    out = spread_evenly(start, start + length, amount)
    assert out == sorted(set(out))
    assert out[0] == start
    assert len(out) <= amount
    assert amount == 1 or length == 1 or out[-1] == start + length - 1


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 900),
    st.integers(0, 900),
    st.integers(1, 200),
    st.integers(1, 200),
)


@given(many=st.lists(boxes, min_size=1, max_size=8))
def test_a_moving_crop_holds_every_box(many: list[Box]) -> None:
    crops = Crops.around(many)
    for i, box in enumerate(many):
        crop = crops.box(i)
        assert (crop.width, crop.height) == (crops.width, crops.height)
        assert crop.x0 <= box.x0
        assert crop.y0 <= box.y0
        assert crop.x1 >= box.x1
        assert crop.y1 >= box.y1
        assert crop.x0 % Crops.ALIGN == crop.y0 % Crops.ALIGN == 0


@given(
    turn=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    data=st.data(),
)
def test_a_displayed_point_is_found_in_the_stored_picture(
    turn: tuple[bool, bool, bool], width: int, height: int, data: st.DataObject
) -> None:
    import numpy as np

    orientation = Orientation(*turn)
    stored = np.arange(width * height).reshape(height, width)
    shown = orientation.display(stored)
    assert shown.shape[::-1] == orientation.size(width, height)
    x = data.draw(st.integers(0, shown.shape[1] - 1))
    y = data.draw(st.integers(0, shown.shape[0] - 1))
    sx, sy = orientation.store_point(x, y, width, height)
    assert stored[int(sy), int(sx)] == shown[y, x]
    assert (orientation.store(shown) == stored).all()
