"""The noise that VOID's second pass begins with: it moves as the first pass's result does."""

from collections.abc import Iterator

import cv2
import numpy as np

from vremove_cli.geometry import Array
from vremove_cli.motion.flow import dense_flow
from vremove_cli.motion.noise_warp import noises
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT, latents_of

_FRAMES, _NOISE = 72, (60, 90)  # what the reference's noise is made for, whatever the clip: frames, height and width
_FLOW, _CANVAS = (240, 360), 8  # its flow is measured at this size, and its canvas is so many times larger


def warped_noise(frames: Array, channels: int, scale: int, seed: int) -> Array:
    """Noise (L, C, h, w) float32 for a clip (T, H, W, 3) uint8 of 4k + 1 frames, `scale` times smaller than that.

    White and of unit variance on every frame: a mean over `scale` squared pixels of unit noise, times `scale`. A latent
    gets the noise of its last frame.
    """
    height, width = frames.shape[1:3]
    wanted = {0, *range(FRAMES_PER_LATENT, len(frames), FRAMES_PER_LATENT)}
    out = [
        downsample_noise(noise, scale)
        for t, noise in enumerate(noises(_flows(frames), channels, (height, width), seed))
        if t in wanted
    ]
    assert len(out) == latents_of(len(frames))
    return np.stack(out)


def reference_noise(frames: Array, channels: int, seed: int) -> Array:
    """Noise (72, 60, 90, C) float16 as the reference makes it of a clip (T, H, W, 3) uint8, but for its flow network
    and its missing seed: 72 frames by number, covering 480x720 and cut to that, on a canvas of 1920x2880."""
    picked = [round(i * (len(frames) - 1) / (_FRAMES - 1)) for i in range(_FRAMES)]
    small = np.stack([_covering(frames[t]) for t in picked])
    flows = (upsample_flow(flow, _CANVAS) for flow in _flows(small))
    size = (_FLOW[0] * _CANVAS, _FLOW[1] * _CANVAS)
    found = (downsample_noise(n, size[0] // _NOISE[0]) for n in noises(flows, channels, size, seed))
    return np.stack([n.transpose(1, 2, 0) for n in found]).astype(np.float16)


def fit_reference_noise(noise: Array, latents: int, size: tuple[int, int]) -> Array:
    """The reference's noise (T, h, w, C) as it goes into the second pass, (L, C, H, W) float32: nearest in time,
    bilinear in space, so that it is neither white nor of unit variance there."""
    times = np.linspace(0, len(noise) - 1, latents).astype(int)
    picked = noise[times].astype(np.float32).transpose(0, 3, 1, 2)
    height, width = size
    return np.stack([[cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in f] for f in picked])


def _flows(frames: Array) -> Iterator[Array]:
    """Optical flow (2, H, W) from each frame to the next."""
    grays = (cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in frames)
    before = next(grays)
    for gray in grays:
        yield dense_flow(before, gray).transpose(2, 0, 1)
        before = gray


def downsample_noise(noise: Array, scale: int) -> Array:
    """Noise (C, H, W) made smaller, its variance kept."""
    channels, height, width = noise.shape
    blocks = noise[:, : height // scale * scale, : width // scale * scale]
    blocks = blocks.reshape(channels, height // scale, scale, width // scale, scale)
    return np.asarray(blocks.mean(axis=(2, 4)) * scale, np.float32)


def _covering(frame: Array) -> Array:
    """A frame scaled to cover 480x720, cut to that, and halved."""
    height, width = 2 * _FLOW[0], 2 * _FLOW[1]
    scale = max(height / frame.shape[0], width / frame.shape[1])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    large = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    y, x = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return np.asarray(cv2.resize(large[y : y + height, x : x + width], _FLOW[::-1], interpolation=cv2.INTER_AREA))


def upsample_flow(flow: Array, scale: int) -> Array:
    """Flow (2, h, w) on a canvas so many times larger, in its pixels."""
    size = (flow.shape[2] * scale, flow.shape[1] * scale)
    return np.stack([cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) * scale for part in flow])
