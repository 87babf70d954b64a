"""Stages of a remover: overlapping ones, anchors, and what it changed beside the object."""

import numpy as np
import pytest
from clips import empty_scene, mask_of, planes_of, scene, write_clip, write_masks
from hypothesis import given
from hypothesis import strategies as st
from test_oracle import FRAMES, Oracle, closest, pair

from vremove_cli import erase
from vremove_cli.geometry import Array, Box
from vremove_cli.job.exports import Exports
from vremove_cli.job.graph import groups
from vremove_cli.media.lossless import read_gray
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Stage
from vremove_cli.removers.chain import crossed, linked
from vremove_cli.removers.difference import changed
from vremove_cli.windows import overlapping


@given(st.integers(0, 3000), st.integers(2, 400), st.integers(0, 40), st.sampled_from([1, 4]))
def test_overlapping_runs_cover_everything(count: int, longest: int, overlap: int, grid: int) -> None:
    if overlap >= longest - grid:
        return
    runs = overlapping(count, longest, overlap, grid)
    assert sorted({t for a, b in runs for t in range(a, b)}) == list(range(count))
    assert all(0 < b - a <= longest and a % grid == 0 for a, b in runs)
    assert all(before[1] - after[0] >= overlap for before, after in zip(runs, runs[1:], strict=False))


def test_stages_that_overlap_need_each_other_and_hang_together() -> None:
    stages = linked([Stage("a", 0, 10), Stage("b", 8, 20), Stage("c", 20, 30)])
    assert [s.needs for s in stages] == [(), ("a",), ()]
    assert groups(stages) == {"a": (0, 20), "b": (0, 20), "c": (20, 30)}


def test_a_stage_fades_in_over_the_one_before() -> None:
    before, after = Stage("a", 0, 6), Stage("b", 3, 9, ("a",))
    out = crossed(np.ones((6, 1, 1, 3), np.float32), after, {before: Fill(np.zeros((6, 1, 1, 3), np.float32))})
    assert out[:, 0, 0, 0].tolist() == [0.25, 0.5, 0.75, 1, 1, 1]


def shaded(t: int, *, there: bool) -> Array:
    """The scene (64, 96, 3) float32 with a shadow under the square."""
    out = empty_scene(t, 96, 64).astype(np.float32) / 255
    if there:
        out[44:56, 20:60] *= 0.6
    return out


def test_a_shadow_that_is_gone_is_found_and_softness_and_tint_are_not() -> None:
    rng = np.random.default_rng(1)
    source = np.stack([shaded(t, there=True) for t in range(5)])
    made = np.stack([shaded(t, there=False) for t in range(5)]) * 0.97 + 0.03 + rng.normal(0, 0.02, source.shape)
    erase = np.stack([mask_of(t, 96, 64) > 0 for t in range(5)])
    found = changed(made.astype(np.float32), source, erase)
    shadow = np.zeros((64, 96), bool)
    shadow[44:56, 20:60] = True
    assert found[2][shadow & ~erase[2]].mean() > 0.85
    assert found[2][~shadow].mean() < 0.02


class Chained(Oracle):
    """Paints the truth in overlapping stages of four frames, after anchors on every third."""

    seen: list[tuple[str, list[int]]]

    def stages(self, shot):
        anchors = Stage("anchors", 0, FRAMES, step=3)
        runs = [(0, 4), (3, 7), (6, FRAMES)]
        return [anchors, *(Stage(f"{a}", a, b, ("anchors",)) for a, b in runs)]

    def run(self, stage, shot, inputs):
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
            painted[i][shot.ask[i]] = frame.rgb(box)[shot.ask[i]]
        return Fill(painted)


@pytest.mark.parametrize("region", ["crop", "frame"])
def test_overlapping_stages_with_anchors_give_the_truth(tmp_path, region):
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    chained = Chained(truth, region, 16)
    chained.seen = []
    registry.register("chained", lambda _: chained)
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="chained", recover=False)
    assert [name for name, _ in chained.seen] == ["anchors", "0", "3", "6"]
    assert chained.seen[1:] == [("0", [3]), ("3", [3]), ("6", [3])]
    assert max(closest(summary.output, truth)) <= 2


class Lighting(Oracle):
    """Paints the truth, brightens a part of the frame, and says so."""

    share = 0.3

    def __init__(self, truth):
        super().__init__(truth, "frame", 1)
        self.spec = RemoverSpec("lighting", "Apache-2.0", "frame", multiple=1, shows="source")

    def run(self, stage, shot, inputs):
        made = super().run(stage, shot, inputs).frames
        where = np.zeros(made.shape[:3], bool)
        where[:, :, : int(self.share * made.shape[2])] = True
        return Fill(np.where(where[..., None], 0.5, made).astype(np.float32), where)


@pytest.fixture
def lit(tmp_path):
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=FRAMES, picture=scene)
    truth = write_clip(tmp_path / "truth.mkv", codec="ffv1", frames=FRAMES, picture=empty_scene)
    lighting = Lighting(truth)
    registry.register("lighting", lambda _: lighting)
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    return clip, lighting, {"mask": str(masks), "remover": "lighting", "recover": False, "grow": 1}


def test_what_a_remover_changed_beside_the_object_is_taken_and_written(tmp_path, lit):
    clip, _, asked = lit
    summary = erase(str(clip), exports=Exports(effects=str(tmp_path / "effects.mkv")), **asked)
    result, source = planes_of(summary.output)[2][0].astype(int), planes_of(clip)[2][0].astype(int)
    assert np.abs(result[:, :27] - 126).max() <= 2
    assert np.array_equal(result[:, 40:][:, -10:], source[:, 40:][:, -10:])
    border = np.abs(result - source)[:4, 26:34].max(axis=0)
    assert border[-1] == 0  # and it fades out over the feather
    effects = list(read_gray(tmp_path / "effects.mkv"))[2]
    assert effects[:, :26].all()
    assert not effects[:, 32:].any()


def test_effects_off_takes_only_the_hole(lit):
    clip, _, asked = lit
    summary = erase(str(clip), effects="off", **asked)
    assert np.array_equal(planes_of(summary.output)[2][0][:5], planes_of(clip)[2][0][:5])


def test_a_remover_that_changed_nearly_everything_is_not_believed(lit, monkeypatch):
    clip, _, asked = lit
    monkeypatch.setattr(Lighting, "share", 0.9)
    said = []
    summary = erase(str(clip), on_event=lambda event: said.append(str(event)), **asked)
    assert any("changed" in text and "only the hole is taken" in text for text in said)
    assert np.array_equal(planes_of(summary.output)[2][0][:5], planes_of(clip)[2][0][:5])
