"""The parts that ROSE and UnderEraser run: transformer, VAE, text and pictures, from the files of Wan 2.1."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from vremove_cli import atomic
from vremove_cli.errors import ModelError
from vremove_cli.networks import lora, wan
from vremove_cli.removers.common import placement
from vremove_cli.settings import cache_folder
from vremove_cli.weights.load import read_state

_VAE, _TEXT = "Wan2.1_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"
_PICTURES = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
_TOKENIZER = "google/umt5-xxl"
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_END = 1  # the token that ends a text, and all there is of an empty one


def transformer_files(place: str) -> tuple[Path, Path]:
    """The config and the weights of a transformer: in the folder that holds what the Hub has, or in `transformer/` of
    it, or a file of the user's own beside its config.json. Raises `ModelError`."""
    path = Path(place)
    folders = [path, path / "transformer"] if path.is_dir() else [path.parent]
    for folder in folders:
        weights = folder / _WEIGHTS if path.is_dir() else path
        if (folder / "config.json").is_file() and weights.is_file():
            return folder / "config.json", weights
    raise ModelError(f"{place} holds no config.json with {_WEIGHTS}", "`vremove models verify` finds what is wrong")


def load_transformer(place: str, changes: Sequence[tuple[str, float, bool]], dtype: Any) -> Any:
    """A transformer with low-rank changes merged in, one after the other: (file, strength, whether alpha counts).

    They are merged in the type it runs in, as the released code does.
    """
    config, file = transformer_files(place)
    state = {k: v.to(dtype) for k, v in read_state(str(file)).items()}
    for path, strength, scaled in changes:
        parts = {k: v if v.ndim == 0 else v.to(dtype) for k, v in read_state(path).items()}
        state = lora.merge_lora(state, parts, strength, path, scaled=scaled)
    return wan.load_transformer(json.loads(config.read_text(encoding="utf-8")), state, str(file), dtype)


def load_vae(base: str, dtype: Any) -> Any:
    """The VAE from a base repository's folder."""
    file = _file(base, _VAE)
    return wan.load_vae(read_state(file), file, dtype)


@lru_cache(maxsize=1)
def load_networks(
    place: str,
    base: str,
    changes: tuple[tuple[str, float, bool], ...],
    device: str,
    dtype: Any,
    mode: placement.MemoryMode,
) -> tuple[Any, Any]:
    """A transformer and its base's VAE, ready to run and kept for the next window; `changes` as `load_transformer`
    takes them."""
    vae = load_vae(base, dtype).to(device)
    return placement.place(load_transformer(place, changes, dtype), device, mode), vae


@lru_cache(maxsize=1)
def load_clip(base: str, dtype: Any) -> Any:
    """The picture encoder from a base repository's folder, kept for the next window."""
    file = _file(base, _PICTURES)
    return wan.load_clip(read_state(file), file, dtype)


def prompt_embeds(base: str, prompt: str, device: str, dtype: Any) -> Any:
    """What the text encoder says of a prompt, (1, 512, D), zeros after its end.

    It is kept on disk, by the encoder's file and the prompt, so that the large encoder is loaded once on a machine.
    """
    from safetensors.torch import load_file, save_file

    file = Path(_file(base, _TEXT)).resolve()
    facts = file.stat()
    known = f"{file} {facts.st_size} {facts.st_mtime_ns} {dtype} {prompt}"
    kept = cache_folder() / "text" / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.safetensors"
    if kept.is_file():
        with suppress(Exception):  # a damaged file is made anew
            return wan.pad_text(load_file(kept)["states"].to(device, dtype))
    states = _encoded(base, str(file), prompt, device, dtype)
    with suppress(OSError):  # where nothing can be kept it is encoded again
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replace_file(kept) as hidden:
            save_file({"states": states.cpu()}, hidden)
    return wan.pad_text(states.to(device))


def _encoded(base: str, file: str, prompt: str, device: str, dtype: Any) -> Any:
    """The encoder's states of a prompt (N, D); it is gone again afterwards."""
    import torch

    ids = [_END]
    if prompt:
        from transformers import AutoTokenizer

        tokens = AutoTokenizer.from_pretrained(Path(base) / _TOKENIZER, local_files_only=True)
        ids = tokens(prompt, truncation=True, max_length=wan.TEXT_TOKENS).input_ids
    encoder = placement.place_encoder(wan.load_text(read_state(file), file, dtype), device)
    with torch.inference_mode():
        states = encoder(torch.tensor([ids], device=encoder.device))[0][0].clone()
    del encoder
    placement.release_memory()
    return states


def _file(base: str, name: str) -> str:
    path = Path(base) / name
    if not path.is_file():
        raise ModelError(f"{base} holds no {name}", "`vremove models verify` finds what is wrong")
    return str(path)


def predictor(transformer: Any, condition: Any, text: Any, pictures: Any) -> Callable[[Any, Any], Any]:
    """Gives the velocity (1, 16, L, h, w) for latents of that shape and a time (1,).

    `condition` (1, 20, L, h, w) goes beside the latents; `text` is (1, 512, D); `pictures` are one context (1, 257, D)
    for the whole clip, or one for each latent frame (L, 257, D).
    """
    import torch

    text, pictures = text.to(transformer.dtype), pictures.to(transformer.dtype)
    if len(pictures) > 1:
        wan.use_framewise_attention(transformer)
        text = text.expand(len(pictures), -1, -1)

    def predict(latents: Any, time: Any) -> Any:
        given = torch.cat([latents, condition.to(latents)], 1).to(transformer.dtype)
        return transformer(
            hidden_states=given, timestep=time, encoder_hidden_states=text, encoder_hidden_states_image=pictures,
            return_dict=False,
        )[0]  # fmt: skip

    return predict
