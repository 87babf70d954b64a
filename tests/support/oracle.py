"""A remover that paints the known truth, and clips with their truth."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from support.clips import empty_scene, planes_of, scene, write_clip
from vremove_cli.geometry import Box
from vremove_cli.media.read import open_clip
from vremove_cli.removers.base import Fill, RemoverSpec, Shot, ShotInfo, Stage

FRAMES = 10


class Oracle:
    """Paints the truth clip, exactly where it is asked to."""

    def __init__(
        self, truth: Path, region: Literal["crop", "square", "frame"], multiple: int, *, paints: bool = False
    ) -> None:
        self.truth = open_clip(str(truth))
        self.spec = RemoverSpec("oracle", "Apache-2.0", region, multiple, context=8, paints=paints)

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return [Stage(f"{a:04d}", a, b) for a, b in shot.spans]

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        return None

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        turn = self.truth.info.orientation
        width, height = turn.size(*shot.frames.shape[2:0:-1])  # of the region as it is stored
        box = Box(shot.x, shot.y, shot.x + width, shot.y + height)
        painted = shot.frames.copy()
        for i, frame in enumerate(self.truth.frames(shot.first, shot.first + len(painted))):
            painted[i][shot.inpaint_mask[i]] = turn.display(frame.rgb(box))[shot.inpaint_mask[i]]
        return Fill(painted)


def pair(tmp_path: Path, **how: Any) -> tuple[Path, Path]:
    """A clip with the square and one without, both lossless."""
    base = Fraction(1, 1000)
    pts = list(range(0, 40 * FRAMES, 40))
    common = {"codec": "ffv1", "time_base": base, "pts": pts, **how}
    clip = write_clip(tmp_path / "clip.mkv", picture=scene, **common)
    truth = write_clip(tmp_path / "truth.mkv", picture=empty_scene, **common)
    return clip, truth


def closest(result: Path | str, truth: Path) -> list[int]:
    """The largest difference of any sample, in the clip's levels, per component."""
    worst = [0, 0, 0]
    for a, b in zip(planes_of(result), planes_of(truth), strict=True):
        for c, (x, y) in enumerate(zip(a, b, strict=True)):
            worst[c] = max(worst[c], int(np.abs(x.astype(int) - y).max()))
    return worst
