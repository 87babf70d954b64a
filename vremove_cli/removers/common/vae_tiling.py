"""A VAE over a picture too large for the memory: tile by tile, faded into each other.

Norms over the whole picture see one tile only, so that the result is not the same to the last level: tiles are used
where it would not run otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vremove_cli.removers.common.temporal_windows import overlapping_windows

VaeCall = Callable[[Callable[[Any], Any], Any], Any]  # what to run and what on -> what it gives

PIXELS = 8  # a side of what a latent stands for
TILE, SHARED = 32, 8  # latents a side, and those that two tiles have in common: 256 and 64 pixels


def run_whole(run: Callable[[Any], Any], given: Any) -> Any:
    """`run` over the whole picture."""
    return run(given)


@dataclass(frozen=True)
class VaeRunner:
    """How a VAE is run over pixels and over latents."""

    encode: VaeCall
    decode: VaeCall


def vae_runner(tiled: bool) -> VaeRunner:
    """In tiles, or over all of a picture."""
    return VaeRunner(encode_tiled, decode_tiled) if tiled else VaeRunner(run_whole, run_whole)


def decode_tiled(run: Callable[[Any], Any], latents: Any) -> Any:
    """`run` over tiles of latents (..., h, w), which gives pixels (..., 8h, 8w)."""
    return _tiled(run, latents, TILE, SHARED, 1)


def encode_tiled(run: Callable[[Any], Any], pixels: Any) -> Any:
    """`run` over tiles of pixels (..., H, W), sides of whole latents, which gives latents (..., H/8, W/8)."""
    return _tiled(run, pixels, PIXELS * TILE, PIXELS * SHARED, PIXELS)


def _tiled(run: Callable[[Any], Any], given: Any, tile: int, shared: int, grid: int) -> Any:
    """Tiles begin at multiples of `grid`; what they give, larger or smaller by a factor, is put together."""
    import torch

    rows = overlapping_windows(given.shape[-2], tile, shared, grid)
    columns = overlapping_windows(given.shape[-1], tile, shared, grid)
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
