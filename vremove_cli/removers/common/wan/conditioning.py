"""The channels beside the noise in the input of ROSE and UnderEraser: the packed mask and the video's latents.

Channel order of the released code: noise 16, mask 4, video 16.
"""

from typing import TYPE_CHECKING

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.networks import wan
from vremove_cli.networks.phases import clock
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT
from vremove_cli.removers.common.vae_tiling import vae_runner

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan

    from vremove_cli.removers.common.placement import Runtime


def as_video(frames: Array) -> "torch.Tensor":
    """Return frames (T, H, W, 3) float32 in [0, 1] as a tensor (1, 3, T, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None] * 2 - 1


def pack_mask(mask: Array) -> "torch.Tensor":
    """Return an erase mask at the resolution of latents.

    The four channels of a latent are its four frames; those of the first latent are the first frame four times. A
    latent pixel is the mean of the middle 2x2 of its 8x8 pixels, which is what bilinear resizing to an eighth gives.

    Args:
        mask: (T, H, W) bool, T = 4n + 1.

    Returns:
        (1, 4, L, H/8, W/8) float32: 1 where all is kept.
    """
    import torch

    keep = torch.from_numpy(~mask).float()
    keep = torch.cat([keep[:1].expand(3, -1, -1), keep])
    middle = torch.stack([keep[:, y::8, x::8] for y in (3, 4) for x in (3, 4)]).mean(0)
    return middle.view(-1, FRAMES_PER_LATENT, *middle.shape[1:]).transpose(0, 1)[None]


def make_conditioning(
    vae: "AutoencoderKLWan", video: "torch.Tensor", mask: Array, runtime: "Runtime"
) -> "torch.Tensor":
    """Return the channels beside the noise.

    Args:
        vae: Wan's VAE.
        video: (1, 3, T, H, W) in [-1, 1], as the VAE encodes it.
        mask: erase mask (T, H, W) bool.
        runtime: Where the VAE is, and whether it works in tiles.

    Returns:
        (1, 20, L, H/8, W/8): mask 4, video 16.
    """
    import torch

    with clock.phase("encode", runtime.device):
        encode = vae_runner(runtime.mode.tile).encode
        latents = encode(lambda part: wan.encode(vae, part), video.to(vae.dtype).to(runtime.device))
        return torch.cat([pack_mask(mask).to(latents), latents], 1)
