"""The remover `plate`, which generates nothing: the plate's own completion of the hole stands."""

from collections.abc import Mapping
from typing import ClassVar

from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage


class PlateRemover:
    """Leaves the recovered pixels, and their smoothest continuation where no frame shows the background."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("plate", "Apache-2.0", "crop")

    def __init__(self, settings: Settings) -> None:
        """Take no settings."""

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Return no stages: the plate's tasks have completed the hole."""
        return []

    def size(self, width: int, height: int) -> None:
        """Return None: nothing is resized."""

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Return the frames as they are."""
        return Fill(shot.frames)
