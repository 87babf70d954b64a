"""Loading the networks of removers on Wan 2.1: transformer, VAE, text encoder and image encoder."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vremove_cli.errors import ModelError
from vremove_cli.networks import lora, wan
from vremove_cli.networks.convolutions import laid_out
from vremove_cli.networks.model_pool import pool
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.step_cache import cached_as
from vremove_cli.removers.common.text_cache import cached_states
from vremove_cli.weights.load import read_state
from vremove_cli.weights.store import Checkpoint

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_CONFIG = "config.json"  # beside the transformer's weights, as on the Hub
_END = 1  # the token at the end of a text, and the only one of an empty text


def transformer_files(checkpoint: Checkpoint) -> tuple[Path, Path]:
    """Return the config and the weights of a transformer; the config is beside the weights.

    Raises:
        ModelError: One of them is missing.
    """
    weights = checkpoint.part("transformer")
    config = weights.with_name(_CONFIG)
    if not config.is_file():
        raise ModelError(
            f"{config.parent} holds no {_CONFIG} for {weights.name}", "`vremove models verify` finds what is wrong"
        )
    return config, weights


def load_transformer(
    checkpoint: Checkpoint, loras: Sequence[tuple[str, float, bool]], runtime: placement.Runtime
) -> "WanTransformer3DModel":
    """Load a transformer and merge LoRA files into it, one after the other.

    They are merged in the type that the transformer runs in, as the released code does.

    Args:
        checkpoint: The model with a part `transformer`.
        loras: Path, strength, and whether the file's alpha scales it.
        runtime: How it runs. All sums of merging are computed on its device.

    Raises:
        ModelError: The weights or a LoRA file do not fit.
    """
    config, file = transformer_files(checkpoint)
    device, dtype = runtime.device, runtime.dtype
    home = device if runtime.mode.weights == "resident" else "cpu"
    state = {k: v.to(home, dtype) for k, v in read_state(str(file)).items()}
    for path, strength, scaled in loras:
        parts = {k: v if v.ndim == 0 else v.to(dtype) for k, v in read_state(path).items()}
        state = lora.merge_lora(state, parts, strength, path, scaled=scaled, device=device)
    return wan.load_transformer(json.loads(config.read_text(encoding="utf-8")), state, str(file), dtype)


def load_networks(
    checkpoint: Checkpoint,
    base: Checkpoint,
    loras: tuple[tuple[str, float, bool], ...],
    runtime: placement.Runtime,
) -> tuple["WanTransformer3DModel", "AutoencoderKLWan"]:
    """Return a transformer and a VAE, ready to run; the pool keeps them for the next window.

    Args:
        checkpoint: The model with a part `transformer`.
        base: The model with a part `vae`.
        loras: LoRA files, as `load_transformer` takes them.
        runtime: How they run.

    Raises:
        ModelError: The weights or a LoRA file do not fit.
    """
    file, device, dtype = str(base.part("vae")), runtime.device, runtime.vae_dtype
    vae = pool.get("vae", (file, dtype), lambda: laid_out(wan.load_vae(read_state(file), file, dtype), device), device)
    transformer = pool.get(
        "remove",
        (checkpoint.path, loras, runtime),
        lambda: placement.place(load_transformer(checkpoint, loras, runtime), runtime),
        device,
    )
    return transformer, vae


def load_clip(base: Checkpoint, runtime: placement.Runtime) -> "torch.nn.Module":
    """Return the image encoder on the device; the pool keeps it for the next window."""
    file, device, dtype = str(base.part("image_encoder")), runtime.device, runtime.dtype
    return pool.get("encode", (file, dtype), lambda: _placed_clip(file, dtype, device), device)


def _placed_clip(file: str, dtype: "torch.dtype", device: str) -> "torch.nn.Module":
    clip: torch.nn.Module = wan.load_clip(read_state(file), file, dtype)
    return clip.to(device)


def prompt_embeds(base: Checkpoint, prompt: str, runtime: placement.Runtime) -> "torch.Tensor":
    """Return the text encoder's states of a prompt, (1, 512, D), zeros after its end.

    They are stored on disk, by the encoder's file and the prompt: the large encoder is loaded once on a machine.

    Args:
        base: The model with the parts `text_encoder` and `tokenizer`.
        prompt: The text; may be empty.
        runtime: How the encoder runs, and the states' device and type.

    Raises:
        ModelError: The weights do not fit.
    """
    file, device, dtype = base.part("text_encoder"), runtime.device, runtime.dtype
    kept = cached_states(
        [file], [prompt], dtype, device, lambda: {"states": _encode_prompt(base, str(file.resolve()), prompt, runtime)}
    )
    return wan.pad_text(kept["states"].to(device, dtype))


def _encode_prompt(base: Checkpoint, file: str, prompt: str, runtime: placement.Runtime) -> "torch.Tensor":
    """The encoder's states of a prompt (N, D); the encoder is released afterwards."""
    import torch

    device, dtype = runtime.device, runtime.dtype
    ids = [_END]
    if prompt:
        from transformers import AutoTokenizer

        tokens = AutoTokenizer.from_pretrained(base.part("tokenizer"), local_files_only=True)
        ids = tokens(prompt, truncation=True, max_length=wan.TEXT_TOKENS).input_ids
    encoder = pool.get(
        "encode",
        (file, dtype),
        lambda: placement.place_encoder(wan.load_text(read_state(file), file, dtype), device),
        device,
    )
    with torch.inference_mode():
        states = encoder(torch.tensor([ids], device=encoder.device))[0][0].clone()
    del encoder
    pool.release("encode")
    return states


def predictor(
    transformer: "WanTransformer3DModel",
    condition: "torch.Tensor",
    text: "torch.Tensor",
    pictures: "torch.Tensor",
    name: str = "text",
) -> "Predict":
    """Return a function from latents (1, 16, L, h, w) and a timestep (1,) to the velocity (1, 16, L, h, w).

    Args:
        transformer: The network; it gets framewise attention if there is a context for each latent frame.
        condition: Conditioning (1, 20, L, h, w), concatenated to the latents.
        text: Text states (1, 512, D).
        pictures: Image states: one context (1, 257, D) for the whole clip, or one for each latent frame (L, 257, D).
        name: Name of the text: a cache of steps keeps the calls with one text apart from those with another.
    """
    import torch

    text, pictures = text.to(transformer.dtype), pictures.to(transformer.dtype)
    if len(pictures) > 1:
        wan.use_framewise_attention(transformer)
        text = text.expand(len(pictures), -1, -1)

    def predict(latents: "torch.Tensor", timestep: "torch.Tensor") -> "torch.Tensor":
        hidden_states = torch.cat([latents, condition.to(latents)], 1).to(transformer.dtype)
        with cached_as(transformer, name):
            velocity: torch.Tensor = transformer(
                hidden_states=hidden_states,
                timestep=timestep,
                encoder_hidden_states=text,
                encoder_hidden_states_image=pictures,
                return_dict=False,
            )[0]
        return velocity

    return predict
