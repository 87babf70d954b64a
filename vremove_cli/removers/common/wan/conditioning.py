"""What removers on Wan go by: the clip as the VAE sees it, the mask packed beside it, and pictures of each frame.

Where ROSE and UnderEraser differ is named here. The order of channels is the released code's: noise 16, mask 4, video
16.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.networks import wan

_SIDE = 224  # pixels of what the picture encoder sees
_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_AT_ONCE = 16  # pictures encoded together


def as_video(frames: Array) -> Any:
    """Frames (T, H, W, 3) float32 in [0, 1] as a tensor (1, 3, T, H, W) in [-1, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None] * 2 - 1


def hide_in_gray(video: Any, mask: Array) -> Any:
    """A video (1, 3, T, H, W) with what is erased in mask (T, H, W) bool in middle gray: UnderEraser's."""
    import torch

    return video * torch.from_numpy(~mask)[None, None]


def pack_mask(mask: Array) -> Any:
    """A mask (T, H, W) bool of 4k + 1 frames as a tensor (1, 4, L, H/8, W/8), 1 where all is kept.

    A latent has its four frames beside each other, the first frame four times; a latent pixel is the mean of the middle
    two by two of its eight by eight pixels, which is what resizing to an eighth gives.
    """
    import torch

    keep = torch.from_numpy(~mask).float()
    keep = torch.cat([keep[:1].expand(3, -1, -1), keep])
    middle = torch.stack([keep[:, y::8, x::8] for y in (3, 4) for x in (3, 4)]).mean(0)
    return middle.view(-1, wan.FRAMES_PER_LATENT, *middle.shape[1:]).transpose(0, 1)[None]


def make_conditioning(vae: Any, video: Any, mask: Array, apply: Callable[..., Any]) -> Any:
    """The 20 channels beside the noise, (1, 20, L, h, w), from a video (1, 3, T, H, W) as the VAE is to see it. `apply`
    runs the VAE: at once, or in tiles."""
    import torch

    latents = apply(lambda part: wan.encode(vae, part), video.to(vae.dtype))
    return torch.cat([pack_mask(mask).to(latents), latents], 1)


def hide_in_black(frames: Array, mask: Array) -> Array:
    """Frames (T, H, W, 3) float32 in [0, 1] as uint8, black where something is erased: what UnderEraser looks at."""
    return np.asarray(frames * ~mask[..., None] * 255, np.float32).astype(np.uint8)


def clip_pixels(pictures: Array) -> Any:
    """Pictures (N, H, W, 3) uint8 as the picture encoder sees them, (N, 3, 224, 224) float32: squeezed without
    smoothing, as the released code does, overshoot and all."""
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255 * 2 - 1
    small = interpolate(pixels, size=(_SIDE, _SIDE), mode="bicubic", align_corners=False) / 2 + 0.5
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
    return (small - mean) / deviation


def clip_features(clip: Any, pictures: Array) -> Any:
    """The features (N, tokens, D) of pictures (N, H, W, 3) uint8: the states before the last block."""
    import torch

    out = []
    for start in range(0, len(pictures), _AT_ONCE):
        pixels = clip_pixels(pictures[start : start + _AT_ONCE]).to(clip.device, clip.dtype)
        out.append(clip(pixel_values=pixels, output_hidden_states=True).hidden_states[-2])
    return torch.cat(out)


def group_by_latent(features: Any) -> Any:
    """Features of 4k + 1 frames (T, tokens, D) as a context for each latent frame (L, tokens, D): the first alone, then
    the mean of four."""
    import torch

    return torch.cat([features[:1], features[1:].unflatten(0, (-1, wan.FRAMES_PER_LATENT)).mean(1)])
