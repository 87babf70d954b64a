"""The common part of removers on Wan: working size, padding, noise, decoding, crossfades."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from vremove_cli.geometry import Array
from vremove_cli.networks import wan
from vremove_cli.networks.phases import clock
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, Stage
from vremove_cli.removers.common import placement, vae_tiling
from vremove_cli.removers.common.difference_mask import difference_mask
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT, initial_latents, latents_of
from vremove_cli.removers.common.resize import pad_mirrored, work_size
from vremove_cli.removers.common.temporal_windows import crossfade, inject_keyframes, is_join

if TYPE_CHECKING:
    import torch

HEAD_CHANNELS = 128  # of an attention head, in all transformers of this family


class Denoiser(Protocol):
    """The networks of a remover, ready to run.

    Attributes:
        vae: Wan's VAE, which decodes the result.
    """

    vae: Any

    def __call__(
        self, frames: Array, mask: Array, noise: "torch.Tensor", tick: Callable[[int], None]
    ) -> "torch.Tensor":
        """Denoise.

        Args:
            frames: (T, H, W, 3) float32 in [0, 1].
            mask: Pixels to remove (T, H, W) bool.
            noise: (1, 16, L, h, w) float32.
            tick: Gets the number of each step, from 0.

        Returns:
            Latents (1, 16, L, h, w).
        """


class WanRemover(ABC):
    """A remover on Wan; see `removers.base.Remover`.

    Attributes:
        spec: Its properties.
        area: Pixels of a frame in training.
        qualities: Number of steps of each `--quality`.
    """

    spec: ClassVar[RemoverSpec]
    area: int
    qualities: Mapping[str, int]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def length(self, frames: int) -> int:
        """Return the number of frames that a clip is padded to."""

    @abstractmethod
    def denoiser(self, runtime: placement.Runtime) -> Denoiser:
        """Load the networks."""

    def steps(self) -> int:
        """Return the number of denoising steps, by `--steps` or `--quality`."""
        return self.settings.steps or self.qualities[self.settings.quality]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of `--size`, or the region's shape at the area of the training."""
        return self.settings.size or work_size(width, height, self.area, 16)

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Generate the frames of a stage, or crossfade two."""
        if is_join(stage):
            filled = crossfade(stage, inputs, shot.frames)
        else:
            mask = shot.erase_mask if self.spec.input == "source" else shot.inpaint_mask
            filled = self._generate(stage, shot, mask, inputs)
        if self.spec.input != "source" or stage.step > 1:
            return Fill(filled)
        return Fill(filled, difference_mask(filled, shot.frames, shot.erase_mask))

    def _generate(self, stage: Stage, shot: Shot, mask: Array, inputs: Mapping[Stage, Fill]) -> Array:
        """Return the frames of a stage, (T, h, w, 3) float32 in [0, 1]."""
        frames, mask = inject_keyframes(stage, shot.frames, mask, inputs)
        demand = self.spec.demand(self.settings, (frames.shape[2], frames.shape[1]))

        def run(runtime: placement.Runtime) -> Array:
            return self._frames(stage, shot, frames, mask, runtime)

        return placement.run_networks(run, self.settings, demand, HEAD_CHANNELS)

    def _frames(self, stage: Stage, shot: Shot, frames: Array, mask: Array, runtime: placement.Runtime) -> Array:
        """Return the frames of a stage."""
        import torch

        length, (height, width) = self.length(len(frames)), frames.shape[1:3]
        step = FRAMES_PER_LATENT * stage.step
        times = range(stage.start, stage.start + step * latents_of(length), step)
        noise = torch.from_numpy(initial_latents(self.settings.seed, times, (height // 8, width // 8)))
        denoise, total = self.denoiser(runtime), self.steps()
        latents = denoise(
            pad_mirrored(frames, length),
            pad_mirrored(mask, length),
            noise.transpose(1, 2).to(runtime.device),
            lambda n: shot.tick(n + 1, total),
        )
        with clock.phase("decode", runtime.device):
            run = partial(wan.decode, denoise.vae)
            decoded = vae_tiling.vae_runner(runtime.mode.tile).decode(run, latents.to(denoise.vae.dtype))
        return vae_tiling.as_frames(decoded)[: len(frames)]
