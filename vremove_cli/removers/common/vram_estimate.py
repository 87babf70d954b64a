"""An estimate of the GPU memory that a remover's networks take, without loading them.

The bytes of each network were counted on torch's meta device in bfloat16, at full size; `tests/gpu/test_vram.py` counts
them again and allows a difference of 15 %.
"""

from dataclasses import dataclass
from typing import Literal

from vremove_cli.removers.common.initial_latents import latents_of

Weights = Literal["resident", "fp8", "offload"]
TILES = (64, 48, 32)  # heights and widths of a VAE's tile in latents, best first
_PIXELS = 8  # height and width of a latent
_PIXELS_PER_TOKEN = 256  # 8x8 pixels a latent, 2x2 latents a token
_FRAME = 6  # bytes of a pixel of a clip: three channels in bfloat16
_SUM = 12  # bytes of a pixel of a clip that is put together from tiles: three channels in float32


@dataclass(frozen=True)
class MemoryMode:
    """Where a transformer's weights are while it runs, and whether its VAE works in tiles.

    Attributes:
        weights: All on the device (resident), all on the device in 8 bits (fp8), or moved there block by block
            (offload). The results of resident and offload are equal.
        tile: Height and width of a VAE's tile in latents; 0: whole pictures.
    """

    weights: Weights = "resident"
    tile: int = 0

    def __str__(self) -> str:
        tiles = f", pictures in tiles of {8 * self.tile} pixels" if self.tile else ""
        places = {"resident": "weights in GPU memory", "fp8": "weights in 8 bits", "offload": "weights block by block"}
        return f"{places[self.weights]}{tiles}"


@dataclass(frozen=True)
class Vae:
    """The bytes of a VAE.

    Attributes:
        weights: Of its weights.
        encode: Of a pixel while it encodes, whatever the number of frames.
        decode: Of a pixel while it decodes.
    """

    weights: int
    encode: int
    decode: int


WAN_VAE = Vae(253_785_062, 7_450, 12_430)
COGVIDEOX_VAE = Vae(431_167_814, 19_050, 44_940)


@dataclass(frozen=True)
class Network:
    """The bytes of a remover's transformer and VAE.

    Attributes:
        resident: Of all weights.
        fp8: Of all weights, those in 8 bits that run so.
        offload: Of the weights that are on the device when blocks are moved there one by one: two blocks, and what
            belongs to none.
        token: Of a token while a block runs.
        fixed: Of all else while a block runs, such as the contexts of cross-attention.
        window: Frames that the transformer sees at once.
        longest: Frames that the VAE encodes and decodes at once.
        latents: Latents in time that go into one token.
        vae: The VAE.
        beside: Of other networks that stay on the device.
        largest: Of the largest layer's weights: in fp8 mode they are cast when it runs.
        half: Whether the transformer runs in float16 on a GPU, and the VAE in float32: SDXL's weights are float16, and
            its VAE overflows in it.
    """

    resident: int
    fp8: int
    offload: int
    token: int
    fixed: int
    window: int
    longest: int
    latents: int
    vae: Vae
    beside: int = 0
    largest: int = 0
    half: bool = False


def vram_bytes(
    network: Network,
    mode: MemoryMode,
    size: tuple[int, int],
    *,
    batch: int = 1,
    float32: bool = False,
    float32_vae: bool = False,
) -> int:
    """Return the bytes of GPU memory that a remover takes at its peak.

    Args:
        network: Its networks.
        mode: Where the weights are.
        size: (width, height) of the frames in pixels.
        batch: Inputs of the transformer that run together: 2 with guidance.
        float32: Whether all networks run in float32, on a GPU without bfloat16.
        float32_vae: Whether the VAE does, for a clip of more than 8 bits.
    """
    pixels, vae = size[0] * size[1], network.vae
    all_scale = 2 if float32 else 1
    vae_scale = 2 if float32 or float32_vae else 1
    tokens = -(-latents_of(network.window) // network.latents) * pixels // _PIXELS_PER_TOKEN
    running = all_scale * (batch * (tokens * network.token + network.fixed))
    side = _PIXELS * mode.tile or max(size)
    tile = min(size[0], side) * min(size[1], side)
    clip = network.longest * pixels
    encoding = vae_scale * (tile * vae.encode + clip * _FRAME)
    joined = clip * _SUM if mode.tile else vae_scale * clip * _FRAME
    decoding = vae_scale * tile * vae.decode + joined
    weights = all_scale * int(getattr(network, mode.weights))
    idle = 0 if mode.weights == "offload" else weights
    cast = network.largest if mode.weights == "fp8" else 0
    peak = max(idle + encoding, weights + max(running, cast), idle + decoding)
    return vae_scale * vae.weights + all_scale * network.beside + peak
