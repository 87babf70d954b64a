"""Wan 2.1 from its original files: loading, the VAE's normalised latents, and framewise cross-attention.

The networks are diffusers' and transformers'. Their sizes are read off the tensors' shapes.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import ModelError
from vremove_cli.networks.wan_keys import clip_state, text_state, transformer_state, vae_state
from vremove_cli.weights.load import load_strict

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from transformers import CLIPVisionModel, UMT5EncoderModel

    State = Mapping[str, torch.Tensor]

TEXT_TOKENS = 512  # tokens of a text, padded with zeros after the encoder; the padding is attended
IMAGE_TOKENS = 257  # tokens of one image context
HEADS = 16  # of the image encoder: the one size that its tensors do not show


def make_transformer(config: Mapping[str, Any]) -> "WanTransformer3DModel":
    """Return a transformer without weights, from an original config.json."""
    import torch
    from diffusers import WanTransformer3DModel

    width, heads = config["dim"], config["num_heads"]
    with torch.device("meta"):
        model = WanTransformer3DModel(
            num_attention_heads=heads,
            attention_head_dim=width // heads,
            in_channels=config.get("in_dim", 36),
            out_channels=config.get("out_dim", 16),
            text_dim=config.get("text_dim", 4096),
            freq_dim=config.get("freq_dim", 256),
            ffn_dim=config["ffn_dim"],
            num_layers=config["num_layers"],
            eps=config.get("eps", 1e-6),
            image_dim=config.get("image_dim", 1280),
            added_kv_proj_dim=width,
        )
    return with_rotary(model)


def with_rotary(model: "WanTransformer3DModel") -> "WanTransformer3DModel":
    """Return a model of the meta device with its table of rotary embeddings in memory: no file holds that table."""
    from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed

    config = model.config
    model.rope = WanRotaryPosEmbed(config.attention_head_dim, config.patch_size, config.rope_max_seq_len)
    return model


def load_transformer(
    config: Mapping[str, Any], state: "State", path: str, dtype: "torch.dtype"
) -> "WanTransformer3DModel":
    """Return a transformer with its tensors; norms, tables and the time embedding stay in float32.

    Args:
        config: The original config.json.
        state: Tensors by their original names.
        path: File to name in an error.
        dtype: Type of the other weights.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    model = make_transformer(config)
    load_strict(model, cast_state(model, transformer_state(state), dtype), path)
    return model.eval()


def cast_state(model: "WanTransformer3DModel", state: "State", dtype: "torch.dtype") -> "dict[str, torch.Tensor]":
    """Return tensors in a type, and those that the model keeps in float32 in that."""
    import torch

    exact = tuple(model._keep_in_fp32_modules)
    return {k: v.to(torch.float32 if any(e in k.split(".") for e in exact) else dtype) for k, v in state.items()}


def load_vae(state: "State", path: str, dtype: "torch.dtype") -> "AutoencoderKLWan":
    """Return the VAE with its tensors.

    Args:
        state: Tensors by their original names.
        path: File to name in an error.
        dtype: Type of the weights.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    import torch
    from diffusers import AutoencoderKLWan

    own = vae_state(state)
    base = _size(own, "encoder.conv_in.weight", 0, path)
    widths = [_size(own, f"encoder.down_blocks.{3 * k}.conv1.weight", 0, path) // base for k in range(4)]
    with torch.device("meta"):
        vae = AutoencoderKLWan(base_dim=base, dim_mult=widths)
    load_strict(vae, own, path)
    return vae.to(dtype).eval()


def load_clip(state: "State", path: str, dtype: "torch.dtype", heads: int = HEADS) -> "CLIPVisionModel":
    """Return the image encoder with its tensors.

    Args:
        state: Tensors by their original names.
        path: File to name in an error.
        dtype: Type of the weights.
        heads: Number of attention heads.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    own = clip_state(state)
    patch = _size(own, "embeddings.patch_embedding.weight", -1, path)
    side = round((_size(own, "embeddings.position_embedding.weight", 0, path) - 1) ** 0.5) * patch
    config = CLIPVisionConfig(
        hidden_size=_size(own, "embeddings.patch_embedding.weight", 0, path),
        intermediate_size=_size(own, "encoder.layers.0.mlp.fc1.weight", 0, path),
        num_hidden_layers=_count(own, r"^encoder\.layers\.(\d+)\."),
        num_attention_heads=heads,
        image_size=side,
        patch_size=patch,
        hidden_act="gelu",
        layer_norm_eps=1e-5,
    )
    return _encoder(CLIPVisionModel, config, own, path, dtype)


