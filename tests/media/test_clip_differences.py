"""What the corpus run finds, and that it finds nothing where nothing differs."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.clip_differences import differences
from support.clips import scene, write_clip


def brighter(t: int, width: int, height: int) -> np.ndarray:
    return np.clip(scene(t, width, height).astype(int) + 9, 0, 255).astype(np.uint8)


def topics(tmp_path: Path, before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    common = {"size": (160, 120), "frames": 6, "codec": "ffv1", "audio": "aac"}
    source = write_clip(tmp_path / "source.mkv", **{**common, **before})
    result = write_clip(tmp_path / "result.mkv", **{**common, **after})
    return {d.topic for d in differences(source, result)}


def test_equal_clips_do_not_differ(tmp_path: Path) -> None:
    assert topics(tmp_path, {}, {}) == set()


@pytest.mark.parametrize(
    ("before", "after", "topic"),
    [
        ({}, {"frames": 5}, "frames"),
        ({}, {"pts": [0, 1, 2, 4, 5, 6], "time_base": Fraction(1, 25)}, "times"),
        ({}, {"pix_fmt": "yuv444p"}, "pixel format"),
        ({}, {"colour": (9, 16, 9, 1)}, "colour"),
        ({}, {"picture": brighter}, "pixels"),
        ({}, {"audio": None}, "streams"),
        ({"chapters": True}, {}, "chapters"),
        ({"metadata": {"artist": "Ada"}}, {}, "tags"),
    ],
)
def test_each_loss_is_found(tmp_path: Path, before: dict[str, Any], after: dict[str, Any], topic: str) -> None:
    assert topic in topics(tmp_path, before, after)
