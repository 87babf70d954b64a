"""A VAE on a picture that is too large for the memory: tile by tile, with crossfades between tiles.

The VAE's norms then see one tile instead of the picture, so the result differs slightly. Tiles are used only where the
whole picture does not fit. diffusers' own tiling (`enable_tiling`) fades tiles in turn, with another result, and does
not know how VideoX-Fun decodes CogVideoX.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.networks.convolutions import fast_convolutions
from vremove_cli.removers.common.temporal_windows import overlapping_windows

if TYPE_CHECKING:
    import torch

Coder = Callable[["torch.Tensor"], "torch.Tensor"]  # a VAE's encoder or decoder
ApplyCoder = Callable[[Coder, "torch.Tensor"], "torch.Tensor"]  # runs one over a tensor

PIXELS = 8  # height and width of a latent in pixels
_SHARED = 0.25  # overlap of two tiles, as a share of a tile


def run_whole(run: Coder, tensor: "torch.Tensor") -> "torch.Tensor":
    """Return the coder's result for the whole picture at once."""
    with fast_convolutions(tensor.device.type):
        return run(tensor)


@dataclass(frozen=True)
class VaeRunner:
    """How a VAE is run.

    Attributes:
        encode: Runs the encoder over pixels (..., H, W).
        decode: Runs the decoder over latents (..., h, w).
    """

    encode: ApplyCoder
    decode: ApplyCoder


def vae_runner(tile: int) -> VaeRunner:
    """Return how a VAE is run: in tiles of this height and width in latents, or over the whole picture for 0."""
    if not tile:
        return VaeRunner(run_whole, run_whole)
    return VaeRunner(partial(encode_tiled, tile=tile), partial(decode_tiled, tile=tile))


def as_frames(decoded: "torch.Tensor") -> Array:
    """Return decoded pictures (1, 3, T, H, W) in [-1, 1] as frames (T, H, W, 3) float32 in [0, 1].

    They leave the device as they are: in float32 a long clip takes more of its memory than its latents did.
    """
    pictures = (decoded[0].cpu().float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
    return np.ascontiguousarray(pictures.numpy())


def decode_tiled(run: Coder, latents: "torch.Tensor", tile: int) -> "torch.Tensor":
    """Decode latents (..., h, w) in tiles.

    Args:
        run: The decoder: latents (..., h, w) to pixels (..., 8h, 8w).
        latents: (..., h, w).
        tile: Height and width of a tile in latents.

    Returns:
        Pixels (..., 8h, 8w).
    """
    return _tiled(run, latents, tile, 1)


def encode_tiled(run: Coder, pixels: "torch.Tensor", tile: int) -> "torch.Tensor":
    """Encode pixels (..., H, W) in tiles of whole latents.

    Args:
        run: The encoder: pixels (..., H, W) to latents (..., H/8, W/8).
        pixels: (..., H, W), both sides multiples of 8.
        tile: Height and width of a tile in latents.

    Returns:
        Latents (..., H/8, W/8).
    """
    return _tiled(run, pixels, tile, PIXELS)


def _tiled(run: Coder, tensor: "torch.Tensor", latents: int, grid: int) -> "torch.Tensor":
    """Run over tiles that start at multiples of `grid`; results may be larger or smaller than tiles by a factor."""
    import torch

    tile, shared = grid * latents, grid * round(_SHARED * latents)
    rows = overlapping_windows(tensor.shape[-2], tile, shared, grid)
    columns = overlapping_windows(tensor.shape[-1], tile, shared, grid)
    total = weight = torch.zeros(0)
    for row in rows:
        for column in columns:
            part = run_whole(run, tensor[..., row[0] : row[1], column[0] : column[1]])
            factor = part.shape[-1] / (column[1] - column[0])
            sides = [_ramp(*at, tensor.shape[d], shared, factor) for at, d in ((row, -2), (column, -1))]
            fade = (sides[0][:, None] * sides[1]).to(part.device)
            if not total.numel():
                size = (round(tensor.shape[-2] * factor), round(tensor.shape[-1] * factor))
                total = torch.zeros((*part.shape[:-2], *size), device=part.device)
                weight = torch.zeros(size, device=part.device)
            y, x = round(row[0] * factor), round(column[0] * factor)
            total[..., y : y + part.shape[-2], x : x + part.shape[-1]] += part.float() * fade
            weight[y : y + part.shape[-2], x : x + part.shape[-1]] += fade
    return total.div_(weight).to(tensor.dtype)


def _ramp(start: int, stop: int, whole: int, shared: int, factor: float) -> "torch.Tensor":
    """Return a tile's weights along one side, (length,): rising over the tile before, falling over the tile after.

    They are sampled at pixel centres, unlike those of `temporal_windows.rising_weights`.
    """
    import torch

    length, slope = round((stop - start) * factor), max(1, round(shared * factor))
    rise = ((torch.arange(length) + 0.5) / slope).clamp(0, 1)
    ones = torch.ones(length)
    return (rise if start else ones) * (rise.flip(0) if stop < whole else ones)
