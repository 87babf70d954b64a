"""Loading RORem's networks: an SDXL inpainting UNet, its VAE, what the text encoders make of prompts, the scheduler."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vremove_cli.networks import sdxl
from vremove_cli.networks.convolutions import laid_out
from vremove_cli.networks.model_pool import Kind, pool
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.text_cache import cached_states
from vremove_cli.weights.load import read_state
from vremove_cli.weights.store import Checkpoint

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, SchedulerMixin, UNet2DConditionModel

_ENCODERS = ("text_encoder", "text_encoder_2")
_TOKENIZERS = ("tokenizer", "tokenizer_2")


def load_unet(
    checkpoint: Checkpoint, loras: Sequence[tuple[str, float]], runtime: placement.Runtime
) -> "UNet2DConditionModel":
    """Return the UNet, ready to run; the pool keeps it for the next picture.

    Args:
        checkpoint: The model with the part `transformer`.
        loras: Paths and strengths of LoRA files.
        runtime: How it runs.

    Raises:
        ModelError: The weights or a LoRA file do not fit.
    """
    file = checkpoint.part("transformer")

    def load() -> "UNet2DConditionModel":
        config, state = sdxl.config_beside(file), read_state(str(file))
        home = runtime.device if runtime.mode.weights == "resident" else "cpu"
        unet = sdxl.load_unet(config, state, str(file), runtime.dtype, loras, home, runtime.device)
        return placement.place(unet, runtime)

    return pool.get("remove", (file, tuple(loras), runtime), load, runtime.device)


def load_vae(checkpoint: Checkpoint, runtime: placement.Runtime, kind: Kind = "vae") -> "AutoencoderKL":
    """Return the VAE of a model with the part `vae`; the pool keeps it as a network of a kind.

    Raises:
        ModelError: The weights do not fit.
    """
    file, dtype = checkpoint.part("vae"), runtime.vae_dtype

    def load() -> "AutoencoderKL":
        vae = sdxl.load_vae(sdxl.config_beside(file), read_state(str(file)), str(file), dtype)
        return laid_out(vae, runtime.device)

    return pool.get(kind, (file, dtype), load, runtime.device)


def encode_prompt(checkpoint: Checkpoint, prompt: str, runtime: placement.Runtime) -> sdxl.Text:
    """Return what both text encoders make of a prompt, on the device; kept on disk, so that they are loaded once.

    Args:
        checkpoint: The model with the parts text_encoder, text_encoder_2, tokenizer and tokenizer_2.
        prompt: The text; may be empty.
        runtime: Type and device of the result.

    Raises:
        ModelError: The weights do not fit.
    """
    import torch

    parts = {name: checkpoint.part(name) for name in (*_ENCODERS, *_TOKENIZERS)}
    weights = [parts[name] for name in _ENCODERS]

    def encode() -> dict[str, torch.Tensor]:
        text = sdxl.encode_texts(parts, [prompt], torch.float32)
        return {"states": text.states, "pooled": text.pooled}

    kept = cached_states(weights, [prompt], torch.float32, runtime.device, encode)
    states, pooled = (kept[name].to(runtime.device, runtime.dtype) for name in ("states", "pooled"))
    return sdxl.Text(states, pooled)


def load_scheduler(checkpoint: Checkpoint, *, distilled: bool) -> "SchedulerMixin":
    """Return the scheduler of a model with the part `scheduler`, or that of latent consistency for its settings."""
    from diffusers import EulerDiscreteScheduler, LCMScheduler

    kind = LCMScheduler if distilled else EulerDiscreteScheduler
    settings = EulerDiscreteScheduler.load_config(checkpoint.part("scheduler"), local_files_only=True)
    scheduler: SchedulerMixin = kind.from_config(settings)
    return scheduler
