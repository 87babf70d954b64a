"""Stages of a remover: overlapping ones, anchors, and what it changed beside the object."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.clips import empty_scene, mask_of, planes_of, scene, write_clip, write_masks
from support.command import Install
from support.oracle import FRAMES, Oracle, closest, pair
from vremove_cli import erase, estimate
from vremove_cli.geometry import Array, Box
from vremove_cli.job.task_graph import connected_groups
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.removers.base import Fill, RemoverSpec, Shot, ShotInfo, Stage
from vremove_cli.removers.common.difference_mask import difference_mask
from vremove_cli.removers.common.temporal_windows import (
    Window,
    crossfade,
    inject_keyframes,
    is_join,
    keyframe_guided_stages,
    keyframe_guided_windows,
    overlapping_stages,
    overlapping_windows,
)


@given(st.integers(0, 3000), st.integers(2, 400), st.integers(0, 40), st.sampled_from([1, 4]))
def test_overlapping_runs_cover_everything(count: int, longest: int, overlap: int, grid: int) -> None:
    if overlap >= longest - grid:
        return
    runs = overlapping_windows(count, longest, overlap, grid)
    assert sorted({t for a, b in runs for t in range(a, b)}) == list(range(count))
    assert all(0 < b - a <= longest and a % grid == 0 for a, b in runs)
    assert all(before[1] - after[0] >= overlap for before, after in zip(runs, runs[1:], strict=False))


def test_runs_that_overlap_are_joined_and_hang_together() -> None:
    stages = overlapping_stages("x", [(0, 20), (20, 30)], 12, 4)
    assert [(s.start, s.stop, s.needs) for s in stages] == [
        (0, 12, ()), (8, 20, ()), (20, 30, ()), (8, 12, ("x-000000", "x-000008")),
    ]  # fmt: skip
    spans = connected_groups(stages)
    assert [spans[s.id] for s in stages] == [(0, 20), (0, 20), (20, 30), (0, 20)]


def test_a_join_goes_over_from_one_run_to_the_next() -> None:
    a, b, join = overlapping_stages("x", [(0, 13)], 9, 4)
    fills = {s: Fill(np.full((9, 1, 1, 3), k, np.float32)) for k, s in enumerate((a, b))}
    assert is_join(join)
    assert list(join.frames) == [4, 5, 6, 7, 8]
    assert np.allclose(crossfade(join, fills, np.zeros((5, 1, 1, 3)))[:, 0, 0, 0], np.arange(1, 6) / 6)
    assert (crossfade(join, {b: fills[b]}, np.zeros((5, 1, 1, 3))) == 1).all()


@given(st.integers(82, 600), st.sampled_from([16, 20, 40]))
def test_where_three_runs_meet_nothing_jumps(count: int, shared: int) -> None:
    """Each run as a share of the picture: from one frame to the next no share changes by much."""
    stages = overlapping_stages("x", [(0, count)], 81, shared)
    runs = [s for s in stages if not is_join(s)]
    fills = {}
    for k, run in enumerate(runs):
        frames = np.zeros((len(run.frames), 1, 1, len(runs)), np.float32)
        frames[..., k] = 1
        fills[run] = Fill(frames)
    shown: dict[int, np.ndarray] = {}
    for stage in stages:
        inputs = {s: fills[s] for s in runs if s.id in stage.needs}
        made = crossfade(stage, inputs, np.zeros(0)) if is_join(stage) else fills[stage].frames
        for t, frame in zip(stage.frames, made, strict=True):
            if t not in shown or is_join(stage):
                shown[t] = frame[0, 0]
    steps = np.abs(np.diff(np.stack([shown[t] for t in range(count)]), axis=0)).max()
    assert steps < 0.25


@settings(max_examples=60)
@given(st.integers(1, 3000), st.sampled_from([(81, 10), (81, 3), (21, 10), (5, 2)]))
@example(100_000, (81, 10))
def test_keyframes_come_before_what_they_guide(count: int, shape: tuple[int, int]) -> None:
    longest, stride = shape
    runs = keyframe_guided_windows(count, longest, stride)
    made: set[int] = set()
    shown: set[int] = set()
    for run in runs:
        assert 0 < len(run.frames) <= longest
        assert set(run.known) <= made
        assert set(run.known) <= set(run.frames)
        assert not run.known or run.known[0] == run.start
        assert not run.known or run.known.step <= stride * run.step
        made |= set(run.frames)
        shown |= set(run.frames) if run.step == 1 else set()
    assert shown == set(range(count))
    windows = [r for r in runs if r.step == 1]
    assert all(b.start < a.stop for a, b in zip(windows, windows[1:], strict=False))
    assert all(len(w.frames) > longest - stride for w in windows) or len(windows) == 1


def test_the_papers_windows() -> None:
    runs = keyframe_guided_windows(290)
    assert [(r.start, r.stop, r.step, len(r.frames)) for r in runs] == [
        (0, 289, 4, 73), (0, 81, 1, 81), (80, 161, 1, 81), (160, 241, 1, 81), (212, 290, 1, 78),
    ]  # fmt: skip
    assert keyframe_guided_windows(81) == [Window(0, 81)]


def test_windows_need_their_keyframes_alone() -> None:
    stages = keyframe_guided_stages("x", keyframe_guided_windows(1000), 50, fade=4)
    by_id = {s.id: s for s in stages}
    for stage in stages:
        if stage.step == 1 and not is_join(stage):
            assert stage.needs
            assert all(by_id[n].step == 10 for n in stage.needs)
    assert min(s.start for s in stages) == 50
    assert max(s.stop for s in stages) == 1050


@settings(max_examples=60)
@given(st.integers(1, 3000), st.sampled_from([(81, 10), (21, 10), (5, 2)]), st.integers(0, 50))
def test_windows_need_whatever_generates_a_keyframe_that_they_know(
    count: int, shape: tuple[int, int], first: int
) -> None:
    windows = keyframe_guided_windows(count, *shape)
    stages = [s for s in keyframe_guided_stages("x", windows, first, fade=4) if not is_join(s)]
    for stage, window in zip(stages, windows, strict=True):
        known = {first + t for t in window.known}
        makers = (s.id for s in stages if s.step == window.known.step and s.step > stage.step)
        by_id = {s.id: s for s in stages}
        assert stage.needs == tuple(n for n in makers if known and _reaches(by_id[n], known))


def _reaches(maker: Stage, known: set[int]) -> bool:
    return maker.start <= max(known) and maker.stop > min(known)


def test_known_keyframes_are_put_in_and_erased_no_more() -> None:
    keys, stage = Stage("k", 0, 9, step=4), Stage("w", 2, 7)
    frames, mask = inject_keyframes(
        stage, np.zeros((5, 1, 1, 3)), np.ones((5, 1, 1), bool), {keys: Fill(np.full((3, 1, 1, 3), 0.5))}
    )
    assert frames[:, 0, 0, 0].tolist() == [0, 0, 0.5, 0, 0]
    assert mask[:, 0, 0].tolist() == [True, True, False, True, True]


def shaded(t: int, *, there: bool) -> Array:
    """The scene (64, 96, 3) float32 with a shadow under the square."""
    out = empty_scene(t, 96, 64).astype(np.float32) / 255
    if there:
        out[44:56, 20:60] *= 0.6
    return out


def test_a_speck_is_no_change_in_one_frame_either() -> None:
    source = np.full((1, 200, 400, 3), 0.5, np.float32)
    made = source.copy()
    made[0, 50:54, 60:64] = 0.9
    made[0, 100:130, 100:140] = 0.9
    found = difference_mask(made, source, np.zeros((1, 200, 400), bool))[0]
    assert found[105:125, 105:135].all()
    assert not found[40:70, 50:80].any()


def test_a_shadow_that_is_gone_is_found_and_softness_and_tint_are_not() -> None:
    rng = np.random.default_rng(1)
    source = np.stack([shaded(t, there=True) for t in range(5)])
    made = np.stack([shaded(t, there=False) for t in range(5)]) * 0.97 + 0.03 + rng.normal(0, 0.02, source.shape)
    erase = np.stack([mask_of(t, 96, 64) > 0 for t in range(5)])
    found = difference_mask(made.astype(np.float32), source, erase)
    shadow = np.zeros((64, 96), bool)
    shadow[44:56, 20:60] = True
    assert found[2][shadow & ~erase[2]].mean() > 0.85
    assert found[2][~shadow].mean() < 0.02


class Chained(Oracle):
    """Paints the truth in overlapping stages of four frames, after anchors on every third."""

    seen: list[tuple[str, list[int]]]

    def stages(self, shot: ShotInfo) -> list[Stage]:
        anchors = Stage("anchors", 0, FRAMES, step=3)
        runs = [(0, 4), (3, 7), (6, FRAMES)]
        return [anchors, *(Stage(f"{a}", a, b, ("anchors",)) for a, b in runs)]

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        assert len(shot.frames) == len(stage.frames)
        for before, fill in inputs.items():
            assert before.id == "anchors"
            assert len(fill.frames) == len(before.frames)
        self.seen.append((stage.id, [before.step for before in inputs]))
        height, width = shot.frames.shape[1:3]
        box = Box(shot.x, shot.y, shot.x + width, shot.y + height)
        painted = shot.frames.copy()
        for i, t in enumerate(stage.frames):
            (frame,) = self.truth.frames(t, t + 1)
            painted[i][shot.inpaint_mask[i]] = frame.rgb(box)[shot.inpaint_mask[i]]
        return Fill(painted)


@pytest.mark.parametrize("region", ["crop", "frame"])
def test_overlapping_stages_with_anchors_give_the_truth(
    tmp_path: Path, install: Install, region: Literal["crop", "frame"]
) -> None:
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    chained = Chained(truth, region, 16)
    chained.seen = []
    install(chained)
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover="off")
    assert [name for name, _ in chained.seen] == ["anchors", "0", "3", "6"]
    assert chained.seen[1:] == [("0", [3]), ("3", [3]), ("6", [3])]
    assert max(closest(summary.output, truth)) <= 2


def test_the_estimate_counts_what_is_kept_for_later_stages(tmp_path: Path, install: Install) -> None:
    """Two windows keep the frames that they share; a long job keeps more of those than of all else."""

    class Windows(Oracle):
        def stages(self, shot: ShotInfo) -> list[Stage]:
            return overlapping_stages("x", shot.shots, 7, 2)

    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    masks, job = write_masks(tmp_path / "masks", frames=FRAMES), tmp_path / "job"
    expected = []
    for kind in (Oracle, Windows):
        install(kind(truth, "frame", 1))
        expected.append(estimate(str(clip), mask=str(masks), remover="oracle", recover="off").work)
    erase(str(clip), mask=str(masks), remover="oracle", recover="off", work=str(job), keep_work=True)
    kept = [np.load(file)["frames"].nbytes for file in (job / "fill").glob("*.npz")]
    assert len(kept) == 2
    assert expected[1] - expected[0] == sum(kept) > 0


def test_a_remover_sees_a_rotated_clip_upright(tmp_path: Path, install: Install) -> None:
    """And what it makes comes back as the clip is stored."""
    clip, truth = pair(tmp_path, pix_fmt="yuv420p", rotation=90)
    seen: list[tuple[int, ...]] = []

    class Watching(Oracle):
        def size(self, width: int, height: int) -> tuple[int, int] | None:
            seen.append((width, height))
            return None

        def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
            seen.append(shot.frames.shape[1:3])
            return super().run(stage, shot, inputs)

    install(Watching(truth, "frame", 1))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    for file in masks.iterdir():
        cv2.imwrite(str(file), cv2.rotate(cv2.imread(str(file), 0), cv2.ROTATE_90_COUNTERCLOCKWISE))
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover="off")
    assert seen == [(64, 96), (64, 96), (96, 64)]  # a width and height, planned and at work, then rows and columns
    assert max(closest(summary.output, truth)) <= 2


class Half(Oracle):
    """Works at half the clip's size, and keeps what it was given."""

    def __init__(self, truth: Path) -> None:
        super().__init__(truth, "frame", 1)
        self.spec = RemoverSpec("half", "Apache-2.0", "frame", multiple=1, physics=True)

    def size(self, width: int, height: int) -> tuple[int, int]:
        return width // 2, height // 2

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        self.shot = shot
        return Fill(shot.frames)


