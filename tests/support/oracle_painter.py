"""A remover that paints keyframes with the truth: it shows what carrying alone adds or loses."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from vremove_cli.geometry import Box
from vremove_cli.media.read import Clip, open_clip
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common.temporal_windows import chained_stages

NAME = "oracle-painter"


class OraclePainter:
    """Paints what a truth shows on the keyframe."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(NAME, "Apache-2.0", "square", paints=True)
    truth: ClassVar[Clip]
    painted: ClassVar[list[int]] = []

    def __init__(self, settings: Settings) -> None:
        """Take no settings."""

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """A chain."""
        return chained_stages(NAME, shot.spans, shot.shots)

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        """As it is."""
        return None

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Show the truth."""
        assert shot.agree is not None
        self.painted.append(shot.first)
        height, width = shot.frames.shape[1:3]
        info = self.truth.info
        (frame,) = self.truth.frames(shot.first, shot.first + 1)
        box = Box(shot.x, shot.y, shot.x + width, shot.y + height)
        inside = box.clip(info.width, info.height)
        out = shot.frames.copy()
        part = inside.moved(-box.x0, -box.y0)
        out[0][part.slices] = np.clip(frame.rgb(inside), 0, 1)
        return Fill(np.where(shot.inpaint_mask[..., None], out, shot.frames))


@contextlib.contextmanager
def oracle_painter(truth: Path) -> Iterator[None]:
    """Let `--remover oracle-painter` paint what a clip shows, while the block lasts."""
    OraclePainter.truth, OraclePainter.painted[:] = open_clip(str(truth)), []
    undo = registry.register(NAME, OraclePainter)
    try:
        yield
    finally:
        undo()
