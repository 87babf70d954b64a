"""Clips brought to VOID's size and length, and back."""

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.networks.cogvideox import FRAMES_PER_LATENT, latents_of

WINDOW = 85  # frames that the network was trained to see at once, and the fewest it is given
OVERLAP = 4  # latents that two windows share


def padded_length(frames: int, window: int = WINDOW) -> int:
    """Frames that a clip is padded to: 4k + 1, an even number of latents, one window at least."""
    length = -(-(frames - 1) // FRAMES_PER_LATENT) * FRAMES_PER_LATENT + 1
    length += FRAMES_PER_LATENT * (latents_of(length) % 2)
    return max(window, length)


def latent_windows(latents: int, window: int, overlap: int = OVERLAP) -> list[tuple[int, int]]:
    """Runs of latents that are denoised together, each sharing some with the one before; the last may be short."""
    out: list[tuple[int, int]] = []
    start = 0
    while not out or out[-1][1] < latents:
        out.append((start, min(start + window, latents)))
        start = out[-1][1] - overlap
    return out


def resized(frames: Array, size: tuple[int, int]) -> Array:
    """Frames (T, H, W, C) float32 at a (height, width), each pixel the mean of what it covers (adaptive averaging)."""
    import torch
    from torch.nn.functional import interpolate

    tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    return np.asarray(interpolate(tensor, size=size, mode="area").permute(0, 2, 3, 1).numpy())
