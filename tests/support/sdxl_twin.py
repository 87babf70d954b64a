"""Tiny networks with the layout of RORem's repository and of the files on its drive, their weights made by code."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from support.twins import once

REPO, BASE_REPO = "LetsThink/RORem", "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
UNET: dict[str, Any] = {
    "sample_size": 64, "in_channels": 9, "out_channels": 4, "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "layers_per_block": 1, "norm_num_groups": 8,
    "cross_attention_dim": 24, "transformer_layers_per_block": [1, 2], "attention_head_dim": [2, 4],
    "use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 8 * 6 + 16,
}  # fmt: skip
# Of the success network, which ends at 16x16 for a latent of 64x64.
BASE_UNET: dict[str, Any] = {
    **UNET, "block_out_channels": [32, 32, 64], "transformer_layers_per_block": [1, 1, 1],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "attention_head_dim": [2, 2, 4],
}  # fmt: skip
VAE: dict[str, Any] = {
    "block_out_channels": [16, 16, 16, 16], "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4, "latent_channels": 4, "norm_num_groups": 4, "sample_size": 512,
    "scaling_factor": 0.13025, "force_upcast": True, "layers_per_block": 1,
}  # fmt: skip
SCHEDULER = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000,
    "prediction_type": "epsilon", "steps_offset": 1, "timestep_spacing": "leading", "interpolation_type": "linear",
}  # fmt: skip
WORDS = ("an", "empty", "table", "blurry")
LORA_TARGETS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
    "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj",
)  # fmt: skip


def tokenizer(folder: Path) -> None:
    """Write the files of a CLIP tokenizer that knows some words."""
    letters = sorted({letter for word in WORDS for letter in word})
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[str] = []
    for word in WORDS:
        whole, *rest = [*word[:-1], f"{word[-1]}</w>"]
        for part in rest:
            merges.append(f"{whole} {part}")
            whole += part
            tokens.append(whole)
    folder.mkdir(parents=True)
    vocabulary = {token: n for n, token in enumerate(dict.fromkeys(tokens))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]))
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    about = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


def write_pipeline(folder: Path, config: dict[str, Any] = UNET, seed: int = 11) -> None:
    """Write a whole pipeline of tiny networks, as diffusers lays it out in 16 bits."""
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(seed)
    UNet2DConditionModel(**config).half().save_pretrained(folder / "unet", variant="fp16")
    AutoencoderKL(**VAE).half().save_pretrained(folder / "vae", variant="fp16")
    EulerDiscreteScheduler(**SCHEDULER).save_pretrained(folder / "scheduler")
    tokenizer(folder / "tokenizer")
    tokenizer(folder / "tokenizer_2")
    vocabulary = len(json.loads((folder / "tokenizer" / "vocab.json").read_text()))
    for name, kind, width in (("text_encoder", CLIPTextModel, 8), ("text_encoder_2", CLIPTextModelWithProjection, 16)):
        text = CLIPTextConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=16, num_hidden_layers=2,
            num_attention_heads=2, projection_dim=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )  # fmt: skip
        kind(text).half().save_pretrained(folder / name, variant="fp16")


def lora(unet: torch.nn.Module, rank: int, targets: tuple[str, ...], seed: int) -> dict[str, torch.Tensor]:
    """Pairs for the layers of a UNet with these names, as `save_lora_weights` names them."""
    made = torch.Generator().manual_seed(seed)
    out = {}
    for name, layer in unet.named_modules():
        if name.endswith(targets) and isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            rows, columns, *kernel = layer.weight.shape
            down = torch.randn((rank, columns, *kernel), generator=made) * 0.02
            out[f"unet.{name}.lora_A.weight"] = down
            out[f"unet.{name}.lora_B.weight"] = torch.randn((rows, rank, *(1 for _ in kernel)), generator=made) * 0.02
    return out


@once
def rorem_repos() -> dict[str, dict[str, bytes]]:
    """The files of RORem's repository on the Hub, and of SDXL-inpainting's, by repository."""
    out = {}
    for repo, config, seed in ((REPO, UNET, 11), (BASE_REPO, BASE_UNET, 12)):
        with tempfile.TemporaryDirectory() as folder:
            write_pipeline(Path(folder), config, seed)
            files = [p for p in Path(folder).rglob("*") if p.is_file()]
            out[repo] = {str(p.relative_to(folder)): p.read_bytes() for p in files}
    return out


def write_drive_files(folder: Path) -> dict[str, Path]:
    """Write what RORem's drive holds, by the catalogue's name: the mixed UNet, the LoRA, the score's two files."""
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    from vremove_cli.networks import rorem_discriminator

    torch.manual_seed(13)
    unet = UNet2DConditionModel(**UNET)
    unet.save_pretrained(folder / "mixed")
    (folder / "score").mkdir()
    save_file(lora(unet, 4, LORA_TARGETS, 14), folder / "pytorch_lora_weights.safetensors")
    body = UNet2DConditionModel(**BASE_UNET)
    half = {k: v for k, v in lora(body, 4, rorem_discriminator.ATTENTION, 15).items() if ".up_blocks." not in k}
    save_file(half, folder / "score" / "pytorch_lora_weights.safetensors")
    head = rorem_discriminator.make_head(BASE_UNET["block_out_channels"][-1]).to_empty(device="cpu")
    for layer in head:
        if isinstance(layer, (torch.nn.Conv2d, torch.nn.GroupNorm)):
            layer.reset_parameters()
    content = io.BytesIO()
    torch.save({f"cls_pred_branch.{k}": v for k, v in head.state_dict().items()}, content)
    (folder / "score" / "cls_pred_branch.pt").write_bytes(content.getvalue())
    return {
        "rorem-mixed": folder / "mixed",
        "rorem-lora": folder / "pytorch_lora_weights.safetensors",
        "rorem-score": folder / "score",
    }
