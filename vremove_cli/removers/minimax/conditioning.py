"""MiniMax-Remover's input: a dilated mask, encoded as a video beside the video with the hole in gray."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vremove_cli.geometry import Array

if TYPE_CHECKING:
    import torch

DILATION = 6  # pixels along both axes, as in the released code


def dilate_cross(mask: Array, pixels: int = DILATION) -> Array:
    """Return a mask (T, H, W) bool grown by a cross: by this number of steps up, down, left or right."""
    if pixels < 1:
        return mask
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.stack([cv2.dilate(one.astype(np.uint8), cross, iterations=pixels) > 0 for one in mask])


def vae_inputs(frames: Array, mask: Array) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Return the two videos that the VAE encodes.

    Args:
        frames: (T, H, W, 3) float32 in [-1, 1].
        mask: (T, H, W) bool.

    Returns:
        The frames with middle gray inside the mask, and the mask as -1 outside and 1 inside: both (1, 3, T, H, W).
    """
    import torch

    hidden = torch.from_numpy(frames * ~mask[..., None]).permute(3, 0, 1, 2)[None]
    mask_video = torch.from_numpy(mask).float()[None, None].expand(-1, 3, -1, -1, -1) * 2 - 1
    return hidden, mask_video
