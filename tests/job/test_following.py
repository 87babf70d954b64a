"""What is pointed at is found and followed, in both directions; what is not there gets no mask; corrections stay."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vremove_cli
from support.clips import scene, write_sequence
from support.command import Vremove
from support.disc import FRAMES, SIZE, centre, drawn, handle, handled_disc, hidden_disc, iou, red_disc, truth, view
from vremove_cli.frame_ranges import FrameRange, segments
from vremove_cli.job import planner
from vremove_cli.job.render import Summary
from vremove_cli.job.segment_view import SegmentView
from vremove_cli.job.task_graph import tracking_tasks
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip
from vremove_cli.tracking.base import ABSENT, DOUBTFUL, NO_OBJECT, ObjectPrompts, TrackResult
from vremove_cli.tracking.flow.tracker import FlowTracker
from vremove_cli.tracking.keyframes import track_every_frame


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("disc"), red_disc)


def twins(t: int, width: int, height: int) -> np.ndarray:
    """Two discs of one colour that touch and stand still."""
    out = cv2.circle(view(0, width, height).copy(), (104, 95), 24, (225, 40, 30), -1)
    return cv2.circle(out, (60, 95), 24, (225, 40, 30), -1)


def follow(path: Path, clicks: ObjectPrompts, *, backward: bool = False) -> dict[int, TrackResult]:
    """What the tracker gives for every frame, from the first or the last one."""
    info = open_clip(str(path)).info
    view = SegmentView(info, FrameRange(0, info.frames))
    order = range(info.frames - 1, -1, -1) if backward else range(info.frames)
    steps = track_every_frame(FlowTracker(), view.frames(order, None), None, {order[0]: clicks})
    return {t: tracked for t, tracked, _ in steps}


def masks(path: Path | str) -> list[np.ndarray]:
    return [m > 127 for m in read_gray(Path(path))]


@pytest.mark.parametrize(
    "clicks", [ObjectPrompts(points=((60, 95),)), ObjectPrompts(boxes=((36, 71, 85, 120),))], ids=["point", "box"]
)
def test_the_object_is_followed(clip: Path, clicks: ObjectPrompts) -> None:
    assert all(iou(m.mask > 0.5, truth(t)) > 0.9 for t, m in follow(clip, clicks).items())


def test_it_is_followed_backwards(clip: Path) -> None:
    found = follow(clip, ObjectPrompts(points=(centre(FRAMES - 1),)), backward=True)
    assert all(iou(m.mask > 0.5, truth(t)) > 0.9 for t, m in found.items())


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drawn(tmp_path_factory.mktemp("turned"), lambda t, w, h: red_disc(FRAMES - 1 - t, w, h))


@settings(max_examples=3, deadline=None)
@given(dx=st.integers(-10, 10), dy=st.integers(-10, 10))
def test_a_reversed_clip_followed_backwards_gives_the_same_masks(clip: Path, turned: Path, dx: int, dy: int) -> None:
    clicks = ObjectPrompts(points=((60 + dx, 95 + dy),))
    forward, backward = follow(clip, clicks), follow(turned, clicks, backward=True)
    assert all(iou(forward[t].mask > 0.5, backward[FRAMES - 1 - t].mask > 0.5) > 0.9 for t in range(FRAMES))


def test_a_hidden_object_gives_no_mask_and_is_found_again(tmp_path: Path) -> None:
    found = follow(drawn(tmp_path, hidden_disc), ObjectPrompts(points=((60, 95),)))
    behind = [t for t in range(FRAMES) if 120 + 30 < centre(t)[0] < 215 - 30]
    assert behind
    assert all(found[t].remark == ABSENT and not (found[t].mask > 0.5).any() for t in behind)
    assert iou(found[FRAMES - 1].mask > 0.5, truth(FRAMES - 1)) > 0.8


def test_an_object_that_leaves_gives_no_mask(tmp_path: Path) -> None:
    path = drawn(tmp_path, lambda t, w, h: red_disc(t if t < 8 else 2 * t + 20, w, h), frames=16)
    found = follow(path, ObjectPrompts(points=((60, 95),)))
    assert not any((found[t].mask > 0.5).any() for t in range(9, 16))


def test_frames_where_it_was_lost_are_named(tmp_path: Path, vremove: Vremove) -> None:
    path = drawn(tmp_path, hidden_disc, frames=14)
    said = vremove("mask", path, "--point", "60,95", "-o", tmp_path / "m.mkv").stderr
    assert "not found in frames" in said
    assert "nothing is erased there" in said


def test_negative_points_keep_a_neighbour_out(tmp_path: Path) -> None:
    def couple(t: int, width: int, height: int) -> np.ndarray:
        return cv2.circle(red_disc(t, width, height), (centre(t)[0] + 52, 95), 24, (225, 40, 30), -1)

    found = follow(drawn(tmp_path, couple, frames=2), ObjectPrompts(points=((60, 95),), negative=((112, 95),)))
    assert iou(found[0].mask > 0.5, truth(0)) > 0.8


def test_a_neighbour_that_it_passes_does_not_stick(tmp_path: Path) -> None:
    def passing(t: int, width: int, height: int) -> np.ndarray:
        out = view(t, width, height).copy()
        cv2.circle(out, (190 - 2 * t, 110), 16, (215, 50, 40), -1)  # stands on the ground
        return cv2.circle(out, centre(t), 24, (225, 40, 30), -1)

    found = follow(drawn(tmp_path, passing), ObjectPrompts(points=((60, 95),)))
    assert iou(found[FRAMES - 1].mask > 0.5, truth(FRAMES - 1)) > 0.9


def test_segments_hand_the_object_on_in_both_directions(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "@12:{},{}".format(*centre(12))
    vremove_cli.mask(str(clip), str(tmp_path / "whole.mkv"), point=[prompt])
    monkeypatch.setattr(planner, "TRACK_SEGMENT", 5)
    summary = vremove_cli.mask(str(clip), str(tmp_path / "pieces.mkv"), point=[prompt])
    assert summary.done == 5
    whole, pieces = masks(tmp_path / "whole.mkv"), masks(tmp_path / "pieces.mkv")
    assert all(iou(a, b) > 0.98 for a, b in zip(whole, pieces, strict=True))
    assert all(iou(m, truth(t)) > 0.9 for t, m in enumerate(pieces))


@pytest.mark.parametrize("first", [6, 23], ids=["first of a segment", "last of the clip"])
def test_a_prompt_on_the_edge_of_a_segment_goes_both_ways(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setattr(planner, "TRACK_SEGMENT", 6)
    vremove_cli.mask(str(clip), str(tmp_path / "m.mkv"), point=["@{}:{},{}".format(first, *centre(first))])
    assert all(iou(m, truth(t)) > 0.9 for t, m in enumerate(masks(tmp_path / "m.mkv")))


Corrected = tuple[list[np.ndarray], list[np.ndarray], Summary, Path]


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Corrected:
    """The disc's mask without its bar, then with one more point, on the bar on frame 20; segments of six frames."""
    place = tmp_path_factory.mktemp("corrected")
    path, out = drawn(place, handled_disc), str(place / "m.mkv")
    x, y = centre(20)
    box, more = "36,71,85,120", f"@20:{x},{y - 45}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "TRACK_SEGMENT", 6)
        vremove_cli.mask(str(path), out, box=[box], not_point=["60,45"])
        before = masks(out)
        summary = vremove_cli.mask(str(path), out, box=[box], not_point=["60,45"], point=[more], overwrite=True)
    return before, masks(out), summary, place


