"""Windows of latents that VOID denoises together, and their weights where they overlap."""

from typing import TYPE_CHECKING

from vremove_cli.removers.common import initial_latents
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT, latents_of
from vremove_cli.removers.common.temporal_windows import rising_weights

if TYPE_CHECKING:
    import torch

WINDOW = 85  # frames of a window, as in training; a shorter clip is padded to it
OVERLAP = 4  # latents that two windows share


def padded_length(frames: int, window: int = WINDOW) -> int:
    """Return the number of frames that a clip is padded to.

    Args:
        frames: Frames of the clip.
        window: Frames of a window.

    Returns:
        4k + 1 frames with an even number of latents, at least one window.
    """
    length = initial_latents.padded_length(frames)
    length += FRAMES_PER_LATENT * (latents_of(length) % 2)
    return max(window, length)


def latent_windows(latents: int, window: int, overlap: int = OVERLAP) -> list[tuple[int, int]]:
    """Return windows that cover all latents of a clip.

    Args:
        latents: Latents of the clip.
        window: Latents of a window.
        overlap: Latents that each window shares with the one before.

    Returns:
        Half-open ranges (start, stop) in order; the last one may be short.
    """
    out: list[tuple[int, int]] = []
    start = 0
    while not out or out[-1][1] < latents:
        out.append((start, min(start + window, latents)))
        start = out[-1][1] - overlap
    return out


def window_weights(length: int, *, first: bool, last: bool) -> "torch.Tensor":
    """Return a window's weights: rising over the latents shared with the window before, falling over the last ones.

    Args:
        length: Latents of the window.
        first: True if no window precedes it.
        last: True if no window follows it.

    Returns:
        (1, length, 1, 1, 1) float32.
    """
    import torch

    slope = torch.from_numpy(rising_weights(OVERLAP))
    out = torch.ones(length)
    if not first:
        out[:OVERLAP] = slope
    if not last:
        out[-OVERLAP:] = slope.flip(0)
    return out.view(1, -1, 1, 1, 1)