def test_masks_are_resized_by_the_share_of_each_pixel(tmp_path: Path, install: Any) -> None:
    """A pixel is generated where any of it is in the hole, erased from 160/255 on, affected from half on."""
    clip, truth = pair(tmp_path, pix_fmt="yuv444p")
    half = Half(truth)
    install(half)
    rng = np.random.default_rng(0)
    erase_mask, affected = (cv2.resize(rng.random((16, 24)), (96, 64)) > 0.5 for _ in range(2))
    for name, mask in (("erase.png", erase_mask), ("affected.png", affected)):
        cv2.imwrite(str(tmp_path / name), mask.astype(np.uint8) * 255)
    erase(
        clip, remover="half", recover="off", grow=0, feather=0.0, effects="off",
        mask=tmp_path / "erase.png", affected_mask=tmp_path / "affected.png",
    )  # fmt: skip
    shares = [mask.reshape(32, 2, 48, 2).mean(axis=(1, 3)) for mask in (erase_mask, affected)]
    assert half.shot.frames.shape == (FRAMES, 32, 48, 3)
    assert np.array_equal(half.shot.erase_mask[3], shares[0] >= 160 / 255)
    assert np.array_equal(half.shot.affected_mask[3], shares[1] >= 0.5)
    assert np.array_equal(half.shot.inpaint_mask[3], shares[0] + shares[1] > 0)
    assert {0.25, 0.5, 0.75} <= {*shares[0].ravel(), *shares[1].ravel()}


