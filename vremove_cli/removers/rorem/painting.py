"""The sampling loop of SDXL's inpainting, from a picture whose hole is filled already.

The same numbers as diffusers' `StableDiffusionXLInpaintPipeline` with the same generator: it draws, in this order, the
latents of the picture, the noise, the latents of the masked picture, and the noise of the steps. That pipeline starts
from the picture with the object in it, of which a strength below 1 lets a trace through. Here the start is a picture
without the object.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any

from vremove_cli.networks import sdxl
from vremove_cli.networks.phases import clock
from vremove_cli.removers.common.vae_tiling import VaeRunner

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

FULL = 0.99  # strength of a fill from scratch: at 1 the network degrades (released code)


@dataclass(frozen=True)
class Networks:
    """What paints.

    Attributes:
        unet: The inpainting UNet.
        vae: The VAE.
        run_vae: How the VAE is run.
        scheduler: A scheduler of diffusers, on the CPU.
    """

    unet: "UNet2DConditionModel"
    vae: "AutoencoderKL"
    run_vae: VaeRunner
    scheduler: Any


@dataclass(frozen=True)
class Schedule:
    """How much is denoised.

    Attributes:
        grid: Steps that the whole way from noise would take.
        strength: Share of that way that is walked, above 0 to 1.
        guidance: Scale of classifier-free guidance; 1: none.
    """

    grid: int
    strength: float = FULL
    guidance: float = 1.0

    @classmethod
    def of(cls, steps: int, strength: float = FULL, guidance: float = 1.0) -> "Schedule":
        """Return the schedule that takes a number of steps from scratch, and a part of them with less strength."""
        return cls(ceil(steps / FULL), strength, guidance)

    @property
    def steps(self) -> int:
        """The steps that are run."""
        return min(int(self.grid * self.strength), self.grid)


def paint(
    networks: Networks,
    schedule: Schedule,
    start: "torch.Tensor",
    mask: "torch.Tensor",
    text: sdxl.Text,
    negative: sdxl.Text,
    generator: "torch.Generator",
    tick: Callable[[int], None],
) -> "torch.Tensor":
    """Return a picture (1, 3, H, W) of about [-1, 1] with its hole painted.

    Args:
        networks: What paints.
        schedule: How much is denoised.
        start: The picture (1, 3, H, W) in [-1, 1], its hole filled without the object; H and W are multiples of 8.
        mask: The hole (1, 1, H, W), 0 or 1.
        text: Embeddings of the prompt.
        negative: Embeddings of the prompt to lead away from; used with guidance.
        generator: Source of all noise, on the CPU.
        tick: Called with the number of each step done, from 0.
    """
    import torch
    from diffusers.utils.torch_utils import randn_tensor

    unet, scheduler, device = networks.unet, networks.scheduler, start.device
    guided, dtype = schedule.guidance > 1, unet.dtype
    scheduler.set_timesteps(schedule.grid)
    skipped = schedule.grid - schedule.steps
    scheduler.set_begin_index(skipped)
    times = scheduler.timesteps[skipped:]
    size = (1, networks.vae.config.latent_channels, start.shape[2] // sdxl.PIXELS, start.shape[3] // sdxl.PIXELS)
    with clock.phase("encode", device.type):
        picture = _latents(networks, start, generator).to(dtype) if schedule.strength < 1 else None
        noise = randn_tensor(size, generator=generator, device=device, dtype=dtype)
        masked = _latents(networks, start * (mask < 0.5), generator).to(dtype)
    if picture is None:
        latents = noise * scheduler.init_noise_sigma
    else:
        latents = scheduler.add_noise(picture, noise, times[:1])
    small = torch.nn.functional.interpolate(mask, size=size[2:]).to(dtype)
    beside = torch.cat([small, masked], 1)
    side = (start.shape[2], start.shape[3])
    conditions = _conditions(text, negative, side, guided=guided)
    batch = 2 if guided else 1
    extra = {"generator": generator} if scheduler.__class__.__name__ == "LCMScheduler" else {}
    for n, (time, on_device) in enumerate(zip(times, times.to(device), strict=True)):
        with clock.step(n, len(times), device.type):
            scaled = scheduler.scale_model_input(latents.expand(batch, -1, -1, -1), time)
            channels = torch.cat([scaled, beside.expand(batch, -1, -1, -1)], 1)
            predicted = unet(channels, on_device, **conditions, return_dict=False)[0]
            if guided:
                away, towards = predicted.chunk(2)
                predicted = away + schedule.guidance * (towards - away)
            latents = scheduler.step(predicted, time, latents, **extra, return_dict=False)[0].to(dtype)
        tick(n)
    with clock.phase("decode", device.type):
        return networks.run_vae.decode(partial(sdxl.decode, networks.vae), latents.to(networks.vae.dtype))


def _latents(networks: Networks, pictures: "torch.Tensor", generator: "torch.Generator") -> "torch.Tensor":
    moments = networks.run_vae.encode(partial(sdxl.encode_moments, networks.vae), pictures.to(networks.vae.dtype))
    return sdxl.draw_latents(networks.vae, moments, generator)


def _conditions(text: sdxl.Text, negative: sdxl.Text, size: tuple[int, int], *, guided: bool) -> dict[str, Any]:
    """Return the UNet's arguments beside its channels and the time."""
    import torch

    texts = (negative, text) if guided else (text,)
    ids = torch.tensor([[*size, 0, 0, *size]], dtype=text.states.dtype).to(text.states.device)
    return {
        "encoder_hidden_states": torch.cat([t.states for t in texts]),
        "added_cond_kwargs": {
            "text_embeds": torch.cat([t.pooled for t in texts]),
            "time_ids": ids.expand(len(texts), -1),
        },
    }
