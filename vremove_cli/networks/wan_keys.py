"""Original names of Wan 2.1's tensors, of the picture encoder's and the text encoder's, and those of diffusers and
transformers. Facts of the files: the public repository Wan-Video/Wan2.1."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

State = Mapping[str, Any]

_TRANSFORMER = (
    (r"^text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"^text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
    (r"^time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"^time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"^img_emb\.proj\.0\.", "condition_embedder.image_embedder.norm1."),
    (r"^img_emb\.proj\.1\.", "condition_embedder.image_embedder.ff.net.0.proj."),
    (r"^img_emb\.proj\.3\.", "condition_embedder.image_embedder.ff.net.2."),
    (r"^img_emb\.proj\.4\.", "condition_embedder.image_embedder.norm2."),
    (r"^head\.head\.", "proj_out."),
    (r"^(?:head\.|(blocks\.\d+\.))modulation$", r"\1scale_shift_table"),
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.([qkv])\.(weight|bias)$", r".to_\1.\2"),
    (r"\.o\.(weight|bias)$", r".to_out.0.\1"),
    (r"\.([kv])_img\.", r".add_\1_proj."),
    (r"\.norm_k_img\.", ".norm_added_k."),
    (r"^(blocks\.\d+)\.norm3\.", r"\1.norm2."),
    (r"\.ffn\.0\.", ".ffn.net.0.proj."),
    (r"\.ffn\.2\.", ".ffn.net.2."),
)
_RESIDUAL = (
    (r"\.residual\.0\.gamma$", ".norm1.gamma"),
    (r"\.residual\.2\.", ".conv1."),
    (r"\.residual\.3\.gamma$", ".norm2.gamma"),
    (r"\.residual\.6\.", ".conv2."),
    (r"\.shortcut\.", ".conv_shortcut."),
)
_VAE = (
    (r"^conv1\.", "quant_conv."),
    (r"^conv2\.", "post_quant_conv."),
    (r"^(encoder|decoder)\.conv1\.", r"\1.conv_in."),
    (r"^(encoder|decoder)\.head\.0\.", r"\1.norm_out."),
    (r"^(encoder|decoder)\.head\.2\.", r"\1.conv_out."),
    (r"^(encoder|decoder)\.middle\.0\.", r"\1.mid_block.resnets.0."),
    (r"^(encoder|decoder)\.middle\.1\.", r"\1.mid_block.attentions.0."),
    (r"^(encoder|decoder)\.middle\.2\.", r"\1.mid_block.resnets.1."),
    (r"^encoder\.downsamples\.", "encoder.down_blocks."),
    *_RESIDUAL,
)
_CLIP = (
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
_TEXT = (
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


def _renamed(key: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, name in rules:
        key = re.sub(pattern, lambda m, name=name: m.expand(name), key)  # type: ignore[misc]
    return key


def transformer_state(state: State) -> dict[str, Any]:
    """A transformer's tensors under diffusers' names, from its original ones."""
    return {_renamed(k.removeprefix("model.diffusion_model."), _TRANSFORMER): v for k, v in state.items()}


def vae_state(state: State) -> dict[str, Any]:
    """The VAE's tensors under diffusers' names."""

    def upsampler(match: re.Match[str]) -> str:
        block, place = divmod(int(match[1]), 4)
        return f"decoder.up_blocks.{block}.{'upsamplers.0' if place == 3 else f'resnets.{place}'}."

    return {re.sub(r"^decoder\.upsamples\.(\d+)\.", upsampler, _renamed(k, _VAE)): v for k, v in state.items()}


def clip_state(state: State) -> dict[str, Any]:
    """The picture encoder's tensors under transformers' names; its text half and its head are left out."""
    out: dict[str, Any] = {}
    for key, value in state.items():
        if not key.startswith("visual.") or key == "visual.head":
            continue
        if match := re.match(r"^visual\.transformer\.(\d+)\.attn\.to_qkv\.(.*)$", key):
            for name, part in zip("qkv", value.chunk(3), strict=True):
                out[f"encoder.layers.{match[1]}.self_attn.{name}_proj.{match[2]}"] = part
        else:
            out[_renamed(key, _CLIP)] = value
    if "embeddings.class_embedding" in out:
        out["embeddings.class_embedding"] = out["embeddings.class_embedding"].flatten()
        out["embeddings.position_embedding.weight"] = out["embeddings.position_embedding.weight"][0]
    return out


def text_state(state: State) -> dict[str, Any]:
    """The text encoder's tensors under transformers' names."""
    out = {_renamed(k, _TEXT): v for k, v in state.items()}
    if "shared.weight" in out:
        out["encoder.embed_tokens.weight"] = out["shared.weight"]
    return out
