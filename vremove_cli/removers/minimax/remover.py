"""MiniMax-Remover: fills a hole in a few steps, without text and without guidance.

Zi et al., "MiniMax-Remover: Taming Bad Noise Helps Video Object Removal", 2025, by the released code. The network sees
the hole in middle gray and leaves shadows as they are, so it gets a crop with all recovered pixels in place.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.networks import minimax, wan
from vremove_cli.networks.convolutions import laid_out
from vremove_cli.networks.model_pool import pool
from vremove_cli.networks.phases import clock
from vremove_cli.removers.base import RemoverSpec, Settings, ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.initial_latents import padded_length
from vremove_cli.removers.common.temporal_windows import overlapping_stages
from vremove_cli.removers.common.vae_tiling import vae_runner
from vremove_cli.removers.common.vram_estimate import WAN_VAE, Network
from vremove_cli.removers.common.wan.model import transformer_files
from vremove_cli.removers.common.wan.remover import WanRemover
from vremove_cli.removers.common.wan.sigma_schedules import sample_with_scheduler
from vremove_cli.removers.minimax import conditioning
from vremove_cli.weights.load import load_strict, read_state
from vremove_cli.weights.store import Checkpoint

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

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
        accepts=("quality", "steps", "size", "compile"),
        network=Network(
            resident=2_261_229_696,
            fp8=1_151_763_008,
            offload=189_204_608,
            token=46_980,
            fixed=0,
            window=LONGEST,
            longest=LONGEST,
            latents=1,
            vae=WAN_VAE,
            largest=27_525_120,
        ),
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

    def denoiser(self, runtime: placement.Runtime) -> "_MiniMax":
        """Load the networks."""
        return _MiniMax(self.settings, runtime, self.steps())


class _MiniMax:
    """See `common.wan.remover.Denoiser`."""

    def __init__(self, settings: Settings, runtime: placement.Runtime, steps: int) -> None:
        self._runtime, self._steps = runtime, steps
        self._checkpoint = settings.checkpoints[OWN]
        self._transformer, self.vae = _load_networks(self._checkpoint, runtime)

    def __call__(
        self, frames: Array, mask: Array, noise: "torch.Tensor", tick: Callable[[int], None]
    ) -> "torch.Tensor":
        import torch
        from diffusers import UniPCMultistepScheduler

        device, encode = self._runtime.device, vae_runner(self._runtime.mode.tile).encode
        with clock.phase("encode", device):
            videos = conditioning.vae_inputs(frames * 2 - 1, conditioning.dilate_cross(mask))
            video_latents, mask_latents = (
                encode(partial(wan.encode, self.vae), video.to(self.vae.dtype).to(device)) for video in videos
            )
        settings = UniPCMultistepScheduler.load_config(self._checkpoint.part("scheduler"), local_files_only=True)

        def predict(latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            channels = torch.cat([latents, video_latents.to(latents), mask_latents.to(latents)], 1)
            return minimax.predict(self._transformer, channels, timestep)

        scheduler = UniPCMultistepScheduler.from_config(settings)
        return sample_with_scheduler(predict, scheduler, noise, self._steps, lambda n, _: tick(n))


def _load_networks(
    checkpoint: Checkpoint, runtime: placement.Runtime
) -> tuple["WanTransformer3DModel", "AutoencoderKLWan"]:
    """The transformer and the VAE; the pool keeps them for the next window."""
    path, device, dtype = checkpoint.path, runtime.device, runtime.vae_dtype
    vae = pool.get("vae", (path, dtype), lambda: laid_out(_load_vae(checkpoint, dtype), device), device)
    transformer = pool.get(
        "remove",
        (path, runtime),
        lambda: placement.place(_load_transformer(checkpoint, runtime.dtype), runtime),
        device,
    )
    return transformer, vae


def _load_vae(checkpoint: Checkpoint, dtype: "torch.dtype") -> "AutoencoderKLWan":
    import torch
    from diffusers import AutoencoderKLWan

    file = checkpoint.part("vae")
    with torch.device("meta"):
        vae = AutoencoderKLWan.from_config(AutoencoderKLWan.load_config(file.parent, local_files_only=True))
    load_strict(vae, read_state(str(file)), str(file))
    return vae.to(dtype).eval()


def _load_transformer(checkpoint: Checkpoint, dtype: "torch.dtype") -> "WanTransformer3DModel":
    config, file = transformer_files(checkpoint)
    state = read_state(str(file))
    return minimax.load_transformer(json.loads(config.read_text(encoding="utf-8")), state, str(file), dtype)
