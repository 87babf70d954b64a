"""The contract of removers: what a job gives to the code that generates pixels, and what it gets back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from vremove_cli.frame_ranges import FrameRange
from vremove_cli.geometry import Array
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers.common.placement import Demand
from vremove_cli.removers.common.vram_estimate import MemoryMode, Network
from vremove_cli.weights.store import Checkpoint


@dataclass(frozen=True)
class Settings:
    """The user's settings of a remover, the same for all removers.

    Attributes:
        prompt: The scene after removal, in words.
        negative_prompt: What the result must not show, in words; takes effect with guidance.
        second_pass: "off", "on" or "reference".
        quality: "draft", "standard" or "best".
        steps: Number of denoising steps; None: by quality.
        size: (width, height) in pixels that the network works at; None: by the remover.
        guidance: Scale of classifier-free guidance; None: by the remover.
        loras: The user's own LoRA files with their strengths.
        conditioning: "released" or "paper": the network's input, where the two differ.
        seed: Seed of the noise.
        device: "cuda", "xpu", "mps" or "cpu", as planned; "auto" outside of a job.
        arithmetic: How networks compute, as planned; None outside of a job: as suits the device best.
        memory: Where the networks' weights are.
        deep: Whether the clip has more than 8 bits a component.
        compile: Whether the networks' blocks are compiled.
        checkpoints: Checkpoint of each model, by its name in the catalogue.
    """

    prompt: str = ""
    negative_prompt: str = ""
    second_pass: str = "off"
    quality: str = "standard"
    steps: int | None = None
    size: tuple[int, int] | None = None
    guidance: float | None = None
    loras: tuple[tuple[str, float], ...] = ()
    conditioning: str = "released"
    seed: int = 0
    device: str = "auto"
    arithmetic: Arithmetic | None = None
    memory: MemoryMode = field(default_factory=MemoryMode)
    deep: bool = False
    compile: bool = False
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)

    @property
    def model_paths(self) -> dict[str, str]:
        """The file or folder of each model, by its name in the catalogue."""
        return {name: checkpoint.path for name, checkpoint in self.checkpoints.items()}


@dataclass(frozen=True)
class RemoverSpec:
    """The properties of a remover that a job is planned from.

    Attributes:
        name: The value of `--remover`.
        licence: Licence of its weights, or of its code where it has none.
        region: The part of a frame that it gets: "crop", a box around the hole, "square", a square around it that the
            network knows from its training (see `masks.square_crop`), or "frame".
        multiple: Height and width of a crop are multiples of this number of pixels.
        context: Width in pixels of the margin around the hole in a crop.
        input: "plate": the frames with all recovered pixels in place; "source": the frames with the object.
        models: Models that it always runs, by their names in the catalogue.
        optional_models: Models that it also runs where a field of `Settings` differs from the default, by that field;
            or where it has a value, by "field=value".
        extra_models: Models that it also runs where the user gives them.
        accepts: Fields of `Settings` that it reads. All get `seed`, `device`, `arithmetic`, `memory`, `deep` and
            `checkpoints`.
        physics: True if it uses `Shot.affected_mask`.
        paints: True if it paints single pictures: the job chooses keyframes, and carries them to the other frames.
        network: The bytes of its networks, for the estimate of GPU memory.
        guided_by: Field of `Settings`: where it differs from the default, inputs of the transformer run in pairs.
    """

    name: str
    licence: str
    region: Literal["crop", "square", "frame"]
    multiple: int = 8
    context: int = 64
    input: Literal["plate", "source"] = "plate"
    models: tuple[str, ...] = ()
    optional_models: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    extra_models: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    physics: bool = False
    paints: bool = False
    network: Network | None = None
    guided_by: str = ""

    @property
    def all_models(self) -> tuple[str, ...]:
        """All models that it can run."""
        optional = tuple(name for names in self.optional_models.values() for name in names)
        return self.models + optional + self.extra_models

    def models_for(self, settings: Settings) -> tuple[str, ...]:
        """Return the models that a job with these settings runs."""
        chosen = (names for when, names in self.optional_models.items() if _applies(when, settings))
        return self.models + tuple(name for names in chosen for name in names)

    def demand(self, settings: Settings, size: tuple[int, int]) -> Demand:
        """Return what a job with these settings asks of the networks, for frames of a (width, height) in pixels."""
        guided = self.guided_by and getattr(settings, self.guided_by) != getattr(Settings(), self.guided_by)
        return Demand(self.network, size, 2 if guided else 1, settings.deep)


def _applies(when: str, settings: Settings) -> bool:
    """Return whether settings have a value, "field=value", or differ from the default in a field."""
    name, stated, value = when.partition("=")
    found = getattr(settings, name)
    return str(found) == value if stated else found != getattr(Settings(), name)


@dataclass(frozen=True)
class ShotInfo:
    """The numbers of a job that a remover plans its stages from.

    Attributes:
        spans: Spans of frames to fill, in order; none crosses a cut.
        shots: The shots that hold these spans, each whole.
        width: Width of the clip in pixels.
        height: Height of the clip in pixels.
    """

    spans: tuple[FrameRange, ...]
    shots: tuple[FrameRange, ...]
    width: int
    height: int


@dataclass(frozen=True)
class Stage:
    """One piece of a remover's work.

    Where stages overlap, the earlier one in the list wins unless the later one depends on it. A stage with a `step`
    above 1 generates keyframes for the stages that need it; its frames do not go into the result.

    Attributes:
        id: Unique in the job.
        start: First frame.
        stop: Frame after the last one.
        needs: ids of the stages whose fills it gets.
        step: Distance of the frames that it generates.
    """

    id: str
    start: int
    stop: int
    needs: tuple[str, ...] = ()
    step: int = 1

    @property
    def span(self) -> FrameRange:
        """The frames from the first to the last."""
        return FrameRange(self.start, self.stop)

    @property
    def frames(self) -> range:
        """The frames that it generates."""
        return range(self.start, self.stop, self.step)


@dataclass(frozen=True)
class Shot:
    """The pixels that a stage gets, upright, at the size that the remover works at.

    Attributes:
        frames: R'G'B' (T, H, W, 3) float32 in [0, 1].
        inpaint_mask: Pixels to generate (T, H, W) bool: all that the plate did not recover, and all that is affected.
        erase_mask: Pixels of the object, its shadow and its reflection (T, H, W) bool.
        affected_mask: Pixels that change once the object is gone (T, H, W) bool; empty unless `RemoverSpec.physics`.
        first: Number of the first frame in the clip.
        x: Left edge of the region in the clip's stored orientation, in pixels.
        y: Top edge of the region.
        tick: Reports progress: (steps done, steps in all).
        agree: Pixels to generate that show what an earlier keyframe shows, and should go on to do so (T, H, W) bool;
            None unless `RemoverSpec.paints`.
    """

    frames: Array
    inpaint_mask: Array
    erase_mask: Array
    affected_mask: Array
    first: int
    x: int
    y: int
    tick: Callable[[int, int], None]
    agree: Array | None = None


@dataclass(frozen=True)
class Fill:
    """The result of a stage.

    Attributes:
        frames: R'G'B' (T, H, W, 3) float32 in [0, 1], of the shape of `Shot.frames`.
        difference_mask: Pixels outside the erase mask that the remover changed (T, H, W) bool, for one that also
            removes shadows, reflections and light; None: it changed nothing there.
    """

    frames: Array
    difference_mask: Array | None = None


class Remover(Protocol):
    """Generates the pixels that no frame of the clip shows.

    A class that satisfies this protocol and takes `Settings` as its only argument can be registered. It is made
    to plan a job and again in each process that works on it, so all that it knows comes from its settings.

    Attributes:
        spec: Its properties.
    """

    spec: ClassVar[RemoverSpec]

    def __init__(self, settings: Settings) -> None:
        """Check the settings; raises `UsageError`. Networks are loaded later, by `run`."""

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Split the work into stages, which the job turns into tasks.

        The same `shot` must always give the same stages. An empty list leaves the plate as it is.
        """

    def size(self, width: int, height: int) -> tuple[int, int] | None:
        """Return the (width, height) that a region of this size is resized to; None: no resizing."""

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Generate the frames of a stage.

        Args:
            stage: One of those that `stages` returned.
            shot: The stage's pixels.
            inputs: Fills of the stages in `stage.needs`; those with an empty inpaint mask are missing. Only frames
                that a later stage needs are kept; others are black.

        Returns:
            Frames of the shape of `shot.frames`. Pixels outside the inpaint mask and the difference mask are ignored.
        """
