"""Counting the GPU memory of full-size removers on the meta device: weights, and what each phase makes."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from support.full_size import LARGE, ROSE, SMALL, VOID
from support.metered import Meter, metered
from vremove_cli.networks import cogvideox, minimax, wan
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers import registry
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.initial_latents import latents_of
from vremove_cli.removers.common.placement import Runtime, blocks_of, runtime_of
from vremove_cli.removers.common.vae_tiling import vae_runner
from vremove_cli.removers.common.vram_estimate import MemoryMode, Network
from vremove_cli.removers.common.wan import conditioning
from vremove_cli.removers.common.wan.model import predictor
from vremove_cli.removers.void.latent_windows import WINDOW
from vremove_cli.removers.void.model import TEXT_TOKENS, make_transformer
from vremove_cli.removers.void.multidiffusion import make_conditioning

SIZES = ((480, 272), (672, 384), (832, 480))  # (width, height) in pixels
MODES = (MemoryMode(), MemoryMode(tile=64), MemoryMode("fp8", 48), MemoryMode("offload", 64))
FRAMES = 17  # that the VAE is given: more of them add a few bytes each
REMOVERS = ("minimax", "rose", "undereraser", "void")
_LAYERS = 2  # blocks that are run: each takes the same memory


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(*shape, device="meta", dtype=dtype)


def bytes_of(module: torch.nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def transformer(name: str, layers: int | None = None, config: dict[str, Any] | None = None) -> Any:
    """A remover's transformer in the types that it is loaded in: at full size, or of another configuration."""
    config = config or {"minimax": SMALL, "rose": ROSE, "undereraser": LARGE, "void": VOID}[name]
    make = {"minimax": minimax.make_transformer, "void": make_transformer}.get(name, wan.make_transformer)
    model: Any = make({**config, **({"num_layers": layers} if layers else {})})
    exact = tuple(getattr(model, "_keep_in_fp32_modules", None) or ())
    for key, parameter in model.named_parameters():
        kept = any(part in key.split(".") for part in exact)
        parameter.data = parameter.data.to(torch.float32 if kept else torch.bfloat16)
    if hasattr(model, "rope"):
        model.rope.to("meta")
    return model.eval()


@cache
def weights(name: str, mode: str) -> int:
    """Bytes of a transformer's weights that are on the device together."""
    model = transformer(name)
    if mode == "offload":
        blocks = [bytes_of(block) for block in blocks_of(model)]
        return bytes_of(model) - sum(blocks) + 2 * max(blocks)  # the block that runs and the one after it
    return bytes_of(placement.store_in_fp8(model) if mode == "fp8" else model)


@cache
def vae(coder: str) -> Any:
    from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan

    with torch.device("meta"):
        if coder != "void":
            return AutoencoderKLWan().to(torch.bfloat16).eval()
        kinds = {"down_block_types": ("CogVideoXDownBlock3D",) * 4, "up_block_types": ("CogVideoXUpBlock3D",) * 4}
        widths = {"block_out_channels": (128, 256, 256, 512), "latent_channels": 16, "layers_per_block": 3}
        return AutoencoderKLCogVideoX(**kinds, **widths).to(torch.bfloat16).eval()


def image_encoder_bytes(name: str) -> int:
    """Of CLIP ViT-H/14 in bfloat16, which stays on the device beside UnderEraser's transformer."""
    if name != "undereraser":
        return 0
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.device("meta"):
        config = CLIPVisionConfig(
            hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16, patch_size=14
        )
        return bytes_of(CLIPVisionModel(config)) // 2


@cache
def encoding(coder: str, size: tuple[int, int], tile: int) -> int:
    """Bytes while a VAE encodes a remover's input, through the remover's own code; weights are not counted."""
    width, height = size
    runtime = _runtime(MemoryMode(tile=tile))
    model, video = vae(coder), empty(1, 3, FRAMES, height, width)
    with metered(model) as meter:
        if coder == "void":
            mask, text = empty(1, 1, FRAMES, height, width), empty(1, TEXT_TOKENS, 4096)
            make_conditioning(model, video, mask, video, text, vae_runner(tile).encode)
        else:
            conditioning.make_conditioning(model, video, np.zeros((FRAMES, height, width), bool), runtime)
    return meter.peak - bytes_of(model)


