"""MiniMax-Remover's transformer: Wan's, without text and without any attention to it.

Zi et al., "MiniMax-Remover", 2025. It is diffusers' Wan transformer with those parts taken out.
"""

from collections.abc import Mapping
from typing import Any

from vremove_cli.networks.wan import cast_state, with_rotary
from vremove_cli.weights.load import load_strict


def make_transformer(config: Mapping[str, Any]) -> Any:
    """A transformer without weights, from a config.json of diffusers' kind."""
    import torch
    from diffusers import WanTransformer3DModel

    heads, width = config["num_attention_heads"], config["attention_head_dim"]
    with torch.device("meta"):
        model = WanTransformer3DModel(
            num_attention_heads=heads, attention_head_dim=width, in_channels=config.get("in_channels", 48),
            out_channels=config.get("out_channels", 16), freq_dim=config.get("freq_dim", 256), text_dim=1,
            ffn_dim=config["ffn_dim"], num_layers=config["num_layers"], cross_attn_norm=False,
            eps=config.get("eps", 1e-6),
        )  # fmt: skip
    model.condition_embedder.text_embedder = torch.nn.Identity()
    for block in model.blocks:
        block.attn2 = _nothing()
    return with_rotary(model)


def load_transformer(config: Mapping[str, Any], state: Mapping[str, Any], path: str, dtype: Any) -> Any:
    """A transformer with its tensors, strictly; norms, tables and the time embedding in float32."""
    model = make_transformer(config)
    load_strict(model, cast_state(model, state, dtype), path)
    return model.eval()


def predict(transformer: Any, given: Any, time: Any) -> Any:
    """The velocity (1, 16, L, h, w) for an input (1, 48, L, h, w) at a time (1,)."""
    given = given.to(transformer.dtype)
    nothing = given.new_zeros(len(given), 1, 1)
    return transformer(hidden_states=given, timestep=time, encoder_hidden_states=nothing, return_dict=False)[0]


def _nothing() -> Any:
    """A module in the place of an attention, which adds nothing."""
    import torch

    class Nothing(torch.nn.Module):
        def forward(self, hidden_states: Any, *_: Any) -> Any:
            return hidden_states.new_zeros(())

    return Nothing()
