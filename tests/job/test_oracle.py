"""A remover that paints the known truth: through every crop, format, range and rotation the result must be the truth.

Half-pixel shifts, chroma siting, matrix and range errors show here and nowhere else.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest

from support.clips import empty_scene, mask_of, planes_of, write_clip, write_masks, write_sequence
from support.command import Install
from support.oracle import FRAMES, Oracle, closest, pair
from vremove_cli import erase
from vremove_cli.job import planner
from vremove_cli.media.read import open_clip
from vremove_cli.removers.base import Fill, Shot, Stage

FORMATS: dict[str, dict[str, Any]] = {
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


def differences(
    folder: Path,
    install: Install,
    name: str,
    region: Literal["crop", "square", "frame"],
    multiple: int,
    *,
    paints: bool = False,
) -> tuple[int, list[int], int]:
    """The largest difference of luma and of chroma from the truth in a format, and its bits beyond 8."""
    how = dict(FORMATS[name])
    clip, truth = pair(folder, **how)
    install(Oracle(truth, region, multiple, paints=paints))
    size = how.get("size", (96, 64))
    masks = write_masks(folder / "masks", size=size, frames=FRAMES)
    if how.get("rotation"):
        for file in masks.iterdir():
            cv2.imwrite(str(file), cv2.rotate(cv2.imread(str(file), 0), cv2.ROTATE_90_COUNTERCLOCKWISE))
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover="off", grow=3)
    luma, *chroma = closest(summary.output, truth)
    return luma, chroma, open_clip(str(clip)).info.layout.bits - 8


@pytest.mark.parametrize("region", ["crop", "frame"])
@pytest.mark.parametrize("name", FORMATS)
def test_the_result_is_the_truth(tmp_path: Path, install: Install, name: str, region: Literal["crop", "frame"]) -> None:
    luma, chroma, depth = differences(tmp_path, install, name, region, 16)
    assert luma <= 1 << depth
    assert all(c <= 2 << depth for c in chroma)


@pytest.mark.parametrize("name", FORMATS)
def test_keyframes_that_are_carried_are_the_truth(tmp_path: Path, install: Install, name: str) -> None:
    """The camera stands still, so that nothing but rounding comes between a keyframe and the other frames."""
    luma, chroma, depth = differences(tmp_path, install, name, "square", 8, paints=True)
    assert luma <= 2 << depth
    assert all(c <= 3 << depth for c in chroma)


@pytest.mark.parametrize(
    ("suffix", "pix_fmt"), [(".png", "rgb24"), (".png", "rgb48be"), (".tif", "rgb48le"), (".png", "gray16be")]
)
def test_images_become_the_truth(tmp_path: Path, install: Install, suffix: str, pix_fmt: str) -> None:
    clip = write_sequence(tmp_path / "clip", suffix=suffix, pix_fmt=pix_fmt, frames=FRAMES)
    truth = write_sequence(tmp_path / "truth", suffix=suffix, pix_fmt=pix_fmt, frames=FRAMES, picture=empty_scene)
    install(Oracle(truth, "crop", 8))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover="off", grow=2)
    assert max(closest(summary.output, truth)) <= (1 if "16" not in pix_fmt and "48" not in pix_fmt else 2)


def test_several_segments_join_without_a_seam(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "PLATE_SEGMENT", 4)
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    install(Oracle(truth, "crop", 16))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover="off")
    assert summary.done == 12  # three segments, each masked, searched for effects, recovered and filled
    assert max(closest(summary.output, truth)) <= 2


def test_a_range_edits_only_its_frames(tmp_path: Path, install: Install) -> None:
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    install(Oracle(truth, "crop", 16))
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle", recover="off", start="3", end="0.28s")
    result, source, wanted = planes_of(summary.output), planes_of(clip), planes_of(truth)
    for t in range(FRAMES):
        expected = wanted if 3 <= t < 7 else source
        assert np.abs(result[t][0].astype(int) - expected[t][0]).max() <= (1 if 3 <= t < 7 else 0)


class Watching(Oracle):
    """Paints the truth, and notes which pixels of the frame it was asked for: none unless it is run."""

    asked = np.zeros((FRAMES, 64, 96), bool)

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        height, width = shot.inpaint_mask.shape[1:]
        self.asked = np.zeros((FRAMES, 64, 96), bool)
        self.asked[stage.start : stage.stop, shot.y : shot.y + height, shot.x : shot.x + width] = shot.inpaint_mask
        return super().run(stage, shot, inputs)


def test_only_what_no_frame_showed_is_asked_for(tmp_path: Path, install: Install) -> None:
    """The square moves on by less than its own width, so that no frame shows the columns between its last place and
    the end of its first."""
    clip, truth = pair(tmp_path, pix_fmt="yuv420p")
    watching = Watching(truth, "crop", 16)
    install(watching)
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    summary = erase(str(clip), mask=str(masks), remover="oracle")
    holes = np.stack([mask_of(t, 96, 64) > 0 for t in range(FRAMES)])
    assert summary.recovered > 0.99
    assert watching.asked.sum() < 0.01 * holes.sum()

    slow = np.zeros((FRAMES, 64, 96), bool)
    for t in range(FRAMES):
        slow[t, 24:40, 20 + t : 36 + t] = True
        cv2.imwrite(str(masks / f"{t:04d}.png"), slow[t] * np.uint8(255))

    def moving(t: int, width: int, height: int) -> np.ndarray:
        return np.where(slow[t][..., None], np.array((230, 30, 40), np.uint8), empty_scene(t, width, height))

    how: dict[str, Any] = {"codec": "ffv1", "frames": FRAMES}
    clip = write_clip(tmp_path / "slow.mkv", picture=moving, **how)
    truth = write_clip(tmp_path / "empty.mkv", picture=empty_scene, **how)
    watching = Watching(truth, "crop", 16)
    install(watching)
    summary = erase(str(clip), mask=str(masks), remover="oracle", grow=0, effects="off")
    never, margin = slow.all(axis=0), 2
    assert watching.asked[:, never].all()
    reach = np.stack([cv2.dilate(m.astype(np.uint8), np.ones((2 * margin + 1,) * 2, np.uint8)) > 0 for m in slow])
    assert not watching.asked[~reach].any()
    assert watching.asked[slow].mean() == pytest.approx(1 - summary.recovered, abs=0.1)
