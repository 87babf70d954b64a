"""MiniMax-Remover: fills a hole in a few steps, without text and without guidance.

Zi et al., "MiniMax-Remover: Taming Bad Noise Helps Video Object Removal", 2025, by the released code. The network sees
the hole in middle gray and leaves shadows as they are, so it gets a crop with all recovered pixels in place.
"""

import json
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.networks import minimax, wan
from vremove_cli.removers.base import RemoverSpec, Settings, ShotInfo, Stage
from vremove_cli.removers.common import placement, vae_tiling
from vremove_cli.removers.common.initial_latents import padded_length
from vremove_cli.removers.common.temporal_windows import overlapping_stages
from vremove_cli.removers.common.vram_estimate import Network
from vremove_cli.removers.common.wan.remover import VAE_BYTES, WanRemover
from vremove_cli.removers.common.wan.sigma_schedules import sample_with_scheduler
from vremove_cli.removers.minimax import conditioning
from vremove_cli.weights.load import load_strict, read_state

if TYPE_CHECKING:
    import torch

LONGEST, SHARED = 81, 20  # frames of a window, and those that two windows share
STEPS = {"draft": 6, "standard": 12, "best": 20}
MOST = 500  # steps: with more, two of them have the same timestep
OWN = "minimax-remover"


class MiniMaxRemover(WanRemover):
    """See `removers.base.Remover`."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(
        "minimax",
        "CC-BY-NC-4.0",
        "crop",
        multiple=16,
        context=96,
        models=(OWN,),
        accepts=("quality", "steps", "size"),
        network=Network(1_127_055_424, 30, 1536, 8960, LONGEST, 1, VAE_BYTES),
    )
    area = 480 * 832
    qualities = STEPS

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if self.steps() > MOST:
            raise UsageError(f"minimax takes {MOST} steps at most", f"give --steps {MOST}, or fewer")

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Return windows of each shot, which fade into each other."""
        return overlapping_stages("minimax", shot.shots, LONGEST, SHARED)

    def length(self, frames: int) -> int:
        """Return 4n + 1, as the VAE needs it."""
        return padded_length(frames)

    def denoiser(self, device: str, dtype: "torch.dtype", mode: placement.MemoryMode) -> "_MiniMax":
        """Load the networks."""
        return _MiniMax(self.settings, device, dtype, mode, self.steps())


class _MiniMax:
    """See `common.wan.remover.Denoiser`."""

    def __init__(
        self, settings: Settings, device: str, dtype: "torch.dtype", mode: placement.MemoryMode, steps: int
    ) -> None:
        self._device, self._steps = device, steps
        self._folder = settings.model_paths[OWN]
        self._transformer, self.vae = _opened(self._folder, device, dtype, mode)
        self._encode = vae_tiling.vae_runner(mode.tiled).encode

    def __call__(
        self, frames: Array, mask: Array, noise: "torch.Tensor", tick: Callable[[int], None]
    ) -> "torch.Tensor":
        import torch
        from diffusers import UniPCMultistepScheduler

        videos = conditioning.vae_inputs(frames * 2 - 1, conditioning.dilate_cross(mask))
        video_latents, mask_latents = (
            self._encode(partial(wan.encode, self.vae), video.to(self._device, self.vae.dtype)) for video in videos
        )
        settings = UniPCMultistepScheduler.load_config(Path(self._folder) / "scheduler", local_files_only=True)

        def predict(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            channels = torch.cat([latents, video_latents.to(latents), mask_latents.to(latents)], 1)
            return minimax.predict(self._transformer, channels, timestep)

        scheduler = UniPCMultistepScheduler.from_config(settings)
        return sample_with_scheduler(predict, scheduler, noise, self._steps, lambda n, _: tick(n))


@lru_cache(maxsize=1)
def _opened(folder: str, device: str, dtype: Any, mode: placement.MemoryMode) -> tuple[Any, Any]:
    """The transformer and the VAE, kept for the next window."""
    from diffusers import AutoencoderKLWan
    from diffusers.utils import logging

    logging.set_verbosity_error()
    own = Path(folder)
    vae = AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(own / "vae", local_files_only=True))
    weights = own / "vae" / "diffusion_pytorch_model.safetensors"
    load_strict(vae, read_state(str(weights)), str(weights))
    file = own / "transformer" / "diffusion_pytorch_model.safetensors"
    config = json.loads((own / "transformer" / "config.json").read_text(encoding="utf-8"))
    transformer = minimax.load_transformer(config, read_state(str(file)), str(file), dtype)
    return placement.place(transformer, device, mode), vae.to(device, dtype).eval()
