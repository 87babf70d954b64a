"""Sigma schedules of the Wan removers, and the solvers that follow them from noise to a clip.

The schedules are computed here, so that a new version of diffusers cannot change them. A sigma is the share of noise in
the latents, from 1 to 0.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.networks.phases import clock

if TYPE_CHECKING:
    import torch
    from diffusers import UniPCMultistepScheduler

SHIFT = 5.0
_LEAST = 1 / 1000  # the lowest sigma of the training
_TIMESTEPS = 1000  # timestep of sigma 1


def shift_sigmas(sigmas: Array, shift: float) -> Array:
    """Return sigmas in [0, 1] moved towards 1, as rectified flows for large pictures do."""
    return np.asarray(shift * sigmas / (1 + (shift - 1) * sigmas))


def double_shifted_sigmas(steps: int, shift: float = SHIFT) -> Array:
    """Return the sigmas (steps + 1,) of ROSE and UnderEraser, down to 0.

    The released code shifts the lowest sigma when it makes the scheduler, and all of them when it sets the steps.
    """
    sigmas = np.linspace(1, float(shift_sigmas(np.array(_LEAST), shift)), steps)
    return np.append(shift_sigmas(sigmas, shift), 0.0)


def uniform_sigmas(steps: int) -> Array:
    """Return MiniMax-Remover's sigmas (steps,) before the scheduler shifts them: evenly spaced down from 1 - 1/1000."""
    return 1 - np.linspace(1, _LEAST, steps + 1)[::-1][:-1].copy()


def euler_flow_match(
    predict: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]",
    latents: "torch.Tensor",
    sigmas: Array,
    tick: "Callable[[int, torch.Tensor], None]",
) -> "torch.Tensor":
    """Denoise latents by Euler steps.

    Args:
        predict: Returns the velocity for latents and a timestep (1,).
        latents: Noise, float32.
        sigmas: (steps + 1,).
        tick: Gets the number of each step and its latents.

    Returns:
        Latents of the same shape, float32.
    """
    import torch

    grid = torch.from_numpy(sigmas).float()
    timesteps = (grid * _TIMESTEPS).to(latents.device)  # at once: each copy would wait for the step before
    lengths = (grid[1:] - grid[:-1]).tolist()
    for n, length in enumerate(lengths):
        with clock.step(n, len(lengths), latents.device.type):
            latents = latents + length * predict(latents, timesteps[n : n + 1]).float()
        tick(n, latents)
    return latents


def sample_with_scheduler(
    predict: "Callable[[torch.Tensor, torch.Tensor], torch.Tensor]",
    scheduler: "UniPCMultistepScheduler",
    latents: "torch.Tensor",
    steps: int,
    tick: "Callable[[int, torch.Tensor], None]",
) -> "torch.Tensor":
    """Denoise latents by a scheduler of diffusers at `uniform_sigmas`.

    Args:
        predict: Returns the velocity for latents and a timestep (1,).
        scheduler: A scheduler of diffusers.
        latents: Noise.
        steps: Number of steps.
        tick: Gets the number of each step and its latents.

    Returns:
        Latents of the same shape.
    """
    scheduler.set_timesteps(sigmas=uniform_sigmas(steps))  # on the CPU: its arithmetic waits for no device there
    timesteps = scheduler.timesteps.to(latents.device)
    for n, timestep in enumerate(scheduler.timesteps):
        with clock.step(n, len(timesteps), latents.device.type):
            velocity = predict(latents, timesteps[n : n + 1]).float()
            latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        tick(n, latents)
    return latents
