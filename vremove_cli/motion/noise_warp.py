"""Noise that moves with the picture: Gaussian, of unit variance and white on every frame, carried along optical flow.

Burgert et al., "Go-with-the-Flow: Motion-Controllable Video Diffusion Models Using Real-Time Warped Noise", 2025,
algorithm 1. The canvas holds, for each pixel, noise of C channels and a weight. Where the flow spreads, a pixel is
copied and its copies get fresh noise without a mean; where it gathers, pixels are summed by their weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vremove_cli.geometry import Array

_LEAST = 1e-5  # keeps weights from 0
_FADE = 0.9999  # power that lets weights forget


@dataclass(frozen=True)
class Canvas:
    """Noise (C, H, W) float32, and the weight (H, W) float32 of each pixel: about one over how often it was copied."""

    noise: Array
    weight: Array


def warped(canvas: Canvas, flow: Array, fresh: Array) -> Canvas:
    """The canvas of the next frame. `flow` (2, H, W): x and y displacement to it in pixels; `fresh` (C, H, 2W):
    standard normal, of which the left half serves pixels that are gathered, the right half those that are spread."""
    channels, height, width = canvas.noise.shape
    ys, xs = np.mgrid[0:height, 0:width]
    target_x, target_y = xs + np.rint(flow[0]).astype(int), ys + np.rint(flow[1]).astype(int)
    leaves = (target_x < 0) | (target_x >= width) | (target_y < 0) | (target_y >= height)
    at = np.where(leaves, ys * width + xs, target_y * width + target_x).ravel()
    gathered = np.bincount(at, minlength=height * width).reshape(height, width) > 0
    source_x, source_y = np.rint(xs - flow[0]).astype(int), np.rint(ys - flow[1]).astype(int)
    outside = (source_x < 0) | (source_x >= width) | (source_y < 0) | (source_y >= height)
    blank = gathered | outside
    source = np.where(blank, 0, source_y * width + source_x)
    spread = np.where(blank, 0, canvas.noise.reshape(channels, -1)[:, source.ravel()].reshape(channels, height, width))
    spread_weight = np.where(blank, 1, canvas.weight.ravel()[source.ravel()].reshape(height, width))
    gather = np.where(leaves, 0, canvas.noise)
    gather_weight = np.where(leaves, 1, canvas.weight)
    both = np.concatenate([gather, spread], axis=2)
    weights = np.concatenate([gather_weight, spread_weight], axis=1)
    both, copies = _gaussian_again(both.astype(np.float32), fresh)
    weights = weights / copies
    left, right = slice(0, width), slice(width, None)
    summed, total = _summed(both[:, :, left], weights[:, left], at)
    noise = np.where(gathered, summed, both[:, :, right])
    weight = np.where(gathered, total, weights[:, right])
    weight = (weight / weight.mean() + _LEAST) ** _FADE
    return Canvas(noise.astype(np.float32), weight.astype(np.float32))


def _gaussian_again(noise: Array, fresh: Array) -> tuple[Array, Array]:
    """Copies of one value made independent: the value shared out among them, and fresh noise without a mean on each.

    Copies are told by their first channel. Gives the noise, and how many copies each pixel is one of.
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


def _summed(noise: Array, weight: Array, at: Array) -> tuple[Array, Array]:
    """Pixels brought to where they go (flat indices `at`): the weighted sum over the root of the squared weights."""
    shape, size = weight.shape, weight.size
    flat = weight.ravel()
    total = np.bincount(at, weights=flat, minlength=size)
    root = np.sqrt(np.bincount(at, weights=flat**2, minlength=size))
    out = np.stack([np.bincount(at, weights=flat * n.ravel(), minlength=size) / np.maximum(root, 1e-30) for n in noise])
    return out.reshape(noise.shape).astype(np.float32), total.reshape(shape).astype(np.float32)


def noises(flows: Iterator[Array], channels: int, size: tuple[int, int], seed: int) -> Iterator[Array]:
    """White noise (C, H, W) for the first frame, and for each next one as the flows (2, H, W) carry it."""
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng.standard_normal((channels, *size), np.float32), np.ones(size, np.float32))
    yield canvas.noise
    for flow in flows:
        canvas = warped(canvas, flow, rng.standard_normal((channels, size[0], 2 * size[1]), np.float32))
        yield canvas.noise
