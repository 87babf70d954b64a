"""Stable Diffusion XL from its diffusers folders: the inpainting UNet, the VAE's scaled latents, the texts' embeddings.

Podell et al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image Synthesis", 2023. The networks are
diffusers' and transformers'.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import ModelError
from vremove_cli.networks import lora
from vremove_cli.weights.load import from_folder, load_strict, read_state

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel

    State = Mapping[str, torch.Tensor]

CHANNELS = 9  # of the inpainting UNet's input: noisy latent 4, mask 1, latent of the masked picture 4
PIXELS = 8  # height and width of a latent in pixels
_CONFIG = "config.json"
_HALF = "fp16"  # the Hub's word for files with 16-bit weights


@dataclass(frozen=True)
class Text:
    """What both text encoders make of some prompts.

    Attributes:
        states: Penultimate states of both encoders side by side, (N, 77, D).
        pooled: The second encoder's projected output, (N, P).
    """

    states: "torch.Tensor"
    pooled: "torch.Tensor"


def config_beside(weights: Path) -> dict[str, Any]:
    """Return the configuration in the folder of a file with weights.

    Raises:
        ModelError: It is missing.
    """
    file = weights.with_name(_CONFIG)
    if not file.is_file():
        raise ModelError(f"{file.parent} holds no {_CONFIG} for {weights.name}", "put the repository's one there")
    config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return config


def make_unet(config: Mapping[str, Any]) -> "UNet2DConditionModel":
    """Return a UNet without weights, on the meta device.

    Raises:
        ModelError: It is no inpainting UNet.
    """
    import torch
    from diffusers import UNet2DConditionModel

    if config.get("in_channels") != CHANNELS:
        raise ModelError(
            f"the UNet takes {config.get('in_channels')} channels and not {CHANNELS}", "give one that inpaints"
        )
    with torch.device("meta"):
        unet: UNet2DConditionModel = UNet2DConditionModel.from_config(dict(config))
    return unet


def load_unet(
    config: Mapping[str, Any],
    state: "State",
    path: str,
    dtype: "torch.dtype",
    loras: Sequence[tuple[str, float]] = (),
    home: str = "cpu",
    device: str | None = None,
) -> "UNet2DConditionModel":
    """Return the inpainting UNet with its tensors, and with LoRA files merged into them.

    Args:
        config: Its config.json.
        state: Tensors by name.
        path: File to name in an error.
        dtype: Type of the weights, in which LoRA files are merged.
        loras: Paths and strengths.
        home: Device of the tensors.
        device: Where merging is computed; None: where the tensors are.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen, or a LoRA file does not fit.
    """
    unet = make_unet(config)
    own = {k: v.to(home, dtype) for k, v in state.items()}
    for file, strength in loras:
        own = lora.merge_lora(own, read_state(file), strength, file, device=device)
    load_strict(unet, own, path)
    return unet.eval()


def load_vae(config: Mapping[str, Any], state: "State", path: str, dtype: "torch.dtype") -> "AutoencoderKL":
    """Return the VAE with its tensors; parameters as `load_unet`.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    import torch
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae: AutoencoderKL = AutoencoderKL.from_config(dict(config))
    load_strict(vae, {k: v.to(dtype) for k, v in state.items()}, path)
    return vae.eval()


def encode_moments(vae: "AutoencoderKL", pictures: "torch.Tensor") -> "torch.Tensor":
    """Return mean and log-variance side by side, (N, 8, h, w), of the latents of pictures (N, 3, H, W) in [-1, 1]."""
    moments: torch.Tensor = vae.encode(pictures.to(vae.dtype)).latent_dist.parameters
    return moments


def draw_latents(
    vae: "AutoencoderKL", moments: "torch.Tensor", generator: "torch.Generator | None" = None
) -> "torch.Tensor":
    """Return scaled latents (N, 4, h, w) of some moments: drawn by a generator of the CPU, or without one the mean."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    found = DiagonalGaussianDistribution(moments)
    latents: torch.Tensor = found.mode() if generator is None else found.sample(generator)
    return latents * vae.config.scaling_factor


def decode(vae: "AutoencoderKL", latents: "torch.Tensor") -> "torch.Tensor":
    """Return pictures (N, 3, H, W) of about [-1, 1] from scaled latents (N, 4, h, w)."""
    pictures: torch.Tensor = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
    return pictures


def encode_texts(parts: Mapping[str, Path], prompts: Sequence[str], dtype: "torch.dtype") -> Text:
    """Return what both encoders make of some prompts. They run on the CPU: a second for each, once on a machine.

    Args:
        parts: Files with the weights of text_encoder and text_encoder_2, folders of tokenizer and tokenizer_2.
        prompts: The texts; may be empty. What is beyond 77 tokens is cut off.
        dtype: Type of the encoders.

    Raises:
        ModelError: The weights do not fit.
    """
    import torch
    from transformers import AutoTokenizer, CLIPTextModel, CLIPTextModelWithProjection

    states, pooled = [], None
    for suffix, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        tokens = AutoTokenizer.from_pretrained(parts[f"tokenizer{suffix}"], local_files_only=True)
        words = tokens(
            list(prompts), padding="max_length", max_length=tokens.model_max_length, truncation=True,
            return_tensors="pt",
        ).input_ids  # fmt: skip
        weights = parts[f"text_encoder{suffix}"]
        variant = _HALF if f".{_HALF}." in weights.name else None
        encoder = from_folder(kind, str(weights.parent), dtype, variant).eval()
        with torch.inference_mode():
            out = encoder(words, output_hidden_states=True)
        states.append(out.hidden_states[-2])
        pooled = out[0]
    assert pooled is not None
    return Text(torch.cat(states, -1), pooled)
