"""Counting RORem at full size on the meta device: the UNet in float16, the VAE in float32."""

from functools import cache, partial
from typing import Any

import torch

from support.counted_vram import bytes_of
from support.full_size import ROREM, SDXL_VAE
from support.metered import Meter, metered
from vremove_cli.networks import sdxl
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers import registry
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.vae_tiling import vae_runner
from vremove_cli.removers.common.vram_estimate import MemoryMode

SIDES = (512, 1024)  # pixels of a picture
TEXT = 77  # tokens


def empty(*shape: int, dtype: torch.dtype = torch.float16) -> torch.Tensor:
    return torch.empty(*shape, device="meta", dtype=dtype)


def unet(*, fp8: bool = False) -> Any:
    """The UNet, in the types that it is loaded in."""
    made = sdxl.make_unet(ROREM).half().eval()
    return placement.store_in_fp8(made) if fp8 else made


@cache
def vae() -> Any:
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        return AutoencoderKL(**SDXL_VAE).eval()


@cache
def weights(mode: str) -> int:
    """Bytes of the UNet's weights that are on the device together."""
    if mode == "offload":  # the layer that runs and the one after it
        return 2 * max(bytes_of(layer) for layer in unet().modules() if not list(layer.children()))
    return bytes_of(unet(fp8=mode == "fp8"))


@cache
def step(side: int, batch: int = 1) -> Meter:
    """A step of the UNet."""
    model, latent, states = unet(), empty(batch, 9, side // 8, side // 8), empty(batch, TEXT, 2048)
    added = {"text_embeds": empty(batch, 1280), "time_ids": empty(batch, 6)}
    with metered(model) as meter:
        model(latent, empty(1, dtype=torch.int64), states, added_cond_kwargs=added, return_dict=False)
    return meter


@cache
def coding(side: int, tile: int = 0) -> tuple[Meter, Meter]:
    """Encoding a picture, and decoding one."""
    run, model = vae_runner(tile), vae()
    with metered(model) as encoding:
        run.encode(partial(sdxl.encode_moments, model), empty(1, 3, side, side, dtype=torch.float32))
    with metered(model) as decoding:
        run.decode(partial(sdxl.decode, model), empty(1, 4, side // 8, side // 8, dtype=torch.float32))
    return encoding, decoding


def counted(mode: MemoryMode, side: int, batch: int = 1) -> int:
    """Bytes at the peak: the weights that are there, and what each phase makes."""
    own = weights(mode.weights)
    idle = 0 if mode.weights == "offload" else own
    steps = own + step(side, batch).peak - bytes_of(unet())
    still = idle + max(meter.peak for meter in coding(side, mode.tile)) - bytes_of(vae())
    return bytes_of(vae()) + max(steps, still)


def computed(mode: MemoryMode, side: int, batch: int = 1) -> int:
    """Bytes at the peak as the product states them, on a GPU."""
    network = registry.spec_of("rorem").network
    return placement.Demand(network, (side, side), batch).bytes_in(mode, Arithmetic("cuda", "bfloat16"))
