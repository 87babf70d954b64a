"""VOID's sampling: overlapping windows over the latents of a whole clip, blended after each step.

Bar-Tal et al., "MultiDiffusion", 2023, applied to time: each window is denoised and stepped from the same latents;
where windows overlap, the weighted mean of their results is the input of the next step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vremove_cli.networks.cogvideox import encode, rotary
from vremove_cli.networks.phases import clock
from vremove_cli.removers.common.step_cache import cached_as, step_cache
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
        vae: CogVideoX's VAE. The videos go to its device one after the other, in its type.
        video: (1, 3, F, H, W) in [-1, 1].
        mask: (1, 1, F, H, W), by `quadmask.vae_input`.
        noise: Standard normal (1, 3, F, H, W); black pixels of the video do not get it.
        text: Prompt embeddings (N, tokens, D).
        apply: Runs the encoder: over the whole picture or in tiles.
    """
    import torch

    noised = torch.where(video == -1, video, video + NOISE * noise)
    latents = [
        apply(partial(encode, vae), part.to(vae.dtype).to(vae.device).expand_as(video)).transpose(1, 2)
        for part in (mask, noised)
    ]
    return Conditioning(latents[0].to(text.dtype), latents[1].to(text.dtype), text)


def sample(
    transformer: "CogVideoXTransformer3DModel",
    scheduler: "DDIMScheduler",
    latents: "torch.Tensor",
    conditioning: Conditioning,
    windows: Sequence[tuple[int, int]],
    steps: int,
    guidance: float = 1.0,
    tick: "Callable[[int, torch.Tensor], None]" = lambda _step, _latents: None,
    *,
    draft: bool = False,
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
        draft: Whether blocks are skipped where a step changes little.

    Returns:
        Latents (1, L, 16, h, w).
    """
    import torch

    scheduler.set_timesteps(steps)  # on the CPU: its arithmetic waits for no device there
    latents = latents * scheduler.init_noise_sigma
    parts = _windows(transformer, windows, latents)
    weight = torch.zeros((1, latents.shape[1], 1, 1, 1), device=latents.device)
    for part in parts:
        weight[:, part.place] += part.ramp
    pass_ = _Pass(transformer, scheduler, scheduler.timesteps.to(latents.device), conditioning, guidance)
    with step_cache(transformer, draft):
        for n in range(steps):
            with clock.step(n, steps, latents.device.type):
                total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
                for part in parts:
                    total[:, part.place] += pass_.step(latents[:, part.place], n, part) * part.ramp
                latents = (total / weight).to(latents.dtype)
            tick(n, latents)
    return latents


@dataclass(frozen=True)
class _Window:
    """Latents that are denoised together.

    Attributes:
        place: Where they are in the clip.
        ramp: Their weights (1, length, 1, 1, 1), in the type of the latents.
        rotation: Rotary embeddings of their tokens.
    """

    place: slice
    ramp: "torch.Tensor"
    rotation: "tuple[torch.Tensor, torch.Tensor]"


def _windows(
    transformer: "CogVideoXTransformer3DModel", windows: Sequence[tuple[int, int]], latents: "torch.Tensor"
) -> list[_Window]:
    """Return windows with all that does not change from step to step, on the device of the latents."""
    height, width = latents.shape[-2:]
    lengths = {stop - start for start, stop in windows}
    rotations = {n: rotary(transformer.config, n, height, width, latents.device) for n in lengths}
    return [
        _Window(
            slice(start, stop),
            window_weights(stop - start, first=k == 0, last=k == len(windows) - 1).to(latents),
            rotations[stop - start],
        )
        for k, (start, stop) in enumerate(windows)
    ]


@dataclass(frozen=True)
class _Pass:
    """What all windows and steps of a pass share.

    Attributes:
        transformer: The network.
        scheduler: Its scheduler, on the CPU.
        timesteps: The scheduler's timesteps (steps,), on the device.
        conditioning: The pass's conditioning.
        guidance: Scale of classifier-free guidance.
    """

    transformer: "CogVideoXTransformer3DModel"
    scheduler: "DDIMScheduler"
    timesteps: "torch.Tensor"
    conditioning: Conditioning
    guidance: float

    def step(self, latents: "torch.Tensor", n: int, window: _Window) -> "torch.Tensor":
        """Return a window's latents after step `n`.

        Prediction and guidance are combined in float32, the rest runs in the network's own dtype.
        """
        import torch

        timestep, given, place = self.scheduler.timesteps[n], self.conditioning, window.place
        noisy = self.scheduler.scale_model_input(latents, timestep)
        channels = torch.cat([noisy, given.mask[:, place], given.video[:, place]], 2)
        count = len(given.text)
        with cached_as(self.transformer, f"latents from {place.start}"):
            predicted = self.transformer(
                hidden_states=channels.expand(count, *channels.shape[1:]).to(self.transformer.dtype),
                encoder_hidden_states=given.text,
                timestep=self.timesteps[n].expand(count),
                image_rotary_emb=window.rotation,
                return_dict=False,
            )[0].float()
        if count == 2:
            negative, positive = predicted.chunk(2)
            predicted = negative + self.guidance * (positive - negative)
        stepped: torch.Tensor = self.scheduler.step(predicted, timestep, latents, return_dict=False)[0]
        return stepped.to(latents.dtype)