def load_text(state: "State", path: str, dtype: "torch.dtype") -> "UMT5EncoderModel":
    """Return the text encoder with its tensors.

    Args:
        state: Tensors by their original names.
        path: File to name in an error.
        dtype: Type of the weights.

    Raises:
        ModelError: A tensor is missing, unknown or misshapen.
    """
    from transformers import UMT5Config, UMT5EncoderModel

    own = text_state(state)
    bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    heads = _size(own, bias, 1, path)
    config = UMT5Config(
        vocab_size=_size(own, "shared.weight", 0, path),
        d_model=_size(own, "shared.weight", 1, path),
        d_kv=_size(own, "encoder.block.0.layer.0.SelfAttention.q.weight", 0, path) // heads,
        d_ff=_size(own, "encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 0, path),
        num_layers=_count(own, r"^encoder\.block\.(\d+)\."),
        num_heads=heads,
        relative_attention_num_buckets=_size(own, bias, 0, path),
        feed_forward_proj="gated-gelu",
    )
    return _encoder(UMT5EncoderModel, config, own, path, dtype)


def _encoder(model_class: Any, config: Any, state: "State", path: str, dtype: "torch.dtype") -> Any:
    """Return an encoder of transformers with its tensors; its random initialisation, which takes minutes, is left out.

    Buffers are made in memory: no file holds them.
    """
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = model_class(config)
    load_strict(model, state, path)
    return model.to(dtype).eval()


def _size(state: "State", key: str, axis: int, path: str) -> int:
    if key not in state:
        raise ModelError(f"the weights in {path} do not fit: {key} is missing", "check that they are of this model")
    return int(state[key].shape[axis])


def _count(state: "State", pattern: str) -> int:
    """One more than the greatest number that the pattern finds in the names of tensors."""
    return 1 + max((int(m[1]) for k in state if (m := re.match(pattern, k))), default=-1)


def encode(vae: "AutoencoderKLWan", video: "torch.Tensor") -> "torch.Tensor":
    """Return the posterior's mode of a video (1, 3, T, H, W) in [-1, 1], normalised: (1, 16, L, H/8, W/8)."""
    mean, std = _statistics(vae, video)
    return (vae.encode(video).latent_dist.mode() - mean) / std


def decode(vae: "AutoencoderKLWan", latents: "torch.Tensor") -> "torch.Tensor":
    """Return the frames (1, 3, 4(L - 1) + 1, 8h, 8w) in [-1, 1] of normalised latents (1, 16, L, h, w)."""
    mean, std = _statistics(vae, latents)
    return vae.decode(latents * std + mean, return_dict=False)[0].clamp(-1, 1)


def _statistics(vae: "AutoencoderKLWan", like: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """Mean and standard deviation of the latents, (1, 16, 1, 1, 1), in the type and on the device of `like`."""
    import torch

    values = (vae.config.latents_mean, vae.config.latents_std)
    mean, std = (torch.tensor(v, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1) for v in values)
    return mean, std


def pad_text(states: "torch.Tensor") -> "torch.Tensor":
    """Return a text's states (N, D) as the transformer takes them, (1, 512, D), zeros after the end."""
    from torch.nn.functional import pad

    return pad(states, (0, 0, 0, TEXT_TOKENS - len(states)))[None]


class FramewiseProcessor:
    """Cross-attention of each latent frame to its own picture (UnderEraser, framewise context cross-attention).

    The tokens (1, L * tokens, C) of one clip meet contexts (L, 257 + 512, C): a picture for each latent frame, and one
    text, L times. The text's keys and values are computed once: they are the same for all frames.
    """

    def __call__(
        self, attn: Any, hidden_states: "torch.Tensor", encoder_hidden_states: "torch.Tensor", *_: Any, **__: Any
    ) -> "torch.Tensor":
        """Return the attention's output, (1, L * tokens, C); diffusers passes further arguments, None here."""
        pictures, text = encoder_hidden_states[:, :IMAGE_TOKENS], encoder_hidden_states[:, IMAGE_TOKENS:]
        query = attn.norm_q(attn.to_q(hidden_states))
        to_text = _attend(query, attn.norm_k(attn.to_k(text[:1])), attn.to_v(text[:1]), attn.heads)
        by_frame = query.reshape(len(pictures), -1, query.shape[-1])
        keys, values = attn.norm_added_k(attn.add_k_proj(pictures)), attn.add_v_proj(pictures)
        to_picture = _attend(by_frame, keys, values, attn.heads).reshape(to_text.shape)
        out: torch.Tensor = attn.to_out[1](attn.to_out[0](to_text + to_picture))
        return out


def _attend(query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor", heads: int) -> "torch.Tensor":
    """Return attention (B, N, C) of queries (B, N, C) to keys and values (B, M, C)."""
    from torch.nn.functional import scaled_dot_product_attention

    parts = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (query, key, value))  # type: ignore[no-untyped-call]
    return scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2).type_as(query)


def use_framewise_attention(transformer: "WanTransformer3DModel") -> "WanTransformer3DModel":
    """Set the cross-attention of all blocks to one context per latent frame, and return the transformer."""
    for block in transformer.blocks:
        block.attn2.set_processor(FramewiseProcessor())
    return transformer
