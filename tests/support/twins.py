"""Tiny models with the file names and layout of the real ones, their weights made by code."""

import copy
import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vremove_cli.weights.catalogue import catalogue
from vremove_cli.weights.store import Checkpoint

GOLDEN = Path(__file__).parents[1] / "golden"


Made = TypeVar("Made", bound=dict[str, Any])


def once(make: Callable[[], Made]) -> Callable[[], Made]:
    """Make files once in a process, and give each caller a dictionary of its own."""
    made = functools.cache(make)
    return functools.wraps(make)(lambda: copy.deepcopy(made()))


def golden(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A golden file: its tensors (torch) and its JSON."""
    from safetensors.torch import load_file

    tensors = load_file(GOLDEN / f"{name}.safetensors")
    return tensors, json.loads((GOLDEN / f"{name}.json").read_text())


def checkpoints(paths: Mapping[str, str | Path]) -> dict[str, Checkpoint]:
    """Checkpoints of the catalogue's models by name, from where their files are."""
    known = catalogue()
    return {name: Checkpoint(known[name], str(path)) for name, path in paths.items()}


def golden_weights(tensors: dict[str, Any]) -> dict[str, Any]:
    """The weights in a golden file, float32, with their original keys."""
    return {k.removeprefix("weights/"): v.float() for k, v in tensors.items() if k.startswith("weights/")}


def sam2_config(model: dict[str, Any]) -> Any:
    """The configuration of transformers for a model of the `sam2` package, from its resolved one."""
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

    trunk, neck, attention = model["image_encoder"]["trunk"], model["image_encoder"]["neck"], model["memory_attention"]
    encoder, side, hidden = model["memory_encoder"], model["image_size"], model["image_encoder"]["neck"]["d_model"]
    widths = [trunk["embed_dim"] << k for k in range(4)]
    backbone = Sam2HieraDetConfig(
        hidden_size=trunk["embed_dim"], num_attention_heads=trunk["num_heads"], image_size=[side, side],
        blocks_per_stage=trunk["stages"], embed_dim_per_stage=widths,
        num_attention_heads_per_stage=[trunk["num_heads"] << k for k in range(4)],
        window_size_per_stage=trunk["window_spec"], global_attention_blocks=trunk["global_att_blocks"],
        window_positional_embedding_background_size=trunk["window_pos_embed_bkg_spatial_size"],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=neck["backbone_channel_list"], fpn_hidden_size=hidden,
        backbone_feature_sizes=[[side // k, side // k] for k in (4, 8, 16)],
    )  # fmt: skip
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": hidden, "image_size": side},
        mask_decoder_config={"hidden_size": hidden},
        image_size=side, memory_attention_hidden_size=hidden, memory_attention_num_layers=attention["num_layers"],
        memory_attention_feed_forward_hidden_size=attention["layer"]["dim_feedforward"],
        memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_encoder_hidden_size=hidden, memory_encoder_output_channels=encoder["out_dim"],
        mask_downsampler_embed_dim=hidden, memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=4 * hidden,
    )  # fmt: skip


def sam2_model(name: str = "sam2_tiny") -> Any:
    """The golden file's model as transformers', loaded by the project's own key map and loader."""
    import torch
    from transformers import Sam2VideoModel

    from vremove_cli.networks.sam2 import sam2_state
    from vremove_cli.weights.load import load_strict

    tensors, facts = golden(name)
    model: Any = Sam2VideoModel(sam2_config(facts["model"]))
    hidden, memory = model.hidden_dim, model.mem_dim
    for layer in model.memory_attention.layers:  # transformers takes memories of 64 channels for granted here
        for part in ("k_proj", "v_proj"):
            setattr(layer.cross_attn_image, part, torch.nn.Linear(memory, hidden))
    load_strict(model, sam2_state(golden_weights(tensors)), name)
    return model.eval()


def golden_frames() -> np.ndarray:
    """The clip (T, 128, 128, 3) uint8 of the SAM 2 golden file."""
    return golden("sam2_tiny")[0]["frames"].numpy()


def red_finder(side: int = 256) -> Any:
    """A tiny Sam2VideoModel whose weights are made by hand so that its masks are what is red in the picture.

    The finest feature map carries redness from the first convolution past idle blocks to the mask decoder, where every
    mask is that map; all other weights are random. Prompts and memory run through all layers and change nothing.
    """
    import torch
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig

    torch.manual_seed(3)
    hidden = 128  # transformers wants it to be a multiple of the 64 channels of a memory, and more
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[side, side], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64],
        global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=hidden,
        backbone_feature_sizes=[[side // k, side // k] for k in (4, 8, 16)],
    )  # fmt: skip
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": hidden, "image_size": side},
        mask_decoder_config={"hidden_size": hidden, "mlp_dim": 64, "iou_head_hidden_dim": 32},
        image_size=side, memory_attention_hidden_size=hidden, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64, memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_encoder_hidden_size=hidden, mask_downsampler_embed_dim=hidden, memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=128, memory_fuser_num_layers=1,
    )  # fmt: skip
    model: Any = Sam2VideoModel(config)
    with torch.no_grad():
        encoder, decoder = model.vision_encoder, model.mask_decoder
        see, idle, across = encoder.backbone.patch_embed.projection, encoder.backbone.blocks[0], encoder.neck.convs[3]
        for zero in (see, idle.attn.proj, idle.mlp.proj_out, across, decoder.conv_s0, decoder.upscale_conv2):
            zero.weight.zero_()
            zero.bias.zero_()
        red = torch.tensor([1.0, -1.0, -1.0])[:, None, None] / 9  # of a 3x3 patch, in units of the normalised picture
        see.weight[0, :, 2:5, 2:5], see.weight[1, :, 2:5, 2:5] = red, -red
        see.bias[0], see.bias[1] = -3.4, 3.4  # what is redder than other pictures of the tests ever are
        for k in (0, 1):
            across.weight[k, k], decoder.conv_s0.weight[k, k] = 1, 12
        for head in decoder.output_hypernetworks_mlps:
            head.proj_out.weight.zero_()
            head.proj_out.bias.zero_()
            head.proj_out.bias[0], head.proj_out.bias[1] = 1, -1
        decoder.pred_obj_score_head.proj_out.weight.zero_()
        decoder.pred_obj_score_head.proj_out.bias.fill_(6)
    return model.eval()


def sam2_repo(side: int = 256) -> dict[str, bytes]:
    """The files of a SAM 2.1 repository on the Hub, with the red finder for its weights."""
    import tempfile

    from transformers.utils import logging

    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        red_finder(side).save_pretrained(folder)
        return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


@once
def dino_repo() -> dict[str, bytes]:
    """The files of a Grounding DINO repository on the Hub: the real layout, a tiny network with random weights."""
    import tempfile

    import torch
    from transformers import (  # type: ignore[attr-defined]
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        SwinConfig,
    )
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import GroundingDinoImageProcessorPil
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(5)
    words = ["[PAD]", *(f"w{k}" for k in range(1, 1100))]
    for at, word in {100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}.items():
        words[at] = word  # where the network looks for them
    for at, word in enumerate(("the", "red", "disc", "ball", "dog"), 1040):
        words[at] = word
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(  # type: ignore[call-arg]
            image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        ),
        d_model=32, encoder_layers=1, encoder_ffn_dim=32, encoder_attention_heads=2, decoder_layers=2,
        decoder_ffn_dim=32, decoder_attention_heads=2, num_queries=12,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.txt").write_text("\n".join(words))
        model.save_pretrained(folder)
        GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
        BertTokenizerFast(vocab={w: k for k, w in enumerate(words)}).save_pretrained(folder)
        return {p.name: p.read_bytes() for p in Path(folder).iterdir()}


def reasoner_repo(answer: str) -> dict[str, bytes]:
    """The files of a tiny vision-language model (of LLaVA's kind) that answers every question in one way.

    Its weights are made by hand: the whole answer is one token, which follows every token but itself, and the end
    follows the answer. Pictures and questions run through all layers and change nothing.
    """
    import tempfile

    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    special = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocab = {s: i for i, s in enumerate([*special, "\n", *map(chr, range(32, 127)), answer])}
    letters = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1,
        chat_template="{% for m in messages %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}\n",
    )  # fmt: skip
    torch.manual_seed(0)
    text: dict[str, Any] = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }
    model = LlavaForConditionalGeneration(LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28,
            patch_size=14,
        ),
        text_config=LlamaConfig(**text, vocab_size=len(vocab), max_position_embeddings=2048, tie_word_embeddings=False),
        image_token_index=vocab["<image>"], vision_feature_layer=-1, image_seq_length=4,
    ))  # fmt: skip
    with torch.no_grad():
        inner = model.model.language_model
        words, head, layer = inner.embed_tokens.weight, model.lm_head.weight, inner.layers[0]
        for zero in (words, head, layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
            zero.zero_()
        words[:, 0], words[vocab[answer]] = 1, torch.eye(48)[1]
        head[vocab[answer], 0], head[vocab["</s>"], 1] = 1, 1
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        return _files_of(Path(folder))


def edgetam_model(side: int = 128) -> Any:
    """A tiny EdgeTamVideoModel with random weights, on SAM 2's kind of image encoder (the real one's needs timm)."""
    import torch
    from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2HieraDetConfig, Sam2VisionConfig

    torch.manual_seed(4)
    backbone = Sam2HieraDetConfig(
        hidden_size=8, image_size=[side, side], blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64],
        global_attention_blocks=[3],
    )  # fmt: skip
    vision = Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=128,
        backbone_feature_sizes=[[side // k, side // k] for k in (4, 8, 16)],
    )  # fmt: skip
    config = EdgeTamVideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128, "image_size": side},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 64, "iou_head_hidden_dim": 32},
        image_size=side, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_mlp_hidden_size=64, memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_attention_rope_k_sizes=[4, 4], perceiver_resampler_num_latents=16, perceiver_resampler_num_latents_2d=16,
        perceiver_resampler_num_layers=1, memory_encoder_hidden_size=128, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=128, memory_fuser_num_layers=1,
    )  # fmt: skip
    model: Any = EdgeTamVideoModel(config)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(3)
        for head in model.mask_decoder.output_hypernetworks_mlps:
            head.proj_out.bias.normal_()
    return model.eval()


