"""CogVideoX as VideoX-Fun runs it: the VAE's rule of decoding, and the tokens' rotary embeddings.

The modules are diffusers'. VideoX-Fun decodes the first latent to one frame, then pairs of latents to eight frames, and
a last single latent to four, so that L latents give 4(L - 1) + 1 frames for any L.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLCogVideoX
    from diffusers.configuration_utils import FrozenDict


def encode(vae: "AutoencoderKLCogVideoX", video: "torch.Tensor") -> "torch.Tensor":
    """Return the posterior's mode of a video (1, 3, T, H, W) in [-1, 1], scaled: (1, 16, L, H/8, W/8)."""
    return vae.encode(video).latent_dist.mode() * vae.config.scaling_factor


def decode(vae: "AutoencoderKLCogVideoX", latents: "torch.Tensor") -> "torch.Tensor":
    """Return the frames (1, 3, 4(L - 1) + 1, 8h, 8w) of latents (1, 16, L, h, w) that are not scaled."""
    import torch

    cache, frames = None, []
    edges = [0, 1, *range(3, latents.shape[2], 2), latents.shape[2]]
    with _fun_upsampling(vae.decoder) as is_first:
        for start, stop in zip(edges, edges[1:], strict=False):
            if stop > start:
                is_first[0] = start == 0
                part, cache = vae.decoder(latents[:, :, start:stop], conv_cache=cache)
                frames.append(part)
    return torch.cat(frames, dim=2)


@contextmanager
def _fun_upsampling(decoder: "torch.nn.Module") -> Iterator[list[bool]]:
    """Make the temporal upsamplers double every latent except a clip's first one.

    Yields:
        A list of one value, for the caller to set: whether the latents to decode next are a clip's first one.
    """
    from diffusers.models.upsampling import CogVideoXUpsample3D

    is_first = [True]
    temporal = [m for m in decoder.modules() if isinstance(m, CogVideoXUpsample3D) and m.compress_time]
    for module in temporal:
        module.forward = partial(_upsample, module, is_first)
    try:
        yield is_first
    finally:
        for module in temporal:
            del module.forward


def _upsample(module: "torch.nn.Module", is_first: list[bool], x: "torch.Tensor") -> "torch.Tensor":
    from torch.nn.functional import interpolate

    x = interpolate(x, scale_factor=(1.0, 2.0, 2.0) if is_first[0] else 2.0)
    count = x.shape[2]
    flat: torch.Tensor = module.conv(x.transpose(1, 2).flatten(0, 1))  # type: ignore[operator]
    return flat.unflatten(0, (-1, count)).transpose(1, 2)  # type: ignore[no-untyped-call]


def rotary(
    config: "FrozenDict", latents: int, height: int, width: int, device: "torch.device | str"
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the rotary embeddings of a window's tokens, cosine and sine, (tokens, head dim).

    Times begin at 0 in every window.

    Args:
        config: The transformer's configuration.
        latents: Latents of the window in time.
        height: Height of a latent.
        width: Width of a latent.
        device: Where the tables are made.
    """
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    side, time = config.patch_size, config.patch_size_t or 1
    cosine, sine = get_3d_rotary_pos_embed(
        config.attention_head_dim,
        None,
        (height // side, width // side),
        -(-latents // time),
        grid_type="slice",
        max_size=(config.sample_height // side, config.sample_width // side),
        device=device,
    )
    return cosine, sine
