"""MiniMax-Remover's transformer: diffusers' Wan transformer without text and cross-attention.

Zi et al., "MiniMax-Remover: Taming Bad Noise Helps Video Object Removal", 2025.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vremove_cli.networks.wan import cast_state, with_rotary
from vremove_cli.weights.load import load_strict

if TYPE_CHECKING:
    import torch
    from diffusers import WanTransformer3DModel


def make_transformer(config: Mapping[str, Any]) -> "WanTransformer3DModel":
    """Return a transformer without weights, from a config.json in diffusers' format."""
    import torch
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        model = WanTransformer3DModel(
            num_attention_heads=config["num_attention_heads"],
            attention_head_dim=config["attention_head_dim"],
            in_channels=config.get("in_channels", 48),
            out_channels=config.get("out_channels", 16),
            freq_dim=config.get("freq_dim", 256),
            text_dim=1,
            ffn_dim=config["ffn_dim"],
            num_layers=config["num_layers"],
            cross_attn_norm=False,
            eps=config.get("eps", 1e-6),
        )
    model.condition_embedder.text_embedder = torch.nn.Identity()
    for block in model.blocks:
        block.attn2 = _make_null_attention()
    return with_rotary(model)


def load_transformer(
    config: Mapping[str, Any], state: "Mapping[str, torch.Tensor]", path: str, dtype: "torch.dtype"
) -> "WanTransformer3DModel":
    """Return a transformer with its tensors; norms, tables and the time embedding stay in float32.

    Args:
        config: The values of `config.json` in diffusers' format.
        state: Tensors by diffusers' names.
        path: File to name in an error.
        dtype: Type of the other weights.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    model = make_transformer(config)
    load_strict(model, cast_state(model, state, dtype), path)
    return model.eval()


def predict(
    transformer: "WanTransformer3DModel", hidden_states: "torch.Tensor", timestep: "torch.Tensor"
) -> "torch.Tensor":
    """Return the velocity (1, 16, L, h, w) for an input (1, 48, L, h, w) at a timestep (1,)."""
    hidden_states = hidden_states.to(transformer.dtype)
    no_text = hidden_states.new_zeros(len(hidden_states), 1, 1)
    return transformer(
        hidden_states=hidden_states, timestep=timestep, encoder_hidden_states=no_text, return_dict=False
    )[0]


def _make_null_attention() -> "torch.nn.Module":
    """A module in the place of an attention, which adds zero."""
    import torch

    class NullAttention(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, *_: Any) -> torch.Tensor:
            return hidden_states.new_zeros(())

    return NullAttention()
