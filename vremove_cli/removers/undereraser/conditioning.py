"""UnderEraser's input: the video with the object hidden, and CLIP features as context for each latent frame."""

from typing import TYPE_CHECKING

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT

if TYPE_CHECKING:
    import torch

_SIDE = 224  # height and width of CLIP's input in pixels
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's normalisation
_BATCH = 16  # frames that are encoded together


def hide_in_gray(video: "torch.Tensor", mask: Array) -> "torch.Tensor":
    """Return a video (1, 3, T, H, W) in [-1, 1] with middle gray inside an erase mask (T, H, W) bool."""
    import torch

    return video * torch.from_numpy(~mask)[None, None]


def hide_in_black(frames: Array, mask: Array) -> Array:
    """Return CLIP's frames: black inside an erase mask.

    Args:
        frames: (T, H, W, 3) float32 in [0, 1].
        mask: (T, H, W) bool.

    Returns:
        (T, H, W, 3) uint8.
    """
    return np.asarray(frames * ~mask[..., None] * 255, np.float32).astype(np.uint8)


def clip_pixels(pictures: Array) -> "torch.Tensor":
    """Return pictures as CLIP's input.

    They are resized to a square without antialiasing and keep bicubic overshoot, as in the released code.

    Args:
        pictures: (N, H, W, 3) uint8.

    Returns:
        (N, 3, 224, 224) float32, normalised.
    """
    import torch
    from torch.nn.functional import interpolate

    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255 * 2 - 1
    small = interpolate(pixels, size=(_SIDE, _SIDE), mode="bicubic", align_corners=False) / 2 + 0.5
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _STD))
    return (small - mean) / std


def clip_features(clip: "torch.nn.Module", pictures: Array) -> "torch.Tensor":
    """Return CLIP's features of pictures: the hidden states before the last block.

    Args:
        clip: CLIP's vision encoder.
        pictures: (N, H, W, 3) uint8.

    Returns:
        (N, tokens, D).
    """
    import torch

    weight = next(clip.parameters())
    out = []
    for start in range(0, len(pictures), _BATCH):
        pixels = clip_pixels(pictures[start : start + _BATCH]).to(weight.device, weight.dtype)
        out.append(clip(pixel_values=pixels, output_hidden_states=True).hidden_states[-2])
    return torch.cat(out)


def group_by_latent(features: "torch.Tensor") -> "torch.Tensor":
    """Return one context for each latent frame: the first frame's features, then means of four frames.

    Args:
        features: (T, tokens, D), T = 4n + 1.

    Returns:
        (n + 1, tokens, D).
    """
    import torch

    return torch.cat([features[:1], features[1:].reshape(-1, FRAMES_PER_LATENT, *features.shape[1:]).mean(1)])