def test_a_correction_brings_in_what_was_missing(
    corrected: Corrected,
) -> None:
    before, after, _, _ = corrected
    assert all(m[handle(t)].mean() < 0.3 for t, m in enumerate(before))
    assert after[20][handle(20)].mean() > 0.8
    assert after[23][handle(23)].mean() > 0.8
    assert all(iou(m, truth(t) | handle(t)) > 0.8 for t, m in enumerate(after) if t >= 20)


def test_a_correction_works_backwards_half_way_to_the_prompt_before(
    corrected: Corrected,
) -> None:
    _, after, _, _ = corrected
    assert all(after[t][handle(t)].mean() > 0.8 for t in range(11, 20))
    assert all(after[t][handle(t)].mean() < 0.3 for t in range(9))


def test_a_correction_leaves_the_work_of_earlier_segments(
    corrected: Corrected,
) -> None:
    _, _, summary, folder = corrected
    plan = json.loads((folder / "m.mkv.vremove" / "plan.json").read_text())
    kinds = [t["id"] for t in plan["tasks"] if t["kind"] in ("track", "backward_correction")]
    assert [k for k in kinds if k.startswith("correct")] == ["correct-object-0002", "correct-object-0001"]
    assert summary.reused == 3
    assert summary.done == len(kinds) - 3


