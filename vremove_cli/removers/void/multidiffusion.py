"""VOID's sampling: overlapping windows over the latents of a whole clip, blended after each step.

Bar-Tal et al., "MultiDiffusion", 2023, applied to time: each window is denoised and stepped from the same latents;
where windows overlap, the weighted mean of their results is the input of the next step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vremove_cli.networks.cogvideox import encode, rotary
from vremove_cli.removers.common.vae_tiling import ApplyCoder, run_whole
from vremove_cli.removers.void.latent_windows import window_weights

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel, DDIMScheduler

NOISE = 0.0563  # standard deviation of the noise on the conditioning video: exp(-3 + 0.5 ** 2 / 2), as in training


@dataclass(frozen=True)
class Conditioning:
    """The conditioning of a pass.

    Attributes:
        mask: Latents of the quadmask (1, L, 16, h, w).
        video: Latents of the source video (1, L, 16, h, w).
        text: Prompt embeddings (N, tokens, D); N is 2 with guidance, the negative prompt first.
    """

    mask: "torch.Tensor"
    video: "torch.Tensor"
    text: "torch.Tensor"


def make_conditioning(
    vae: "AutoencoderKLCogVideoX",
    video: "torch.Tensor",
    mask: "torch.Tensor",
    noise: "torch.Tensor",
    text: "torch.Tensor",
    apply: ApplyCoder = run_whole,
) -> Conditioning:
    """Encode a pass's conditioning.

    Args:
        vae: CogVideoX's VAE.
        video: (1, 3, F, H, W) in [-1, 1].
        mask: (1, 1, F, H, W), by `quadmask.vae_input`.
        noise: Standard normal (1, 3, F, H, W); black pixels of the video do not get it.
        text: Prompt embeddings (N, tokens, D).
        apply: Runs the encoder: over the whole picture or in tiles.
    """
    import torch

    noised = torch.where(video == -1, video, video + NOISE * noise)
    dtype = vae.dtype
    latents = [apply(partial(encode, vae), part.to(dtype)).transpose(1, 2) for part in (mask.expand_as(video), noised)]
    return Conditioning(latents[0], latents[1], text)


def sample(
    transformer: "CogVideoXTransformer3DModel",
    scheduler: "DDIMScheduler",
    latents: "torch.Tensor",
    conditioning: Conditioning,
    windows: Sequence[tuple[int, int]],
    steps: int,
    guidance: float = 1.0,
    tick: "Callable[[int, torch.Tensor], None]" = lambda _step, _latents: None,
) -> "torch.Tensor":
    """Denoise the latents of a clip.

    Args:
        transformer: A pass's network.
        scheduler: Its scheduler.
        latents: Noise (1, L, 16, h, w).
        conditioning: The pass's conditioning.
        windows: Half-open ranges of latents, by `latent_windows`.
        steps: Number of steps.
        guidance: Scale of classifier-free guidance, where the conditioning has two prompts.
        tick: Gets the number of each step and its latents.

    Returns:
        Latents (1, L, 16, h, w).
    """
    import torch

    scheduler.set_timesteps(steps, device=latents.device)
    latents = latents * scheduler.init_noise_sigma
    height, width = latents.shape[-2:]
    lengths = {stop - start for start, stop in windows}
    rotations = {n: rotary(transformer.config, n, height, width, latents.device) for n in lengths}
    for n, timestep in enumerate(scheduler.timesteps):
        total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
        weight = torch.zeros((1, latents.shape[1], 1, 1, 1), dtype=torch.float32, device=latents.device)
        for k, (start, stop) in enumerate(windows):
            part = slice(start, stop)
            rotation = rotations[stop - start]
            stepped = _step(transformer, scheduler, latents[:, part], timestep, conditioning, part, guidance, rotation)
            ramp = window_weights(stop - start, first=k == 0, last=k == len(windows) - 1).to(latents)
            total[:, part] += stepped * ramp
            weight[:, part] += ramp
        latents = (total / weight).to(latents.dtype)
        tick(n, latents)
    return latents


def _step(
    transformer: "CogVideoXTransformer3DModel",
    scheduler: "DDIMScheduler",
    latents: "torch.Tensor",
    timestep: "torch.Tensor",
    conditioning: Conditioning,
    part: slice,
    guidance: float,
    rotation: "tuple[torch.Tensor, torch.Tensor]",
) -> "torch.Tensor":
    """Return one window's latents after a step.

    Prediction and guidance are combined in float32, the rest runs in the network's own dtype.
    """
    import torch

    count = len(conditioning.text)
    noisy = scheduler.scale_model_input(latents, timestep)
    channels = torch.cat([noisy, conditioning.mask[:, part], conditioning.video[:, part]], 2)
    predicted = transformer(
        hidden_states=channels.expand(count, *channels.shape[1:]).to(transformer.dtype),
        encoder_hidden_states=conditioning.text,
        timestep=timestep.expand(count),
        image_rotary_emb=rotation,
        return_dict=False,
    )[0].float()
    if count == 2:
        negative, positive = predicted.chunk(2)
        predicted = negative + guidance * (positive - negative)
    stepped: torch.Tensor = scheduler.step(predicted, timestep, latents, return_dict=False)[0].to(latents.dtype)
    return stepped
