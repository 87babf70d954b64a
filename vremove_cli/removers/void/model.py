"""Loading VOID's networks, strictly: two transformers on CogVideoX-Fun's VAE, text encoder and scheduler."""

import json
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vremove_cli.networks.convolutions import laid_out
from vremove_cli.networks.model_pool import Kind, pool
from vremove_cli.networks.phases import clock
from vremove_cli.removers.common import placement
from vremove_cli.weights.load import from_folder, load_strict, read_state
from vremove_cli.weights.store import Checkpoint

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXTransformer3DModel, DDIMScheduler

TEXT_TOKENS = 226  # tokens of a padded text; the padding is attended in the encoder and in the transformer
_KINDS: tuple[Kind, Kind] = ("remove", "refine")  # the pool's kinds of the two passes' transformers
CHANNELS = 48  # of the transformer's input: noise 16, mask 16, video 16


def transformer_config(base: Checkpoint) -> dict[str, Any]:
    """Return the configuration of the base repository's transformer.

    Raises:
        ModelError: The file is missing.
    """
    config: dict[str, Any] = json.loads(base.part("transformer_config").read_text(encoding="utf-8"))
    return config


def make_transformer(config: Mapping[str, Any]) -> "CogVideoXTransformer3DModel":
    """Return a transformer without weights: the base repository's configuration, widened to VOID's input.

    Keys of the configuration that only VideoX-Fun's own pipeline reads are ignored.
    """
    import torch
    from diffusers import CogVideoXTransformer3DModel

    arguments = set(signature(CogVideoXTransformer3DModel.__init__).parameters) - {"ofs_embed_dim"}  # VOID has none
    known = {k: v for k, v in config.items() if k in arguments}
    with torch.device("meta"):
        return CogVideoXTransformer3DModel(**{**known, "in_channels": CHANNELS})


def load_transformer(config: Mapping[str, Any], file: Path, dtype: "torch.dtype") -> "CogVideoXTransformer3DModel":
    """Load a pass's transformer.

    Raises:
        ModelError: The file lacks a tensor, or holds an unknown or misshapen one.
    """
    state = read_state(str(file))
    model = make_transformer(config)
    load_strict(model, {k: v.to(dtype) for k, v in state.items()}, str(file))
    return model.eval()


def load_pass(
    base: Checkpoint, weights: Checkpoint, runtime: placement.Runtime, need: int, *, second: bool
) -> "CogVideoXTransformer3DModel":
    """Return a pass's transformer, ready to run; the pool keeps those of both passes where there is room for both.

    Args:
        base: The model with the part `transformer_config`.
        weights: The pass's model, with the part `transformer`.
        runtime: How it runs.
        need: Bytes of the device's memory that the pass takes.
        second: Whether it is the second pass.

    Raises:
        ModelError: The weights do not fit.
    """
    file = weights.part("transformer")
    kind, other = _KINDS[::-1] if second else _KINDS
    placement.make_room(other, need, runtime)
    return pool.get(
        kind,
        (base.path, file, runtime),
        lambda: placement.place(load_transformer(transformer_config(base), file, runtime.dtype), runtime),
        runtime.device,
    )


def load_vae(base: Checkpoint, runtime: placement.Runtime) -> "AutoencoderKLCogVideoX":
    """Return the VAE; the pool keeps it for all shots and passes.

    Args:
        base: The model with the part `vae`.
        runtime: How it runs.

    Raises:
        ModelError: The weights do not fit.
    """
    file, dtype = base.part("vae"), runtime.vae_dtype

    def load() -> "AutoencoderKLCogVideoX":
        import torch
        from diffusers import AutoencoderKLCogVideoX

        config = AutoencoderKLCogVideoX.load_config(file.parent, local_files_only=True)
        with torch.device("meta"):
            vae = AutoencoderKLCogVideoX.from_config(config)
        load_strict(vae, read_state(str(file)), str(file.parent))
        return laid_out(vae.to(dtype).eval(), runtime.device)

    return pool.get("vae", (file, dtype), load, runtime.device)


def load_scheduler(base: Checkpoint, *, second_pass: bool) -> "DDIMScheduler":
    """Return a pass's scheduler, made from the base repository's configuration."""
    from diffusers import CogVideoXDDIMScheduler, DDIMScheduler

    scheduler_class = CogVideoXDDIMScheduler if second_pass else DDIMScheduler
    config = scheduler_class.load_config(base.part("scheduler"), local_files_only=True)
    return scheduler_class.from_config(config)


def prompt_embeds(base: Checkpoint, prompts: tuple[str, ...], runtime: placement.Runtime) -> "torch.Tensor":
    """Return the text encoder's states of some prompts, (N, 226, D); the pool keeps them, but not the encoder.

    Args:
        base: The model with the parts `text_encoder` and `tokenizer`.
        prompts: The texts; may be empty.
        runtime: How the encoder runs, and the states' device and type.

    Raises:
        ModelError: The weights do not fit.
    """
    key = (base.path, prompts, runtime.dtype)
    return pool.get("embeds", key, lambda: _encode_prompts(base, prompts, runtime), runtime.device)


def _encode_prompts(base: Checkpoint, prompts: tuple[str, ...], runtime: placement.Runtime) -> "torch.Tensor":
    import torch
    from transformers import AutoTokenizer, T5EncoderModel

    folder, device, dtype = str(base.part("text_encoder")), runtime.device, runtime.dtype
    tokens = AutoTokenizer.from_pretrained(base.part("tokenizer"), local_files_only=True)
    encoder = pool.get(
        "encode",
        (folder, dtype),
        lambda: placement.place_encoder(from_folder(T5EncoderModel, folder, dtype).eval(), device),
        device,
    )
    words = tokens(
        list(prompts), padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    with clock.phase("text", device), torch.inference_mode():
        states = encoder(words.to(encoder.device))[0].to(device, dtype).clone()
    del encoder
    pool.release("encode")
    return states
