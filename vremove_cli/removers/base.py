"""The contract between the job and whatever generates pixels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from vremove_cli.geometry import Array


@dataclass(frozen=True)
class RemoverSpec:
    """What a remover is and needs. `region` is what it must see: a crop round the hole, or the whole frame.

    `multiple` is what the height and width given to it are multiples of, `context` how many pixels round the hole a
    crop shows, `longest` the most frames it takes at once.
    """

    name: str
    licence: str
    region: Literal["crop", "frame"]
    multiple: int = 8
    context: int = 64
    longest: int = 120


@dataclass(frozen=True)
class ShotInfo:
    """Numbers of the job that a remover plans its stages from: the runs of frames to fill, none across a cut."""

    runs: tuple[tuple[int, int], ...]
    width: int
    height: int


@dataclass(frozen=True)
class Stage:
    """One piece of work: an id that is unique in the job, the frames start <= t < stop it fills, what it needs."""

    id: str
    start: int
    stop: int
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shot:
    """What a stage sees: frames (T, H, W, 3) float32 R'G'B' in [0, 1] with the recovered pixels in place, the pixels
    asked for (T, H, W) bool, where it lies in the clip (`first` frame, `x`, `y` of the crop), prompt and seed."""

    frames: Array
    ask: Array
    first: int
    x: int
    y: int
    prompt: str
    seed: int


@dataclass(frozen=True)
class Fill:
    """What a stage made: frames (T, H, W, 3) float32, and where it changed the picture beside `ask` (T, H, W) bool."""

    frames: Array
    changed: Array | None = None


class Remover(Protocol):
    """Generates what no frame ever showed."""

    spec: RemoverSpec

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """The work, as pieces that the job turns into tasks. An empty list: what the plate completed stands."""

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[str, Fill]) -> Fill:
        """Do one piece; `inputs` are the fills of the stages it needs."""
