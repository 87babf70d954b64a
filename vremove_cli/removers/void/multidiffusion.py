"""VOID's sampling: windows over the latents of a whole clip, blended after each step.

Bar-Tal et al., "MultiDiffusion", 2023, in time: every window is denoised and stepped from the same latents, and what
two windows share is their weighted mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vremove_cli.networks.cogvideox import encode, rotary
from vremove_cli.removers.common.vae_tiling import run_whole
from vremove_cli.removers.void.latent_windows import window_weights

NOISE = 0.0563  # standard deviation of the noise on the conditioning video: exp(-3 + 0.5 ** 2 / 2), as in training


@dataclass(frozen=True)
class Conditioning:
    """What a pass goes by: latents of the mask and of the video (1, L, 16, h, w), and text states (1 or 2, N, D): two
    where it is guided, the negative one first."""

    mask: Any
    video: Any
    text: Any


def make_conditioning(
    vae: Any, video: Any, mask: Any, noise: Any, text: Any, apply: Callable[..., Any] = run_whole
) -> Conditioning:
    """The condition from a video (1, 3, F, H, W) in [-1, 1], a mask (1, 1, F, H, W) as the network sees it, and
    standard normal noise of the video's shape, which black pixels do not get. `apply` runs the VAE: at once, or in
    tiles."""
    import torch

    noised = torch.where(video == -1, video, video + NOISE * noise)
    dtype = vae.dtype
    latents = [apply(partial(encode, vae), part.to(dtype)).transpose(1, 2) for part in (mask.expand_as(video), noised)]
    return Conditioning(latents[0], latents[1], text)


def sample(
    transformer: Any, scheduler: Any, latents: Any, condition: Conditioning, windows: Sequence[tuple[int, int]],
    steps: int, guidance: float = 1.0, tick: Callable[[int, Any], None] = lambda _step, _latents: None,
) -> Any:  # fmt: skip
    """Latents (1, L, 16, h, w) after all steps, from those given; `tick` gets each step's number and its latents."""
    import torch

    scheduler.set_timesteps(steps, device=latents.device)
    latents = latents * scheduler.init_noise_sigma
    height, width = latents.shape[-2:]
    lengths = {stop - start for start, stop in windows}
    turns = {n: rotary(transformer.config, n, height, width, latents.device) for n in lengths}
    for n, time in enumerate(scheduler.timesteps):
        total = torch.zeros(latents.shape, dtype=torch.float32, device=latents.device)
        weight = torch.zeros((1, latents.shape[1], 1, 1, 1), dtype=torch.float32, device=latents.device)
        for k, (start, stop) in enumerate(windows):
            part = slice(start, stop)
            stepped = _stepped(
                transformer, scheduler, latents[:, part], time, condition, part, guidance, turns[stop - start]
            )
            ramp = window_weights(stop - start, first=k == 0, last=k == len(windows) - 1).to(latents)
            total[:, part] += stepped * ramp
            weight[:, part] += ramp
        latents = (total / weight).to(latents.dtype)
        tick(n, latents)
    return latents


def _stepped(
    transformer: Any, scheduler: Any, latents: Any, time: Any, condition: Conditioning, part: slice, guidance: float,
    turns: Any,
) -> Any:  # fmt: skip
    """One window one step on. The prediction and the guidance are in float32, the rest in the network's own type."""
    import torch

    count = len(condition.text)
    noisy = scheduler.scale_model_input(latents, time)
    given = torch.cat([noisy, condition.mask[:, part], condition.video[:, part]], 2)
    predicted = transformer(
        hidden_states=given.expand(count, *given.shape[1:]).to(transformer.dtype),
        encoder_hidden_states=condition.text, timestep=time.expand(count), image_rotary_emb=turns, return_dict=False,
    )[0].float()  # fmt: skip
    if count == 2:
        without, with_text = predicted.chunk(2)
        predicted = without + guidance * (with_text - without)
    return scheduler.step(predicted, time, latents, return_dict=False)[0].to(latents.dtype)
