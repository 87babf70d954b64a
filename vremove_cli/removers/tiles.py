"""A VAE over a picture too large for the memory: tile by tile, faded into each other.

Norms over the whole picture see one tile only, so that the result is not the same to the last level: tiles are used
where it would not run otherwise.
"""

from collections.abc import Callable
from typing import Any

from vremove_cli.removers.budget import PIXEL_BYTES
from vremove_cli.windows import overlapping

TILE, SHARED = 32, 8  # latents a side, and those that two tiles have in common: 256 and 64 pixels


def needed(free: float, height: int, width: int) -> bool:
    """Whether a picture of so many pixels is more than a VAE can decode whole in so many free bytes."""
    return height * width * PIXEL_BYTES > free


def tiled(run: Callable[[Any], Any], given: Any, tile: int, shared: int) -> Any:
    """`run` over tiles (..., tile, tile) of a tensor (..., H, W), put together; what it gives may be larger or smaller
    by a factor, the same in both directions."""
    import torch

    rows = overlapping(given.shape[-2], tile, shared)
    columns = overlapping(given.shape[-1], tile, shared)
    total = weight = torch.zeros(0)
    for row in rows:
        for column in columns:
            part = run(given[..., row[0] : row[1], column[0] : column[1]])
            factor = part.shape[-1] / (column[1] - column[0])
            sides = [_ramp(*at, given.shape[d], shared, factor) for at, d in ((row, -2), (column, -1))]
            fade = (sides[0][:, None] * sides[1]).to(part.device)
            if not total.numel():
                size = (round(given.shape[-2] * factor), round(given.shape[-1] * factor))
                total = torch.zeros((*part.shape[:-2], *size), device=part.device)
                weight = torch.zeros(size, device=part.device)
            y, x = round(row[0] * factor), round(column[0] * factor)
            total[..., y : y + part.shape[-2], x : x + part.shape[-1]] += part.float() * fade
            weight[y : y + part.shape[-2], x : x + part.shape[-1]] += fade
    return (total / weight).to(given.dtype)


def _ramp(start: int, stop: int, whole: int, shared: int, factor: float) -> Any:
    """The weights of a tile along one side: rising where it begins in another one, falling where it ends in one."""
    import torch

    length, slope = round((stop - start) * factor), max(1, round(shared * factor))
    rise = ((torch.arange(length) + 0.5) / slope).clamp(0, 1)
    ones = torch.ones(length)
    return (rise if start else ones) * (rise.flip(0) if stop < whole else ones)