def test_a_negative_point_takes_out_what_joined(tmp_path: Path) -> None:
    path = drawn(tmp_path, handled_disc)
    x, y = centre(10)
    wrong = str(tmp_path / "m.mkv")
    vremove_cli.mask(str(path), wrong, box=["36,30,85,120"], point=["60,45"])
    had = masks(wrong)
    vremove_cli.mask(
        str(path), wrong, box=["36,30,85,120"], point=["60,45"], not_point=[f"@10:{x},{y - 45}"], overwrite=True
    )
    now = masks(wrong)
    assert had[10][handle(10)].mean() > 0.8
    assert now[10][handle(10)].mean() < 0.3
    assert iou(now[20], truth(20)) > 0.85


def test_what_is_right_is_not_undone_by_a_later_prompt(clip: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "m.mkv")
    vremove_cli.mask(str(clip), out, point=["60,95"])
    before = masks(out)
    vremove_cli.mask(str(clip), out, point=["60,95", "@15:{},{}".format(*centre(15))], overwrite=True)
    after = masks(out)
    assert all((a == b).all() for a, b in zip(before[:11], after[:11], strict=True))
    assert all(iou(m, truth(t)) > 0.9 for t, m in enumerate(after))


def test_work_of_an_object_with_a_dot_in_its_name_is_reused(clip: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "m.mkv")
    vremove_cli.mask(str(clip), out, point=["a.b=60,95"])
    assert vremove_cli.mask(str(clip), out, point=["a.b=60,95", "c=60,95"], overwrite=True).reused == 1


