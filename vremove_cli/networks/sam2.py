"""SAM 2.1 checkpoints with their original tensor names, converted for transformers' Sam2VideoModel.

Sizes and flags are those of the configuration files of the `sam2` package; names were compared key by key. transformers
has a converter too, as a script outside of the package.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import Sam2VideoConfig

    State = Mapping[str, torch.Tensor]

# Settings of the image encoder, by the width of its first block and the number of its blocks.
_SIZES: dict[tuple[int, int], dict[str, Any]] = {
    (96, 12): {"blocks_per_stage": [1, 2, 7, 2], "global_attention_blocks": [5, 7, 9]},
    (96, 16): {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    (112, 24): {
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "num_attention_heads": 2,
        "window_positional_embedding_background_size": [14, 14],
    },
    (144, 48): {
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "num_attention_heads": 2,
        "window_size_per_stage": [8, 4, 16, 8],
    },
}

_RULES = (
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\.patch_embed\.proj\.", ".patch_embed.projection."),
    (r"^sam_prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^sam_prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^sam_prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (r"^sam_mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^sam_mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^sam_mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"(\.memory_fuser\.layers\.\d+)\.gamma$", r"\1.scale"),
    (r"(\.memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"\.dwconv\.", ".depthwise_conv."),
    (r"\.pwconv(\d)\.", r".pointwise_conv\1."),
    (r"\.out_proj\.", ".o_proj."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"^memory_attention\.norm\.", "memory_attention.layer_norm."),
)
# MLPs, and the number of their last layer. transformers names the first layer proj_in, the last one proj_out, and the
# one between them layers.0.
_MLPS = (
    (r"(\.output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head|object_pointer_proj)\.layers\.", 2),
    (r"(\.blocks\.\d+\.mlp|\.transformer\.layers\.\d+\.mlp)\.layers\.", 1),
)

# Tensors that transformers keeps twice, or joined.
_ORIGINAL_FREQUENCIES = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_FREQUENCIES = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)
_ORIGINAL_POINTS = "sam_prompt_encoder.point_embeddings."
_POINTS = "prompt_encoder.point_embed.weight"


def is_original(state: "State") -> bool:
    """Return whether a checkpoint has the original names."""
    return "maskmem_tpos_enc" in state


def sam2_state(state: "State") -> "dict[str, torch.Tensor]":
    """Return the tensors under transformers' names; unknown names stay, so that strict loading refuses them."""
    import torch

    out: dict[str, torch.Tensor] = {}
    points = []
    for key, value in state.items():
        if key == _ORIGINAL_FREQUENCIES:
            out.update(dict.fromkeys(_FREQUENCIES, value))
        elif key.startswith(_ORIGINAL_POINTS):
            points.append((int(key.split(".")[2]), value))
        else:
            out[_rename(key)] = value
    if points:
        out[_POINTS] = torch.cat([v for _, v in sorted(points, key=lambda p: p[0])])
    return out


def original_state(state: "State", names: Iterable[str]) -> "dict[str, torch.Tensor]":
    """Return tensors under their original names: the way back from `sam2_state`.

    Args:
        state: Tensors under transformers' names.
        names: The original names that are wanted. Those that `state` has nothing for are left out, and what `state` has
            besides stays under its own name: strict loading then tells both.
    """
    left, out = dict(state), {}
    points, shared = left.pop(_POINTS, None), left.pop(_FREQUENCIES[0], None)
    if shared is not None and shared.equal(left.get(_FREQUENCIES[1], shared)):
        left.pop(_FREQUENCIES[1], None)  # the original network has one for both
    for name in names:
        if name == _ORIGINAL_FREQUENCIES:
            value = shared
        elif name.startswith(_ORIGINAL_POINTS):
            value = None if points is None else points[int(name.split(".")[2])][None]
        else:
            value = left.pop(_rename(name), None)
        if value is not None:
            out[name] = value
    return {**left, **out}


def size_of(state: "State") -> tuple[int, int]:
    """Return width and number of blocks of the image encoder of a checkpoint, under either names; 0 if it has none."""
    trunk = r"(?:image_encoder\.trunk|vision_encoder\.backbone)\."
    first = next((v for k, v in state.items() if re.match(trunk + r"patch_embed\.proj(ection)?\.weight$", k)), None)
    blocks = len({m[1] for k in state if (m := re.match(trunk + r"blocks\.(\d+)\.", k))})
    return 0 if first is None else int(first.shape[0]), blocks


def make_config(state: "State") -> "Sam2VideoConfig":
    """Return the configuration of a checkpoint with original names, from its width and depth.

    Raises:
        ModelError: SAM 2.1 has no such size.
    """
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

    width, blocks = size_of(state)
    if (width, blocks) not in _SIZES:
        raise unknown_size(state)
    widths = [width << k for k in range(4)]
    size = _SIZES[width, blocks]
    heads = [size.get("num_attention_heads", 1) << k for k in range(4)]
    backbone = Sam2HieraDetConfig(
        hidden_size=width, embed_dim_per_stage=widths, num_attention_heads_per_stage=heads, **size
    )
    return Sam2VideoConfig(vision_config=Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths[::-1]))


def unknown_size(state: "State") -> ModelError:
    """Return the error for a checkpoint of a size that SAM 2.1 does not have."""
    width, blocks = size_of(state)
    return ModelError(
        f"the checkpoint is no SAM 2.1 of a known size (width {width}, {blocks} blocks)",
        "give one made from sam2.1_hiera_tiny, small, base_plus or large",
    )


def _rename(key: str) -> str:
    for pattern, new in _RULES:
        key = re.sub(pattern, new, key)
    for pattern, last in _MLPS:
        if found := re.search(pattern + r"(\d+)\.", key):
            k = int(found[2])
            name = "proj_in" if k == 0 else "proj_out" if k == last else f"layers.{k - 1}"
            return re.sub(pattern + r"\d+\.", rf"{found[1]}.{name}.".replace("\\", r"\\"), key)
    return _downsampler(key)


def _downsampler(key: str) -> str:
    """The mask downsampler: convolution, norm and activation are three modules originally, and one layer here."""
    found = re.match(r"(memory_encoder\.mask_downsampler)\.encoder\.(\d+)\.(.*)", key)
    if not found:
        return key
    k, kind = divmod(int(found[2]), 3)
    if k == 4:
        return f"{found[1]}.final_conv.{found[3]}"
    return f"{found[1]}.layers.{k}.{('conv', 'layer_norm')[kind]}.{found[3]}"
