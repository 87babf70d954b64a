"""Tensor names of Wan 2.1's original files as diffusers and transformers have them.

diffusers converts the transformer and the VAE. It has no converter for the image encoder and the text encoder: those
follow the public repository Wan-Video/Wan2.1.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

_Rules = Sequence[tuple[str, str]]
_CLIP: _Rules = (
    (r"^visual\.patch_embedding\.", "embeddings.patch_embedding."),
    (r"^visual\.pos_embedding$", "embeddings.position_embedding.weight"),
    (r"^visual\.cls_embedding$", "embeddings.class_embedding"),
    (r"^visual\.pre_norm\.", "pre_layrnorm."),
    (r"^visual\.post_norm\.", "post_layernorm."),
    (r"^visual\.transformer\.(\d+)\.norm([12])\.", r"encoder.layers.\1.layer_norm\2."),
    (r"^visual\.transformer\.(\d+)\.attn\.proj\.", r"encoder.layers.\1.self_attn.out_proj."),
    (r"^visual\.transformer\.(\d+)\.mlp\.0\.", r"encoder.layers.\1.mlp.fc1."),
    (r"^visual\.transformer\.(\d+)\.mlp\.2\.", r"encoder.layers.\1.mlp.fc2."),
)
_TEXT: _Rules = (
    (r"^token_embedding\.", "shared."),
    (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.(\d+)\.norm1\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"^blocks\.(\d+)\.norm2\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^blocks\.(\d+)\.attn\.([qkvo])\.", r"encoder.block.\1.layer.0.SelfAttention.\2."),
    (
        r"^blocks\.(\d+)\.pos_embedding\.embedding\.",
        r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias.",
    ),
    (r"^blocks\.(\d+)\.ffn\.gate\.0\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"^blocks\.(\d+)\.ffn\.fc1\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"^blocks\.(\d+)\.ffn\.fc2\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
)


def transformer_state(state: "State") -> "dict[str, torch.Tensor]":
    """Return a transformer's tensors under diffusers' names; unknown names stay, so that strict loading refuses them.

    A copy of the mapping is converted, because diffusers' converter empties the one it gets.
    """
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    converted: dict[str, torch.Tensor] = convert_wan_transformer_to_diffusers(dict(state))
    return converted


def vae_state(state: "State") -> "dict[str, torch.Tensor]":
    """Return the VAE's tensors under diffusers' names; unknown names stay, so that strict loading refuses them."""
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    converted: dict[str, torch.Tensor] = convert_wan_vae_to_diffusers(dict(state))
    return converted


def clip_state(state: "State") -> "dict[str, torch.Tensor]":
    """Return the image encoder's tensors under transformers' names, without CLIP's text half and its head."""
    out: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if not key.startswith("visual.") or key == "visual.head":
            continue
        if match := re.match(r"^visual\.transformer\.(\d+)\.attn\.to_qkv\.(.*)$", key):
            for name, part in zip("qkv", value.chunk(3), strict=True):
                out[f"encoder.layers.{match[1]}.self_attn.{name}_proj.{match[2]}"] = part
        else:
            out[_rename(key, _CLIP)] = value
    if "embeddings.class_embedding" in out:
        out["embeddings.class_embedding"] = out["embeddings.class_embedding"].flatten()
        out["embeddings.position_embedding.weight"] = out["embeddings.position_embedding.weight"][0]
    return out


def text_state(state: "State") -> "dict[str, torch.Tensor]":
    """Return the text encoder's tensors under transformers' names."""
    out = {_rename(k, _TEXT): v for k, v in state.items()}
    if "shared.weight" in out:
        out["encoder.embed_tokens.weight"] = out["shared.weight"]
    return out


def _rename(key: str, rules: _Rules) -> str:
    for pattern, name in rules:
        key = re.sub(pattern, name, key)
    return key