class Lighting(Oracle):
    """Paints the truth, brightens a part of the frame, and says so."""

    share = 0.3

    def __init__(self, truth: Path) -> None:
        super().__init__(truth, "frame", 1)
        self.spec = RemoverSpec("lighting", "Apache-2.0", "frame", multiple=1, input="source")

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        made = super().run(stage, shot, inputs).frames
        where = np.zeros(made.shape[:3], bool)
        where[:, :, : int(self.share * made.shape[2])] = True
        return Fill(np.where(where[..., None], 0.5, made).astype(np.float32), where)


@pytest.fixture
def lit(tmp_path: Path, install: Install) -> tuple[Path, Lighting, dict[str, Any]]:
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=FRAMES, picture=scene)
    truth = write_clip(tmp_path / "truth.mkv", codec="ffv1", frames=FRAMES, picture=empty_scene)
    lighting = Lighting(truth)
    install(lighting)
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    return clip, lighting, {"mask": str(masks), "remover": "lighting", "recover": False, "grow": 1}


def test_what_a_remover_changed_beside_the_object_is_taken_and_written(
    tmp_path: Path, lit: tuple[Path, Lighting, dict[str, Any]]
) -> None:
    clip, _, asked = lit
    summary = erase(str(clip), write_effects=str(tmp_path / "effects.mkv"), **asked)
    result, source = planes_of(summary.output)[2][0].astype(int), planes_of(clip)[2][0].astype(int)
    assert np.abs(result[:, :27] - 126).max() <= 2
    assert np.array_equal(result[:, 40:][:, -10:], source[:, 40:][:, -10:])
    border = np.abs(result - source)[:4, 26:34].max(axis=0)
    assert border[-1] == 0  # and it fades out over the feather
    effects = list(read_gray(tmp_path / "effects.mkv"))[2]
    assert effects[:, :26].all()
    assert not effects[:, 32:].any()


def test_effects_off_takes_only_the_hole(lit: tuple[Path, Lighting, dict[str, Any]]) -> None:
    clip, _, asked = lit
    summary = erase(str(clip), effects="off", **asked)
    assert np.array_equal(planes_of(summary.output)[2][0][:5], planes_of(clip)[2][0][:5])


def test_a_remover_that_changed_nearly_everything_is_not_believed(
    lit: tuple[Path, Lighting, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, _, asked = lit
    monkeypatch.setattr(Lighting, "share", 0.9)
    said = []
    summary = erase(str(clip), on_event=lambda event: said.append(str(event)), **asked)
    assert any("changed" in text and "only the hole is taken" in text for text in said)
    assert np.array_equal(planes_of(summary.output)[2][0][:5], planes_of(clip)[2][0][:5])
