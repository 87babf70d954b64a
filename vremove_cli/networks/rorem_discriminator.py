"""RORem's success network: the encoder half of SDXL's inpainting UNet, and a head that gives one number.

Li et al., "RORem: Training a Robust Object Remover with Human-in-the-Loop", 2025, by the released code
(`model/unet_sdxl_discriminator.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vremove_cli.networks import lora, sdxl
from vremove_cli.weights.load import load_strict

if TYPE_CHECKING:
    import torch
    from diffusers import UNet2DConditionModel

    State = Mapping[str, torch.Tensor]

SIDE = 512  # pixels of the picture: with more, the head would give a map
_UNUSED = ("up_blocks", "conv_norm_out", "conv_out")  # parts of the UNet after the encoder half
_HEAD = "cls_pred_branch."
_HEAD_GROUPS = 32  # of the head's group norms
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")  # layers that the LoRA changes


@dataclass(frozen=True)
class Discriminator:
    """The network.

    Attributes:
        body: The UNet without its decoder half.
        head: From the middle block's output to one number.
    """

    body: "UNet2DConditionModel"
    head: "torch.nn.Sequential"


def load(
    config: Mapping[str, Any],
    body: "State",
    head: "State",
    change: "State | None",
    paths: tuple[str, str, str],
    dtype: "torch.dtype",
    groups: int = _HEAD_GROUPS,
    device: str = "cpu",
) -> Discriminator:
    """Return the network with its tensors.

    Args:
        config: The config.json of the inpainting UNet.
        body: That UNet's tensors; those of its decoder half are left out.
        head: The head's tensors.
        change: The LoRA of the body's attentions; None: the body stays as it is.
        paths: Files of body, head and LoRA, to name in an error.
        dtype: Type of the weights.
        groups: Groups of the head's norms.
        device: Where it runs.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    unet = sdxl.make_unet(config)
    for part in _UNUSED:
        delattr(unet, part)
    own = {k: v.to(dtype) for k, v in body.items() if k.partition(".")[0] not in _UNUSED}
    if change is not None:
        lora.merge_lora(own, change, 1.0, paths[2], modules=attention_layers(unet))
    load_strict(unet, own, paths[0])
    made = make_head(config["block_out_channels"][-1], groups)
    load_strict(made, {k.removeprefix(_HEAD): v.to(dtype) for k, v in head.items()}, paths[1])
    return Discriminator(unet.eval().to(device), made.eval().to(device))


def attention_layers(unet: "torch.nn.Module") -> list[str]:
    """Return the names of the linear layers of a UNet's attentions: queries, keys, values and outputs."""
    return [name for name, _ in unet.named_modules() if name.endswith(tuple(f".{layer}" for layer in ATTENTION))]


def make_head(channels: int, groups: int = _HEAD_GROUPS) -> "torch.nn.Sequential":
    """Return the head without weights, on the meta device: (N, C, 16, 16) to (N, 1, 1, 1)."""
    import torch
    from torch import nn

    def halving(size: int, stride: int, padding: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, channels, size, stride, padding), nn.GroupNorm(groups, channels), nn.SiLU()]

    with torch.device("meta"):
        return nn.Sequential(*halving(4, 2, 1), *halving(4, 2, 1), *halving(4, 4, 0), nn.Conv2d(channels, 1, 1))


def middle(
    body: "UNet2DConditionModel",
    channels: "torch.Tensor",
    timestep: "torch.Tensor",
    text: sdxl.Text,
    time_ids: "torch.Tensor",
) -> "torch.Tensor":
    """Return the middle block's output (N, C, h / 4, w / 4).

    Args:
        body: The UNet without its decoder half.
        channels: (N, 9, h, w): noisy latent of the result, mask, latent of the source with its object.
        timestep: (N,).
        text: The prompt's embeddings.
        time_ids: (N, 6): height and width, top and left of the crop, height and width of the target, in pixels.
    """
    conditions = {"text_embeds": text.pooled, "time_ids": time_ids}
    embedding = body.time_embedding(body.get_time_embed(channels, timestep))
    embedding = embedding + body.get_aug_embed(embedding, text.states, conditions)
    hidden: torch.Tensor = body.conv_in(channels)
    for block in body.down_blocks:
        if getattr(block, "has_cross_attention", False):
            hidden, _ = block(hidden, embedding, encoder_hidden_states=text.states)
        else:
            hidden, _ = block(hidden, embedding)
    out: torch.Tensor = body.mid_block(hidden, embedding, encoder_hidden_states=text.states)
    return out


def logit(network: Discriminator, middle_output: "torch.Tensor") -> "torch.Tensor":
    """Return the head's output (N,) for the middle block's output; softplus of it is the score."""
    out: torch.Tensor = network.head(middle_output)
    return out.flatten()
