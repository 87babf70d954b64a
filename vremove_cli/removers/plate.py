"""The remover that generates nothing: the plate's own completion stands."""

from collections.abc import Mapping
from typing import ClassVar

from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage


class PlateRemover:
    """Recovered pixels, and the smoothest continuation of them where no frame ever showed the background."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("plate", "Apache-2.0", "crop")

    def __init__(self, settings: Settings) -> None:
        """Take no settings."""

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """None: the plate task has completed the hole already."""
        return []

    def size(self, width: int, height: int) -> None:
        """As it is."""

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Give the frames back as they are."""
        return Fill(shot.frames)