@cache
def decoding(coder: str, size: tuple[int, int], tile: int) -> int:
    """Bytes while a VAE decodes; weights are not counted."""
    model, module = vae(coder), cogvideox if coder == "void" else wan
    latents = empty(1, 16, latents_of(FRAMES), size[1] // 8, size[0] // 8)
    with metered(model, latents) as meter:
        vae_runner(tile).decode(partial(module.decode, model), latents)
    return meter.peak - bytes_of(model)


def _runtime(mode: MemoryMode) -> Runtime:
    return replace(runtime_of(Arithmetic(), mode), device="meta", dtype=torch.bfloat16, vae_dtype=torch.bfloat16)


@cache
def stepping(name: str, size: tuple[int, int], fp8: bool, batch: int = 1) -> int:
    """Bytes while a step runs; weights are not counted."""
    model = transformer(name, _LAYERS)
    if fp8:
        placement.store_in_fp8(model)
    with_weights = run_step(name, model, size, batch).peak
    return with_weights - bytes_of(model)


def run_step(name: str, model: Any, size: tuple[int, int], batch: int = 1) -> Meter:
    """Run a step of a transformer on the meta device."""
    run = step_on(name, model, size, empty, batch)
    with metered(model) as meter:
        run()
    return meter


def step_on(
    name: str, model: Any, size: tuple[int, int], make: Callable[..., torch.Tensor], batch: int = 1
) -> Callable[[], object]:
    """Return what runs one step of a transformer.

    Args:
        name: The remover.
        model: Its transformer.
        size: (width, height) of the frames in pixels.
        make: Makes an input of a shape, in bfloat16 or in a `dtype`.
        batch: Inputs that run together.
    """
    width, height, config = size[0] // 8, size[1] // 8, model.config
    if name == "void":
        count = latents_of(WINDOW)
        rotation = cogvideox.rotary(config, count, height, width, next(model.parameters()).device)
        given = (make(batch, count, 48, height, width), make(batch, TEXT_TOKENS, config.text_embed_dim))
        time = make(batch, dtype=torch.int64)
        return partial(model, *given, timestep=time, image_rotary_emb=rotation, return_dict=False)
    count = latents_of(81)
    latents, now = make(1, 16, count, height, width, dtype=torch.float32), make(1, dtype=torch.float32)
    if name == "minimax":
        beside = make(1, 32, count, height, width)
        return lambda: minimax.predict(model, torch.cat([latents, beside], 1), now)
    pictures = make(count if name == "undereraser" else 1, wan.IMAGE_TOKENS, config.image_dim)
    text = make(1, wan.TEXT_TOKENS, config.text_dim)
    predict = predictor(model, make(1, 20, count, height, width), text, pictures)
    return lambda: predict(latents, now)


def counted(name: str, mode: MemoryMode, size: tuple[int, int], batch: int = 1) -> int:
    """Bytes at a remover's peak: the weights that are there, and what each of its phases makes."""
    own, coder = weights(name, mode.weights), "void" if name == "void" else "wan"
    idle = 0 if mode.weights == "offload" else own
    steps = own + stepping(name, size, mode.weights == "fp8", batch)
    still = idle + max(encoding(coder, size, mode.tile), decoding(coder, size, mode.tile))
    return bytes_of(vae(coder)) + image_encoder_bytes(name) + max(steps, still)


def network_of(name: str) -> Network:
    """A remover's bytes as the product states them, for a clip of as many frames as are counted here."""
    found = registry.spec_of(name).network
    assert found is not None
    return replace(found, longest=FRAMES)
