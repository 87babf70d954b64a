"""An estimate of the GPU memory that a network takes, from its shape alone, without loading it."""

from dataclasses import dataclass

from vremove_cli.removers.common.initial_latents import latents_of

# Bytes that a transformer block holds at its peak, for each token and channel, and for each token and inner channel.
_BYTES_PER_CHANNEL, _BYTES_PER_INNER = 20, 4
_BYTES_PER_PIXEL = 20_000  # of a VAE that decodes a whole picture: 256 channels, eight frames, a few copies
_TILE = 256 * 256  # pixels of a VAE's tile
_PIXELS_PER_TOKEN = 256  # 8x8 pixels a latent, 2x2 latents a token


@dataclass(frozen=True)
class Network:
    """The shape of a remover's transformer.

    Attributes:
        parameters: Number of parameters.
        layers: Number of blocks.
        channels: Width of a token.
        inner: Inner channels of the feed-forward part.
        window: Frames of a window.
        latents: Latents in time that go into one token.
        beside: Bytes of other networks that are in memory with it.
    """

    parameters: int
    layers: int
    channels: int
    inner: int
    window: int
    latents: int
    beside: int


@dataclass(frozen=True)
class VramEstimate:
    """Bytes of GPU memory at the peak.

    Attributes:
        resident: With all weights on the GPU.
        fp8: With all weights on the GPU in 8 bits, and the VAE in tiles.
        offload: With two blocks' weights on the GPU, and the VAE in tiles.
    """

    resident: int
    fp8: int
    offload: int


def vram_estimate(network: Network, size: tuple[int, int]) -> VramEstimate:
    """Return the memory that a network takes in bfloat16 for frames of a (width, height) in pixels."""
    pixels = size[0] * size[1]
    tokens = -(-latents_of(network.window) // network.latents) * pixels // _PIXELS_PER_TOKEN
    running = tokens * (_BYTES_PER_CHANNEL * network.channels + _BYTES_PER_INNER * network.inner)
    weights = 2 * network.parameters
    whole = max(running, pixels * _BYTES_PER_PIXEL) + network.beside
    tiled = max(running, min(pixels, _TILE) * _BYTES_PER_PIXEL) + network.beside
    return VramEstimate(weights + whole, weights // 2 + tiled, 2 * weights // network.layers + tiled)