def test_an_object_named_like_the_unnamed_one_is_refused(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    done = vremove("mask", clip, "--point", "60,95", "--point", "object=100,95", "-o", tmp_path / "m.mkv")
    assert done.status == 2
    assert "one object is named 'object' and one has no name" in done.stderr


def test_a_frame_more_in_a_sequence_is_noticed(tmp_path: Path) -> None:
    shot = write_sequence(tmp_path / "shot", frames=3, size=SIZE, picture=red_disc)
    vremove_cli.mask(str(shot), str(tmp_path / "m"), point=["60,95"])
    write_sequence(shot, frames=4, size=SIZE, picture=red_disc)
    assert vremove_cli.mask(str(shot), str(tmp_path / "m"), point=["60,95"], overwrite=True).frames == 4
    (shot / "shot.1004.png").unlink()
    assert vremove_cli.mask(str(shot), str(tmp_path / "m"), point=["60,95"], overwrite=True).frames == 3


def test_what_a_run_left_that_was_killed_while_it_cleared_up_is_not_taken(clip: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "m.mkv")
    vremove_cli.mask(str(clip), out, point=["60,95"])
    (tmp_path / "m.mkv.vremove" / "plan.json").unlink()
    assert vremove_cli.mask(str(clip), out, point=["62,95"], overwrite=True).reused == 0


def test_a_correction_that_lies_on_nothing_sure_is_said(clip: Path, tmp_path: Path) -> None:
    notes = vremove_cli.mask(str(clip), str(tmp_path / "m.mkv"), point=["60,95", "@9:310,170"]).notes
    assert any("look at frame 9" in n for n in notes)


def test_a_failure_before_any_work_leaves_no_work_folder(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    done = vremove("mask", clip, "--point", "600,95", "-o", tmp_path / "m.mkv")
    assert done.status == 2
    assert not list(tmp_path.iterdir())


def test_a_first_prompt_that_only_says_no_is_refused(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    done = vremove("mask", clip, "--point", "@5:100,95", "--not-point", "@2:10,10", "-o", tmp_path / "m.mkv")
    assert done.status == 2
    assert "frame 2 has a negative point" in done.stderr


def test_nothing_at_the_point_is_said_and_nothing_written(tmp_path: Path, vremove: Vremove) -> None:
    flat = drawn(tmp_path, lambda t, w, h: np.full((h, w, 3), (90, 120, 150), np.uint8), frames=8)
    done = vremove("erase", flat, "--point", "100,90", "-o", tmp_path / "out.mkv")
    assert done.status == 4
    assert "nothing stands out at the point on frame 0: give a box around the object" in done.stderr
    assert not (tmp_path / "out.mkv").exists()


def test_two_touching_objects_of_a_colour_make_the_first_mask_doubtful(tmp_path: Path) -> None:
    found = follow(drawn(tmp_path, twins, frames=2), ObjectPrompts(points=((60, 95),)))
    assert found[0].remark == DOUBTFUL


def test_an_object_as_large_as_half_the_frame_is_found_whole_or_doubted(tmp_path: Path) -> None:
    def large(t: int, width: int, height: int) -> np.ndarray:
        out = view(t, width, height).copy()
        return cv2.rectangle(out, (20 + t, 20), (190 + t, 160), (30, 160, 60), -1)

    found = follow(drawn(tmp_path, large, frames=6), ObjectPrompts(points=((100, 90),)))
    assert found[0].remark == DOUBTFUL
    for t, tracked in found.items():
        whole = cv2.rectangle(np.zeros(SIZE[::-1], np.uint8), (20 + t, 20), (190 + t, 160), 1, -1) > 0
        assert iou(tracked.mask > 0.5, whole) > 0.95


def test_an_object_larger_than_half_the_frame_is_no_object(tmp_path: Path) -> None:
    def larger(t: int, width: int, height: int) -> np.ndarray:
        out = view(t, width, height).copy()
        return cv2.rectangle(out, (20 + t, 20), (260 + t, 175), (30, 160, 60), -1)

    found = follow(drawn(tmp_path, larger, frames=2), ObjectPrompts(points=((100, 90),)))
    assert found[0].remark == NO_OBJECT


def test_doubt_about_the_first_mask_is_said_before_the_work_is_done(tmp_path: Path) -> None:
    said: list[object] = []
    vremove_cli.mask(
        str(drawn(tmp_path, twins, frames=4)), str(tmp_path / "m.mkv"), point=["60,95"], on_event=said.append
    )
    kinds = ["doubt" if DOUBTFUL in getattr(e, "text", "") else type(e).__name__ for e in said]
    assert kinds.index("doubt") < kinds.index("TaskDone")


@given(
    prompts=st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True).map(sorted),
    longest=st.integers(5, 40),
    cut=st.integers(1, 99),
)
def test_every_segment_is_followed_once_and_corrections_reach_half_way(
    prompts: list[int], longest: int, cut: int
) -> None:
    pieces = tuple(segments(100, [cut], longest))
    clicks = {"": {f: ObjectPrompts(points=((1, 1),)) for f in prompts}}
    tasks = tracking_tasks(clicks, pieces, (cut,), [])
    tracked = [t.span for t in tasks if t.kind == "track"]
    seen = [any(a <= f < b for f in prompts) for a, b in ((0, cut), (cut, 100))]
    assert sorted(tracked) == [p for p in pieces if seen[p[0] >= cut]]
    known: set[str] = set()
    for task in tasks:
        assert set(task.needs) <= known
        known.add(task.id)
    for task in (t for t in tasks if t.kind == "backward_correction"):
        assert task.origin is not None
        before = max(f for f in prompts if f < task.origin)
        assert (before + task.origin) / 2 < task.span[1] <= task.origin


@pytest.mark.parametrize(("ends", "alike"), [((8, 14), False), ((18, 24), True)])
def test_a_networks_work_holds_where_as_many_frames_are_seen(
    vremove: Vremove, tmp_path: Path, ends: tuple[int, int], alike: bool
) -> None:
    clip = drawn(tmp_path, lambda t, w, h: (red_disc if t < 6 else scene)(t, w, h))
    (tmp_path / "mine").mkdir()
    keys = []
    for end in ends:
        job = tmp_path / f"job{end}"
        vremove("plan", clip, "--point", "60,95", "--end", end, "--work", job, "-o", tmp_path / "out.mkv",
                "--tracker", "sam2-tiny", "--weights", f"sam2-tiny={tmp_path}/mine", "--track-every", 1)  # fmt: skip
        task = json.loads((job / "plan.json").read_text())["tasks"][0]
        assert task["span"] == [0, 6]
        keys.append(task["key"])
    assert (keys[0] == keys[1]) == alike
