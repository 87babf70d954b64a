"""What removers on Wan have in common: their size, their stages, and the way from frames to frames."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.networks import devices, wan
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, Stage
from vremove_cli.removers.common import placement, vae_tiling
from vremove_cli.removers.common.difference_mask import difference_mask
from vremove_cli.removers.common.initial_latents import initial_latents
from vremove_cli.removers.common.resize import pad_mirrored, work_size
from vremove_cli.removers.common.temporal_windows import crossfade, inject_keyframes, is_join
from vremove_cli.removers.void.quadmask import ERASED, quantise

VAE_BYTES = 254_000_000  # the VAE, in bfloat16


class Denoiser(Protocol):
    """Goes from noise to latents (1, 16, L, h, w) for frames (T, H, W, 3) in [0, 1] and a mask (T, H, W) bool."""

    vae: Any

    def __call__(self, frames: Array, mask: Array, noise: Any, tick: Callable[[int], None]) -> Any: ...


class WanRemover(ABC):
    """A remover; those that derive from it say what they are, how long a clip they take, and how they denoise."""

    spec: RemoverSpec
    area: int  # pixels it was trained at
    qualities: Mapping[str, int]  # steps by quality

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def length(self, frames: int) -> int:
        """Frames that a clip is padded to."""

    @abstractmethod
    def denoiser(self, device: str, dtype: Any, mode: placement.MemoryMode) -> Denoiser:
        """Its networks, ready to run."""

    def steps(self) -> int:
        """Steps that are asked for, or that its quality wants."""
        return self.settings.steps or self.qualities[self.settings.quality]

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) it works at: as asked, or the region's shape and the area it was trained for."""
        return self.settings.size or work_size(width, height, self.area, 16)

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Make a run of frames, or join two."""
        import torch

        erase = np.isin(quantise(shot.quad), ERASED)
        if is_join(stage):
            made = crossfade(stage, inputs, shot.frames)
        else:
            with torch.inference_mode():
                made = self._made(stage, shot, erase if self.spec.input == "source" else shot.inpaint_mask, inputs)
        if self.spec.input != "source" or stage.step > 1:
            return Fill(made)
        return Fill(made, difference_mask(made, shot.frames, erase))

    def _made(self, stage: Stage, shot: Shot, mask: Array, inputs: Mapping[Stage, Fill]) -> Array:
        """The frames of a stage, (T, h, w, 3) float32 in [0, 1]."""
        import torch

        device, _ = devices.choose_device(self.settings.device)
        dtype = torch.bfloat16 if device == "cuda" else torch.float32
        frames, mask = inject_keyframes(stage, shot.frames, mask, inputs)
        length, (height, width) = self.length(len(frames)), frames.shape[1:3]
        each = wan.FRAMES_PER_LATENT * stage.step
        times = range(stage.start, stage.start + each * wan.latents_of(length), each)
        noise = torch.from_numpy(initial_latents(self.settings.seed, times, (height // 8, width // 8)))
        mode = placement.choose_mode(self.spec.network, (width, height), device)
        denoise, total = self.denoiser(device, dtype, mode), self.steps()
        latents = denoise(
            pad_mirrored(frames, length), pad_mirrored(mask, length), noise.transpose(1, 2).to(device),
            lambda n: shot.tick(n + 1, total),
        )  # fmt: skip
        made = vae_tiling.vae_runner(mode.tiled).decode(partial(wan.decode, denoise.vae), latents.to(denoise.vae.dtype))
        pictures = (made[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
        return np.asarray(pictures[: len(frames)].cpu().numpy())
