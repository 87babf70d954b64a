"""MiniMax-Remover's masks: grown, and shown to the VAE as a video."""

from typing import Any

import cv2
import numpy as np

from vremove_cli.geometry import Array

GROWN = 6  # pixels in the four directions


def dilate_cross(mask: Array, pixels: int = GROWN) -> Array:
    """A mask (T, H, W) bool with all that is within so many steps up, down, left or right of it."""
    if pixels < 1:
        return mask
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return np.stack([cv2.dilate(one.astype(np.uint8), cross, iterations=pixels) > 0 for one in mask])


def vae_inputs(frames: Array, mask: Array) -> tuple[Any, Any]:
    """What the VAE sees, two videos (1, 3, T, H, W): frames (T, H, W, 3) float32 in [-1, 1] with middle gray in the
    mask (T, H, W) bool, and the mask from -1 to 1."""
    import torch

    shown = torch.from_numpy(frames * ~mask[..., None]).permute(3, 0, 1, 2)[None]
    levels = torch.from_numpy(mask).float()[None, None].expand(-1, 3, -1, -1, -1) * 2 - 1
    return shown, levels
