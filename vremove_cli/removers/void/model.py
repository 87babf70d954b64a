"""VOID's parts, loaded strictly: two transformers on CogVideoX-Fun's VAE, text encoder and scheduler."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from vremove_cli.errors import ModelError
from vremove_cli.removers.common import placement
from vremove_cli.weights.load import load_strict, read_state

TEXT_TOKENS = 226  # of text, padded; the padding is attended too, in the encoder and in the transformer
CHANNELS = 48  # of the transformer's input: noise 16, mask 16, video 16
_TRANSFORMER = (
    "num_attention_heads", "attention_head_dim", "in_channels", "out_channels", "flip_sin_to_cos", "freq_shift",
    "time_embed_dim", "text_embed_dim", "num_layers", "dropout", "attention_bias", "sample_width", "sample_height",
    "sample_frames", "patch_size", "patch_size_t", "temporal_compression_ratio", "max_text_seq_length", "activation_fn",
    "timestep_activation_fn", "norm_elementwise_affine", "norm_eps", "spatial_interpolation_scale",
    "temporal_interpolation_scale", "use_rotary_positional_embeddings", "use_learned_positional_embeddings",
    "patch_bias",
)  # fmt: skip


def make_transformer(config: Mapping[str, Any]) -> Any:
    """A transformer without weights, from the base repository's configuration widened to VOID's input.

    What VideoX-Fun added to that file, and only its pipeline reads, is left out.
    """
    import torch
    from diffusers import CogVideoXTransformer3DModel

    known = {k: v for k, v in config.items() if k in _TRANSFORMER}
    with torch.device("meta"):
        return CogVideoXTransformer3DModel(**{**known, "in_channels": CHANNELS})


def load_transformer(config: Mapping[str, Any], file: Path, dtype: Any) -> Any:
    """A pass's transformer; raises `ModelError` unless the file holds all of it and nothing else."""
    state = read_state(str(file))
    model = make_transformer(config)
    load_strict(model, {k: v.to(dtype) for k, v in state.items()}, str(file))
    return model.eval()


def load_vae(base: Path, dtype: Any) -> Any:
    """The VAE, from the base repository; raises `ModelError`."""
    from diffusers import AutoencoderKLCogVideoX
    from diffusers.utils import logging

    logging.set_verbosity_error()
    folder = base / "vae"
    vae = AutoencoderKLCogVideoX.from_config(AutoencoderKLCogVideoX.load_config(folder, local_files_only=True))
    load_strict(vae, read_state(str(_weights(folder))), str(folder))
    return vae.to(dtype).eval()


def load_scheduler(base: Path, *, second_pass: bool) -> Any:
    """A pass's scheduler, from the base repository's configuration."""
    from diffusers import CogVideoXDDIMScheduler, DDIMScheduler

    kind = CogVideoXDDIMScheduler if second_pass else DDIMScheduler
    config = kind.load_config(base / "scheduler", local_files_only=True)
    return kind.from_config(config)


@lru_cache(maxsize=2)
def prompt_embeds(base: Path, prompts: tuple[str, ...], device: str, dtype: Any) -> Any:
    """The text encoder's states of some prompts (N, tokens, D), kept for the next shot; the encoder is gone again."""
    import torch
    from transformers import AutoTokenizer, T5EncoderModel

    from vremove_cli.weights.load import from_folder

    tokens = AutoTokenizer.from_pretrained(base / "tokenizer", local_files_only=True)
    encoder = placement.place_encoder(from_folder(T5EncoderModel, str(base / "text_encoder"), dtype), device).eval()
    words = tokens(
        list(prompts), padding="max_length", max_length=TEXT_TOKENS, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.inference_mode():
        states = encoder(words.to(encoder.device))[0].to(device, dtype).clone()
    del encoder
    placement.release_memory()
    return states


def _weights(folder: Path) -> Path:
    file = folder / "diffusion_pytorch_model.safetensors"
    if not file.exists():
        raise ModelError(f"{folder} holds no {file.name}", "pull cogvideox-fun-5b again")
    return file
