"""The steps from noise to a clip, along grids of noise levels that are ours, so that no library's change moves them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vremove_cli.geometry import Array

SHIFT = 5.0
_LEAST = 1 / 1000  # the lowest noise level of the training


def shift_sigmas(levels: Array, shift: float) -> Array:
    """Noise levels in [0, 1] moved towards 1, as rectified flows for large pictures do."""
    return np.asarray(shift * levels / (1 + (shift - 1) * levels))


def double_shifted_sigmas(steps: int, shift: float = SHIFT) -> Array:
    """The noise levels (steps + 1,) of ROSE and UnderEraser, down to 0. The lowest is shifted once when the scheduler
    is made, and all of them when it is set."""
    levels = np.linspace(1, float(shift_sigmas(np.array(_LEAST), shift)), steps)
    return np.append(shift_sigmas(levels, shift), 0.0)


def euler_flow_match(
    predict: Callable[[Any, Any], Any], latents: Any, levels: Array, tick: Callable[[int, Any], None]
) -> Any:
    """Latents float32 after Euler's steps along noise levels (N + 1,): `predict` gives the velocity for latents and a
    time (1,); `tick` gets each step's number and its latents."""
    import torch

    grid = torch.from_numpy(levels).float()
    for n, (now, after) in enumerate(zip(grid, grid[1:], strict=False)):
        velocity = predict(latents, (now * 1000)[None].to(latents.device))
        latents = latents + (after - now).item() * velocity.float()
        tick(n, latents)
    return latents


def sample_with_scheduler(
    predict: Callable[[Any, Any], Any], scheduler: Any, latents: Any, steps: int, tick: Callable[[int, Any], None]
) -> Any:
    """Latents after the steps of a solver of diffusers', at MiniMax-Remover's noise levels: those of the version of
    diffusers that it was released for."""
    scheduler.set_timesteps(sigmas=uniform_sigmas(steps), device=latents.device)
    for n, time in enumerate(scheduler.timesteps):
        velocity = predict(latents, time[None]).float()
        latents = scheduler.step(velocity, time, latents, return_dict=False)[0]
        tick(n, latents)
    return latents


def uniform_sigmas(steps: int) -> Array:
    """Noise levels before they are shifted, from 1 - 1/1000 down in even steps."""
    return 1 - np.linspace(1, _LEAST, steps + 1)[::-1][:-1].copy()
