"""What a network takes of a GPU's memory, from its shape alone: nothing is loaded to know it."""

from dataclasses import dataclass

_STATE, _INNER = 20, 4  # bytes that a block holds at its peak for each token and channel, and for each inner channel
_PIXEL = 20_000  # bytes a pixel that a VAE holds while it decodes whole: 256 channels, eight frames, a few copies
_TILE = 256 * 256  # pixels that it decodes at once where that is too much


@dataclass(frozen=True)
class Network:
    """A remover's transformer: its `parameters`, `layers` and channels, the `inner` ones of its feed-forward part, the
    frames of its window, how many latents go into a token, and the bytes that lie `beside` it."""

    parameters: int
    layers: int
    channels: int
    inner: int
    window: int
    latents: int
    beside: int


@dataclass(frozen=True)
class VramEstimate:
    """Bytes of GPU memory at the peak: with all weights there, with them in 8 bits, and with them block by block."""

    resident: int
    fp8: int
    offload: int


def vram_estimate(network: Network, size: tuple[int, int]) -> VramEstimate:
    """The memory that a network takes at a (width, height), in bfloat16."""
    pixels = size[0] * size[1]
    latents = (network.window - 1) // 4 + 1
    tokens = -(-latents // network.latents) * pixels // 256
    running = tokens * (_STATE * network.channels + _INNER * network.inner)
    weights = 2 * network.parameters
    whole = max(running, pixels * _PIXEL) + network.beside
    tiled = max(running, min(pixels, _TILE) * _PIXEL) + network.beside
    return VramEstimate(weights + whole, weights // 2 + tiled, 2 * weights // network.layers + tiled)
