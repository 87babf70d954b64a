"""The initial noise of VOID's second pass: it moves with the first pass's result."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.flow import dense_flow
from vremove_cli.motion.noise_warp import warped_noise_frames
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT, latents_of

# The released code makes its noise at these sizes, whatever the clip: frames; (height, width) of the noise; (height,
# width) that optical flow is computed at; and how many times larger its canvas is than the flow.
_FRAMES, _NOISE, _FLOW, _CANVAS = 72, (60, 90), (240, 360), 8


def warped_noise(frames: Array, channels: int, scale: int, seed: int, device: str) -> Array:
    """Return noise that moves with a clip.

    It is white and of unit variance on every frame: the mean over `scale`^2 pixels of unit noise, times `scale`. A
    latent gets the noise of its last frame.

    Args:
        frames: (T, H, W, 3) uint8, T = 4n + 1.
        channels: Channels of a latent.
        scale: Height and width of a latent in pixels.
        seed: Seed of the noise.
        device: "cuda" or "cpu", for the warp.

    Returns:
        (L, C, H / scale, W / scale) float32.
    """
    import torch

    height, width = frames.shape[1:3]
    last_frames = {0, *range(FRAMES_PER_LATENT, len(frames), FRAMES_PER_LATENT)}
    out = [
        downsample_noise(noise, scale)
        for t, noise in enumerate(warped_noise_frames(_flows(frames), channels, (height, width), seed, device))
        if t in last_frames
    ]
    assert len(out) == latents_of(len(frames))
    return np.asarray(torch.stack(out).cpu().numpy())


def reference_noise(frames: Array, channels: int, seed: int, device: str) -> Array:
    """Return the noise of the released code, except for its flow network and its missing seed.

    72 frames are picked by number, scaled to cover 480x720 and cropped to it; the canvas is 1920x2880.

    Args:
        frames: (T, H, W, 3) uint8.
        channels: Channels of a latent.
        seed: Seed of the noise.
        device: "cuda" or "cpu", for the warp.

    Returns:
        (72, 60, 90, C) float16.
    """
    picked = [round(i * (len(frames) - 1) / (_FRAMES - 1)) for i in range(_FRAMES)]
    small = np.stack([_cover(frames[t]) for t in picked])
    flows = (upsample_flow(flow, _CANVAS) for flow in _flows(small))
    size = (_FLOW[0] * _CANVAS, _FLOW[1] * _CANVAS)
    noises = warped_noise_frames(flows, channels, size, seed, device)
    small_noises = (downsample_noise(n, size[0] // _NOISE[0]).permute(1, 2, 0) for n in noises)
    return np.stack([n.cpu().numpy() for n in small_noises]).astype(np.float16)


def fit_reference_noise(noise: Array, latents: int, size: tuple[int, int]) -> Array:
    """Return the released code's noise as its second pass gets it: nearest in time, bilinear in space.

    It is then neither white nor of unit variance.

    Args:
        noise: (T, h, w, C), by `reference_noise`.
        latents: Latents of the clip, L.
        size: (height, width) in latents.

    Returns:
        (L, C, H, W) float32.
    """
    times = np.linspace(0, len(noise) - 1, latents).astype(int)
    picked = noise[times].astype(np.float32).transpose(0, 3, 1, 2)
    height, width = size
    return np.stack([[cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in f] for f in picked])


def downsample_noise(noise: Any, scale: int) -> Any:
    """Return noise `scale` times smaller, with the same variance: the mean of each block, times `scale`.

    Args:
        noise: Tensor (C, H, W) float32.
        scale: Height and width of a block in pixels. Rows and columns that fill no block are dropped.

    Returns:
        Tensor (C, H / scale, W / scale) float32, on the same device.
    """
    import torch

    return torch.nn.functional.avg_pool2d(noise, scale) * scale


def upsample_flow(flow: Array, scale: int) -> Array:
    """Return flow (2, h, w) on a canvas `scale` times larger, in pixels of the canvas."""
    size = (flow.shape[2] * scale, flow.shape[1] * scale)
    return np.stack([cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) * scale for part in flow])


def _flows(frames: Array) -> Iterator[Array]:
    """Yield the optical flow (2, H, W) from each frame to the next."""
    grays = (cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in frames)
    before = next(grays)
    for gray in grays:
        yield dense_flow(before, gray).transpose(2, 0, 1)
        before = gray


def _cover(frame: Array) -> Array:
    """Return a frame scaled to cover 480x720, cropped to it, and halved."""
    height, width = 2 * _FLOW[0], 2 * _FLOW[1]
    scale = max(height / frame.shape[0], width / frame.shape[1])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    large = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    y, x = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.asarray(cv2.resize(large[y : y + height, x : x + width], _FLOW[::-1], interpolation=cv2.INTER_AREA))