def spiece_tokenizer(folder: Path) -> None:
    """A T5 tokenizer as the repositories have it, spiece.model and its settings, trained on a few words."""
    import sentencepiece

    words = folder / "words.txt"
    words.write_text(
        "\n".join(f"the {a} {b} on a table" for a in ("red", "old", "big") for b in ("ball", "dog", "cup"))
    )
    sentencepiece.SentencePieceTrainer.train(
        input=str(words), model_prefix=str(folder / "spiece"), vocab_size=40, hard_vocab_limit=False, pad_id=0,
        eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    words.unlink()
    (folder / "spiece.vocab").unlink()
    settings = {"tokenizer_class": "T5Tokenizer", "extra_ids": 100, "eos_token": "</s>", "pad_token": "<pad>",
                "unk_token": "<unk>", "model_max_length": 226}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@once
def void_repos() -> dict[str, dict[str, bytes]]:
    """The files of VOID's repositories on the Hub, by repository: the real layout, tiny random networks."""
    import tempfile

    import torch
    from diffusers import AutoencoderKLCogVideoX, DDIMScheduler
    from safetensors.torch import save_file
    from transformers import T5Config, T5EncoderModel
    from transformers.utils import logging

    from vremove_cli.removers.void.model import make_transformer

    logging.disable_progress_bar()
    tensors, facts = golden("void_pass1")
    config = facts["config"]
    shape = {**config["transformer"], "sample_height": 8, "sample_width": 12, "text_embed_dim": 12,
             "max_text_seq_length": 226, "in_channels": 33, "add_noise_in_inpaint_model": True,
             "_class_name": "CogVideoXTransformer3DModel"}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        base, void = Path(scratch) / "base", Path(scratch) / "void"
        for name in ("transformer", "vae", "text_encoder", "tokenizer", "scheduler"):
            (base / name).mkdir(parents=True)
        void.mkdir()
        (base / "transformer" / "config.json").write_text(json.dumps(shape))
        vae = AutoencoderKLCogVideoX(**config["vae"])
        vae.load_state_dict({k.removeprefix("weights/vae/"): v for k, v in tensors.items() if "weights/vae/" in k})
        vae.save_pretrained(base / "vae")
        torch.manual_seed(1)
        T5EncoderModel(
            T5Config(
                vocab_size=200, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
            )
        ).save_pretrained(base / "text_encoder")
        spiece_tokenizer(base / "tokenizer")
        settings = {k: v for k, v in config["scheduler"].items() if k != "class"}
        DDIMScheduler(**settings).save_pretrained(base / "scheduler")
        golden_state = {k.removeprefix("weights/transformer/"): v for k, v in tensors.items() if "weights/transf" in k}
        wanted = make_transformer(shape).state_dict()
        for number in (1, 2):
            state = {k: golden_state[k].clone() for k in wanted}
            state["proj_out.bias"] = state["proj_out.bias"] + 0.01 * number
            save_file(state, void / f"void_pass{number}.safetensors")
        return {
            "alibaba-pai/CogVideoX-Fun-V1.5-5b-InP": _files_of(base),
            "netflix/void-model": _files_of(void),
        }


def _files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def tokenizer_files(folder: Path) -> None:
    """The text encoder's tokenizer as Wan's repositories have it: a sentencepiece model and its settings."""
    folder.mkdir(parents=True)
    spiece_tokenizer(folder)


def wan_base(folder: Path, item: str, *, pictures: bool = False) -> None:
    """The files of one of Wan's base repositories: VAE and text encoder of a golden file under their original names,
    and a picture encoder of 16 heads."""
    import torch

    tensors, _ = golden(item)
    own = {k: {n.removeprefix(f"weights/{k}/"): v for n, v in tensors.items() if n.startswith(f"weights/{k}/")}
           for k in ("vae", "text_encoder", "clip")}  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(own["vae"], folder / "Wan2.1_VAE.pth")
    width, chance = own["text_encoder"]["token_embedding.weight"].shape[1], torch.Generator().manual_seed(2)
    table = torch.randn(400, width, generator=chance) * 0.5
    torch.save({**own["text_encoder"], "token_embedding.weight": table}, folder / "models_t5_umt5-xxl-enc-bf16.pth")
    tokenizer_files(folder / "google" / "umt5-xxl")
    if pictures:
        extra = {"textual.unused": torch.zeros(1), "log_scale": torch.zeros(())}
        torch.save({**own["clip"], **extra}, folder / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")


def _dit(folder: Path, item: str) -> dict[str, Any]:
    """A golden transformer as the repositories have it, config and weights; gives its tensors."""
    from safetensors.torch import save_file

    tensors, facts = golden(item)
    state = {k.removeprefix("weights/transformer/"): v for k, v in tensors.items() if k.startswith("weights/transf")}
    folder.mkdir(parents=True, exist_ok=True)
    config = {**facts["config"]["transformer"], "model_type": "i2v", "in_dim": 36, "out_dim": 16, "text_len": 512}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(state, folder / "diffusion_pytorch_model.safetensors")
    return state


@once
def rose_repos() -> dict[str, dict[str, bytes]]:
    """ROSE's repositories on the Hub: the real layout, tiny random networks."""
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        _dit(place / "own", "rose_sampling")
        wan_base(place / "base", "rose_sampling")
        return {"Kunbyte/ROSE": _files_of(place / "own"), "alibaba-pai/Wan2.1-Fun-1.3B-InP": _files_of(place / "base")}


def undereraser_repos(folder: Path) -> dict[str, dict[str, bytes]]:
    """UnderEraser's base repository on the Hub; its two changes, which lie on a drive, are written to a folder."""
    import tempfile

    import torch
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        state = _dit(base, "undereraser_sampling")
        wan_base(base, "undereraser_sampling", pictures=True)
        torch.manual_seed(5)
        linear = [k.removesuffix(".weight") for k, v in state.items() if k.endswith(".weight") and v.ndim == 2]
        fast, own = {}, {}
        for name in linear:
            out, into = state[f"{name}.weight"].shape
            fast[f"diffusion_model.{name}.lora_down.weight"] = torch.randn(2, into) * 0.02
            fast[f"diffusion_model.{name}.lora_up.weight"] = torch.randn(out, 2) * 0.02
            flat = f"lora_unet__{name.replace('.', '_')}"
            own[f"{flat}.lora_down.weight"] = torch.randn(2, into) * 0.02
            own[f"{flat}.lora_up.weight"] = torch.randn(out, 2) * 0.02
            own[f"{flat}.alpha"] = torch.tensor(1.0)
        fast["diffusion_model.blocks.0.norm3.diff"] = torch.randn_like(state["blocks.0.norm3.weight"]) * 0.02
        save_file(fast, folder / "lightx2v.safetensors")
        save_file(own, folder / "checkpoint.safetensors")
        return {"alibaba-pai/Wan2.1-Fun-V1.1-14B-InP": _files_of(base)}


@once
def minimax_repos() -> dict[str, dict[str, bytes]]:
    """MiniMax-Remover's repository on the Hub: the real layout, tiny random networks."""
    import tempfile

    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from safetensors.torch import save_file

    tensors, facts = golden("minimax_sampling")
    config = facts["config"]
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        (place / "transformer").mkdir()
        (place / "transformer" / "config.json").write_text(json.dumps(config["transformer"]))
        state = {
            k.removeprefix("weights/transformer/"): v for k, v in tensors.items() if k.startswith("weights/transf")
        }
        save_file(state, place / "transformer" / "diffusion_pytorch_model.safetensors")
        vae = AutoencoderKLWan(base_dim=config["vae"]["dim"], dim_mult=config["vae"]["dim_mult"])
        vae.load_state_dict({k.removeprefix("weights/vae/"): v for k, v in tensors.items() if "weights/vae/" in k})
        vae.save_pretrained(place / "vae")
        UniPCMultistepScheduler.from_config(config["scheduler"]).save_pretrained(place / "scheduler")
        return {"zibojia/minimax-remover": _files_of(place)}
