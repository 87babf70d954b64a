"""The noise that removers begin with: drawn on the CPU, from a seed and a place in the clip."""

import numpy as np

from vremove_cli.geometry import Array


def derive_seed(*numbers: int) -> int:
    """A seed of its own for each combination of numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def initial_latents(seed: int, times: range, size: tuple[int, int], channels: int = 16) -> Array:
    """White noise (1, L, C, h, w) float32 for latents whose first frames are `times`, so that runs which overlap begin
    with the same where they do."""
    import torch

    drawn = [
        torch.randn((channels, *size), generator=torch.Generator("cpu").manual_seed(derive_seed(seed, t, 1))).numpy()
        for t in times
    ]
    return np.stack(drawn)[None]
