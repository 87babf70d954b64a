"""Warp noise along optical flow so that every frame stays Gaussian, white and of unit variance.

Burgert et al., "Go-with-the-Flow: Motion-Controllable Video Diffusion Models Using Real-Time Warped Noise", 2025,
algorithm 1; a fast successor of Chang et al., "How I Warped Your Noise", 2024. Where the flow spreads, a pixel is
copied and its copies get fresh zero-mean noise; where it gathers, pixels are summed by their weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array

_MIN_WEIGHT = 1e-5  # keeps weights above 0
_WEIGHT_POWER = 0.9999  # pulls weights towards 1, so that old ones fade


@dataclass(frozen=True)
class Canvas:
    """The noise of one frame and the state that the next frame's depends on.

    Attributes:
        noise: (C, H, W) float32, standard normal.
        weight: (H, W) float32, about one over the number of copies of each pixel.
    """

    noise: Array
    weight: Array


def warped_noise_frames(flows: Iterator[Array], channels: int, size: tuple[int, int], seed: int) -> Iterator[Array]:
    """Yield white noise for the first frame, then the noise that each flow carries to the next frame.

    Args:
        flows: Flow (2, H, W) from each frame to the next: x and y displacement in pixels.
        channels: Number of noise channels C.
        size: (H, W) in pixels.
        seed: Seed of the noise.

    Yields:
        Noise (C, H, W) float32, one more than there are flows.
    """
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng.standard_normal((channels, *size), np.float32), np.ones(size, np.float32))
    yield canvas.noise
    for flow in flows:
        canvas = warp_noise(canvas, flow, rng.standard_normal((channels, size[0], 2 * size[1]), np.float32))
        yield canvas.noise


def warp_noise(canvas: Canvas, flow: Array, fresh: Array) -> Canvas:
    """Carry a canvas to the next frame (algorithm 1).

    Each target pixel that source pixels reach takes their sum (gathering); each other one copies the pixel that the
    flow leads back to (spreading). Pixels beyond the frame count as zero noise of weight 1.

    Args:
        canvas: The current frame's noise (C, H, W) and weights.
        flow: (2, H, W), x and y displacement to the next frame in pixels.
        fresh: (C, H, 2W) standard normal; the left half serves gathered pixels, the right half spread ones.

    Returns:
        The next frame's canvas.
    """
    channels, height, width = canvas.noise.shape
    targets, leaves = _gather_targets(flow)
    gathered = np.bincount(targets, minlength=height * width).reshape(height, width) > 0
    sources, outside = _spread_sources(flow)
    blank = gathered | outside
    sources = np.where(blank, 0, sources).ravel()
    copied = canvas.noise.reshape(channels, -1)[:, sources].reshape(channels, height, width)
    noise = np.concatenate([np.where(leaves, 0, canvas.noise), np.where(blank, 0, copied)], axis=2)
    copied_weight = canvas.weight.ravel()[sources].reshape(height, width)
    weight = np.concatenate([np.where(leaves, 1, canvas.weight), np.where(blank, 1, copied_weight)], axis=1)

    noise, copies = _decorrelate_copies(noise.astype(np.float32), fresh)
    weight = weight / copies
    left, right = slice(0, width), slice(width, None)
    summed, total = _gather(noise[:, :, left], weight[:, left], targets)
    next_noise = np.where(gathered, summed, noise[:, :, right])
    next_weight = np.where(gathered, total, weight[:, right])
    next_weight = (next_weight / next_weight.mean() + _MIN_WEIGHT) ** _WEIGHT_POWER
    return Canvas(next_noise.astype(np.float32), next_weight.astype(np.float32))


def _gather_targets(flow: Array) -> tuple[Array, Array]:
    """Flat index (H * W,) of the pixel that each pixel moves to, itself if it leaves; and which leave, (H, W) bool."""
    height, width = flow.shape[1:]
    ys, xs = np.mgrid[0:height, 0:width]
    target_x, target_y = xs + np.rint(flow[0]).astype(int), ys + np.rint(flow[1]).astype(int)
    leaves = (target_x < 0) | (target_x >= width) | (target_y < 0) | (target_y >= height)
    return np.where(leaves, ys * width + xs, target_y * width + target_x).ravel(), leaves


def _spread_sources(flow: Array) -> tuple[Array, Array]:
    """Flat index (H, W) of the pixel that the flow leads back to; and which lie beyond the frame, (H, W) bool."""
    height, width = flow.shape[1:]
    ys, xs = np.mgrid[0:height, 0:width]
    source_x, source_y = np.rint(xs - flow[0]).astype(int), np.rint(ys - flow[1]).astype(int)
    outside = (source_x < 0) | (source_x >= width) | (source_y < 0) | (source_y >= height)
    return source_y * width + source_x, outside


def _decorrelate_copies(noise: Array, fresh: Array) -> tuple[Array, Array]:
    """Make k copies of one value v independent: v / sqrt(k) + e_i - mean(e), e being fresh noise.

    Pixels with the same value in the first channel are copies of each other.

    Args:
        noise: (C, H, W) float32.
        fresh: Standard normal noise of the same shape.

    Returns:
        The independent noise (C, H, W) float32, and the number of copies k for each pixel (H, W) float32.
    """
    channels = len(noise)
    _, group, counts = np.unique(noise[0].ravel(), return_inverse=True, return_counts=True)
    group = group.ravel()
    copies = counts[group].astype(np.float32)
    flat = fresh.reshape(channels, -1).astype(np.float32)
    out = np.empty_like(flat)
    for c in range(channels):
        mean = np.bincount(group, weights=flat[c]) / counts
        out[c] = noise[c].ravel() / np.sqrt(copies) + (flat[c] - mean[group])
    return out.reshape(noise.shape), copies.reshape(noise.shape[1:])


def _gather(noise: Array, weight: Array, targets: Array) -> tuple[Array, Array]:
    """Sum pixels at their targets (flat indices): noise sum(w v) / sqrt(sum(w^2)), weight sum(w)."""
    shape, size = weight.shape, weight.size
    flat = weight.ravel()
    total = np.bincount(targets, weights=flat, minlength=size)
    root = np.maximum(np.sqrt(np.bincount(targets, weights=flat**2, minlength=size)), 1e-30)
    out = np.stack([np.bincount(targets, weights=flat * n.ravel(), minlength=size) / root for n in noise])
    return out.reshape(noise.shape).astype(np.float32), total.reshape(shape).astype(np.float32)
