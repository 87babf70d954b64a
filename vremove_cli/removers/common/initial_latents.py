"""The latents of a clip: their number, the padding that they need, and the noise that denoising starts from.

The VAEs of CogVideoX and Wan 2.1 alike encode the first frame alone and then every four frames together, so that 4n + 1
frames give n + 1 latents.
"""

from collections.abc import Sequence

import numpy as np

from vremove_cli.geometry import Array

FRAMES_PER_LATENT = 4  # except for the first latent


def latents_of(frames: int) -> int:
    """Return the number of latents of a clip of 4n + 1 frames."""
    return (frames - 1) // FRAMES_PER_LATENT + 1


def padded_length(frames: int, multiple: int = FRAMES_PER_LATENT) -> int:
    """Return the smallest `multiple` n + 1, with n of at least 1, that holds a number of frames."""
    return multiple * max(1, -(-(frames - 1) // multiple)) + 1


def derive_seed(*numbers: int) -> int:
    """Return a seed that differs for each sequence of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def initial_latents(seed: int, times: Sequence[int], size: tuple[int, int], channels: int = 16) -> Array:
    """Return white noise that depends on the seed and the frame number alone.

    Stages that overlap therefore start from the same noise in the frames that they share. It is drawn on the CPU,
    because a GPU draws other numbers.

    Args:
        seed: The job's seed.
        times: Number of the first frame of each latent, in the clip.
        size: (height, width) in latents.
        channels: Channels of a latent.

    Returns:
        (1, L, C, h, w) float32.
    """
    import torch

    drawn = [
        torch.randn((channels, *size), generator=torch.Generator("cpu").manual_seed(derive_seed(seed, t, 1))).numpy()
        for t in times
    ]
    return np.stack(drawn)[None]
