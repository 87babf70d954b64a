"""A remover that paints the known truth: through every crop, format, range and rotation the result must be the truth.

Half-pixel shifts, chroma siting, matrix and range errors show here and nowhere else.
"""

import numpy as np
import pytest

from support.clips import empty_scene, mask_of, planes_of, write_masks, write_sequence
from support.oracle import FRAMES, Oracle, closest, pair
from vremove_cli import erase
from vremove_cli.job import planner
from vremove_cli.media.read import open_clip

FORMATS = {
    "420-limited": {"pix_fmt": "yuv420p"},
    "420-full": {"pix_fmt": "yuv420p", "colour": (1, 1, 1, 2)},
    "420-601": {"pix_fmt": "yuv420p", "colour": (6, 6, 6, 1)},
    "422-10": {"pix_fmt": "yuv422p10le"},
    "420-10-pq": {"pix_fmt": "yuv420p10le", "colour": (9, 16, 9, 1)},
    "444": {"pix_fmt": "yuv444p"},
    "411": {"pix_fmt": "yuv411p"},
    "rgb": {"pix_fmt": "bgr0"},
    "gray": {"pix_fmt": "gray"},
    "odd": {"pix_fmt": "yuv420p", "size": (95, 63)},
    "rotated": {"pix_fmt": "yuv420p", "rotation": 90},
    "portrait": {"pix_fmt": "yuv420p", "size": (64, 96)},
}


@pytest.mark.parametrize("region", ["crop", "frame"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_result_is_the_truth(tmp_path, install, name, region):
    how = dict(FORMATS[name])
    clip, truth = pair(tmp_path, **how)
    install(Oracle(truth, region, 16))
    size = how.get("size", (96, 64))
    masks = write_masks(tmp_path / "masks", size=size, frames=FRAMES)
    if how.get("rotation"):
        import cv2

        for file in masks.iterdir():
            cv2.imwrite(str(file), cv2.rotate(cv2.imread(str(file), 0), cv2.ROTATE_90_COUNTERCLOCKWISE))
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover=False, grow=3)
    depth = open_clip(str(clip)).info.layout.bits - 8
    luma, *chroma = closest(summary.output, truth)
    assert luma <= 1 << depth
    assert all(c <= 2 << depth for c in chroma)


@pytest.mark.parametrize(
    ("suffix", "pix_fmt"), [(".png", "rgb24"), (".png", "rgb48be"), (".tif", "rgb48le"), (".png", "gray16be")]
)
def test_images_become_the_truth(tmp_path, install, suffix, pix_fmt):
    clip = write_sequence(tmp_path / "clip", suffix=suffix, pix_fmt=pix_fmt, frames=FRAMES)
    truth = write_sequence(tmp_path / "truth", suffix=suffix, pix_fmt=pix_fmt, frames=FRAMES, picture=empty_scene)
    install(Oracle(truth, "crop", 8))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover=False, grow=2)
    assert max(closest(summary.output, truth)) <= (1 if "16" not in pix_fmt and "48" not in pix_fmt else 2)


def test_several_segments_join_without_a_seam(tmp_path, install, monkeypatch):
    monkeypatch.setattr(planner, "PLATE_SEGMENT", 4)
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    install(Oracle(truth, "crop", 16))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover=False)
    assert summary.done == 12  # three segments, each masked, searched for effects, recovered and filled
    assert max(closest(summary.output, truth)) <= 2


def test_a_range_edits_only_its_frames(tmp_path, install):
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    install(Oracle(truth, "crop", 16))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover=False, start="3", end="0.28s")
    result, source, wanted = planes_of(summary.output), planes_of(clip), planes_of(truth)
    for t in range(FRAMES):
        expected = wanted if 3 <= t < 7 else source
        assert np.abs(result[t][0].astype(int) - expected[t][0]).max() <= (1 if 3 <= t < 7 else 0)


def test_only_what_no_frame_showed_is_asked_for(tmp_path, install):
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    asked = []

    class Watching(Oracle):
        def run(self, stage, shot, inputs):
            asked.append(shot.inpaint_mask.sum() / sum((mask_of(t, 96, 64) > 0).sum() for t in range(FRAMES)))
            return super().run(stage, shot, inputs)

    install(Watching(truth, "crop", 16))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle")
    assert summary.recovered > 0.9
    assert not asked or asked[0] < 0.1
