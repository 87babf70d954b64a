"""CogVideoX as VideoX-Fun runs it: the VAE's decode rule, and where tokens are.

The modules are diffusers'. What differs is how a clip is decoded: the first latent alone gives one frame, then pairs of
latents give eight, and a last single one gives four, so that L latents are 4(L - 1) + 1 frames for any L.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any


def encode(vae: Any, video: Any) -> Any:
    """The posterior's mode of a video (1, 3, F, H, W), scaled: (1, 16, L, H/8, W/8)."""
    return vae.encode(video).latent_dist.mode() * vae.config.scaling_factor


def decode(vae: Any, latents: Any) -> Any:
    """Raw latents (1, 16, L, h, w), not scaled, as frames (1, 3, 4(L - 1) + 1, 8h, 8w)."""
    import torch

    cache, frames = None, []
    edges = [0, 1, *range(3, latents.shape[2], 2), latents.shape[2]]
    with _fun_upsampling(vae.decoder) as first:
        for start, stop in zip(edges, edges[1:], strict=False):
            if stop > start:
                first[0] = start == 0
                part, cache = vae.decoder(latents[:, :, start:stop], conv_cache=cache)
                frames.append(part)
    return torch.cat(frames, dim=2)


@contextmanager
def _fun_upsampling(decoder: Any) -> Iterator[list[bool]]:
    """Let the upsamplers in time double every latent but the first of a clip; what is given says whether that is it."""
    from diffusers.models.upsampling import CogVideoXUpsample3D

    first = [True]
    changed = [m for m in decoder.modules() if isinstance(m, CogVideoXUpsample3D) and m.compress_time]
    for module in changed:
        module.forward = partial(_upsampled, module, first)
    try:
        yield first
    finally:
        for module in changed:
            del module.forward


def _upsampled(module: Any, first: list[bool], x: Any) -> Any:
    from torch.nn.functional import interpolate

    x = interpolate(x, scale_factor=(1.0, 2.0, 2.0) if first[0] else 2.0)
    count = x.shape[2]
    flat = module.conv(x.transpose(1, 2).flatten(0, 1))
    return flat.unflatten(0, (-1, count)).transpose(1, 2)


def rotary(config: Any, latents: int, height: int, width: int, device: Any) -> tuple[Any, Any]:
    """Rotary embeddings (tokens, head dim), cosine and sine, of a window of latents (latents, height, width).

    Times begin at 0 in every window.
    """
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    side, time = config.patch_size, config.patch_size_t or 1
    grid = (height // side, width // side)
    cosine, sine = get_3d_rotary_pos_embed(
        config.attention_head_dim, None, grid, -(-latents // time), grid_type="slice",
        max_size=(config.sample_height // side, config.sample_width // side), device=device,
    )  # fmt: skip
    return cosine, sine
