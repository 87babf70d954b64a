"""From a point to a clip without the object: the plate brings back what the camera saw."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from support.clips import write_clip
from support.command import Vremove
from support.disc import FRAMES, SIZE, red_disc, truth, view
from vremove_cli.media.read import open_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("disc")
    return write_clip(place / "disc.mkv", codec="ffv1", size=SIZE, frames=FRAMES, picture=red_disc)


def test_the_plate_brings_the_background_back(vremove: Vremove, clip: Path, tmp_path: Path) -> None:
    done = vremove("erase", clip, "--point", "60,95", "-o", tmp_path / "out.mkv")
    assert done.status == 0
    errors = []
    for frame in open_clip(str(tmp_path / "out.mkv")).frames():
        error = frame.rgb8().astype(float) - view(frame.index, *SIZE)
        errors.append((error[truth(frame.index)] ** 2).mean())
    psnr = 10 * np.log10(255**2 / np.mean(errors))
    filled = [
        cv2.inpaint(red_disc(t, *SIZE), truth(t).astype(np.uint8) * 255, 5, cv2.INPAINT_TELEA) for t in range(FRAMES)
    ]
    telea = np.mean([((f.astype(float) - view(t, *SIZE))[truth(t)] ** 2).mean() for t, f in enumerate(filled)])
    assert psnr > 10 * np.log10(255**2 / telea) + 6


def test_two_named_objects_are_both_erased(vremove: Vremove, tmp_path: Path) -> None:
    def two(t: int, width: int, height: int) -> np.ndarray:
        return cv2.circle(red_disc(t, width, height), (250, 40 + 4 * t), 16, (30, 60, 230), -1)

    path = write_clip(tmp_path / "two.mkv", codec="ffv1", size=SIZE, frames=12, picture=two)
    done = vremove("erase", path, "--point", "ball=60,95", "--point", "dot=@0:250,40", "-o", tmp_path / "out.mkv")
    assert done.status == 0
    for frame in open_clip(str(tmp_path / "out.mkv")).frames():
        t, error = frame.index, np.abs(frame.rgb8().astype(int) - view(frame.index, *SIZE)).mean(axis=2)
        dot = cv2.circle(np.zeros(SIZE[::-1], np.uint8), (250, 40 + 4 * t), 16, 255, -1) > 0
        assert error[truth(t)].mean() < 12
        assert error[dot].mean() < 12
