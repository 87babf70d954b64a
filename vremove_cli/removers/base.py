"""The contract between the job and whatever generates pixels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.removers.common.vram_estimate import Network


@dataclass(frozen=True)
class RemoverSpec:
    """What a remover is and needs. `region` is what it must see: a crop round the hole, or the whole frame; `input`
    whether what the plate recovered is in place there, or the source with the object in it.

    `multiple` is what the height and width given to it are multiples of, `context` how many pixels round the hole a
    crop shows, `models` what it runs, by the catalogue's names, `accepts` what it is told, by the fields of `Settings`
    (the seed, the device and the places are told to all); `physics` whether it knows what will move, and
    `network` the shape of what it runs.
    """

    name: str
    licence: str
    region: Literal["crop", "frame"]
    multiple: int = 8
    context: int = 64
    input: Literal["plate", "source"] = "plate"
    models: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    physics: bool = False
    network: Network | None = None


@dataclass(frozen=True)
class Settings:
    """What a job tells its remover: the scene after removal in words, whether to take a second pass (off, on,
    reference), how much care to take (draft, standard, best), or how many steps, at which (width, height) and with how
    much guidance, low-rank changes of the user's own (file, strength), what the network is shown where a paper and its
    released code differ (released, paper), the seed, where to run, and where its models lie by name."""

    prompt: str = ""
    second_pass: str = "off"
    quality: str = "standard"
    steps: int | None = None
    size: tuple[int, int] | None = None
    guidance: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    conditioning: str = "released"
    seed: int = 0
    device: str = "auto"
    model_paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ShotInfo:
    """Numbers of the job that a remover plans its stages from: the runs of frames to fill, none across a cut, and the
    whole shots they are of."""

    runs: tuple[FrameRange, ...]
    shots: tuple[FrameRange, ...]
    width: int
    height: int


@dataclass(frozen=True)
class Stage:
    """One piece of work: an id that is unique in the job, the frames start <= t < stop it fills, what it needs.

    With a `step` above 1 it makes every such frame only, for stages that need it: anchors, which are not shown
    themselves. Where stages overlap the earlier one of the list is shown, but for one that needs it.
    """

    id: str
    start: int
    stop: int
    needs: tuple[str, ...] = ()
    step: int = 1

    @property
    def span(self) -> FrameRange:
        """The frames it covers."""
        return FrameRange(self.start, self.stop)

    @property
    def frames(self) -> range:
        """The frames it makes."""
        return range(self.start, self.stop, self.step)


@dataclass(frozen=True)
class Shot:
    """What a stage sees, upright: frames (T, H, W, 3) float32 R'G'B' in [0, 1], the pixels asked for (T, H, W) bool,
    and the mask of four values (see `masks.quadmask`) as its mean over each pixel, (T, H, W) float32 from 0 to 255;
    where it lies in the clip as that is stored (`first` frame, `x`, `y` of the crop). `tick` gets how much is done, of
    how much."""

    frames: Array
    inpaint_mask: Array
    quad: Array
    first: int
    x: int
    y: int
    tick: Callable[[int, int], None]


@dataclass(frozen=True)
class Fill:
    """What a stage made: frames (T, H, W, 3) float32, and, of a remover that takes an object's shadow, reflection and
    light away too, where it changed the picture beside the object (T, H, W) bool."""

    frames: Array
    difference_mask: Array | None = None


class Remover(Protocol):
    """Generates what no frame ever showed."""

    spec: RemoverSpec

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """The work, as pieces that the job turns into tasks. An empty list: what the plate completed stands."""

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        """The (width, height) it wants a region of this size at; None: as it is."""

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Do one piece; `inputs` are the fills of the stages it needs, but for those that had nothing to do."""
