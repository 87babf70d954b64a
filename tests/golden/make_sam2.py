"""Make the SAM 2.1 golden file: a tiny random SAM 2.1 video predictor and what the original `sam2` computes with it.

Environment (the CUDA extension is not needed, and nothing here imports torchvision's operators)::

    python -m venv venv && . venv/bin/activate
    pip install torch==2.13.0 torchvision==0.28.0 safetensors
    echo torch==2.13.0 > c.txt
    PIP_CONSTRAINT=$PWD/c.txt SAM2_BUILD_CUDA=0 pip install sam2==1.1.0

Run::

    python make_sam2.py OUTDIR

This writes OUTDIR/sam2_tiny.safetensors (weights, frames, results) and OUTDIR/sam2_tiny.json (model configuration,
prompts, meaning of the tensors), and prints statistics. It runs on the CPU in one thread, and two runs on one machine
give the same bytes. All weights are random numbers drawn here; no trained weights are involved.
"""

import json
import math
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import sam2.sam2_video_predictor as predictor_module
import torch
from hydra import compose
from omegaconf import OmegaConf
from safetensors.numpy import save_file
from sam2.build_sam import build_sam2_video_predictor

BASE_CONFIG = "configs/sam2.1/sam2.1_hiera_t.yaml"
SEED = 374
SIZE = 128
NUM_FRAMES = 20
TOLERANCE = 0.001
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

HIDDEN, MEMORY = 32, 8
OVERRIDES = [
    f"model.image_size={SIZE}",
    "model.image_encoder.trunk.embed_dim=8",
    "model.image_encoder.trunk.stages=[1,1,2,1]",
    "model.image_encoder.trunk.global_att_blocks=[3]",
    "++model.image_encoder.trunk.window_spec=[8,4,6,3]",
    "model.image_encoder.neck.backbone_channel_list=[64,32,16,8]",
    f"model.image_encoder.neck.d_model={HIDDEN}",
    f"model.image_encoder.neck.position_encoding.num_pos_feats={HIDDEN}",
    f"model.memory_attention.d_model={HIDDEN}",
    "model.memory_attention.num_layers=2",
    f"model.memory_attention.layer.d_model={HIDDEN}",
    "model.memory_attention.layer.dim_feedforward=64",
    f"model.memory_attention.layer.self_attention.embedding_dim={HIDDEN}",
    "model.memory_attention.layer.self_attention.feat_sizes=[8,8]",
    f"model.memory_attention.layer.cross_attention.embedding_dim={HIDDEN}",
    f"model.memory_attention.layer.cross_attention.kv_in_dim={MEMORY}",
    "model.memory_attention.layer.cross_attention.feat_sizes=[8,8]",
    f"++model.memory_encoder.in_dim={HIDDEN}",
    f"model.memory_encoder.out_dim={MEMORY}",
    f"model.memory_encoder.position_encoding.num_pos_feats={MEMORY}",
    f"++model.memory_encoder.mask_downsampler.embed_dim={HIDDEN}",
    f"model.memory_encoder.fuser.layer.dim={HIDDEN}",
    "++model.add_all_frames_to_correct_as_cond=true",
    # What apply_postprocessing=True would append, but for fill_hole_area (8 there), which needs the CUDA extension.
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_via_stability=true",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_delta=0.05",
    "++model.sam_mask_decoder_extra_args.dynamic_multimask_stability_thresh=0.98",
    "++model.binarize_mask_from_pts_for_mem_enc=true",
    "++model.fill_hole_area=0",
]

# The rule for the weights: see `draw`.
EMBEDDING = re.compile(r"(_embed|_tokens?|point_embeddings\.\d+)\.weight$")
GAINS = {  # the first match counts
    r"cross_attn_image\.[qk]_proj\.weight$": 1.0,
    r"[qk]_proj\.weight$": 1.5,
    r"attn\.qkv\.weight$": 1.5,
    r"output_hypernetworks_mlps\.\d\.layers\.2\.weight$": 4.0,
    r"pred_obj_score_head\.layers\.\d\.weight$": 2.0,
    r"iou_prediction_head\.layers\.2\.weight$": 3.0,
    r"no_obj_embed_spatial$": 1.5,
}
SCORE_BIAS = "sam_mask_decoder.pred_obj_score_head.layers.2.bias"
SCORE_BIAS_VALUE = -2.5  # chosen so that the object is absent on few frames

# Prompts: (frame, object, points as [x, y] in pixels of the frame, labels, box as [x0, y0, x1, y1] or None).
Prompt = tuple[int, int, list[list[float]], list[int], list[float] | None]
PROMPTS: dict[str, list[Prompt]] = {
    "forward": [(0, 1, [[30.0, 40.0]], [1], None)],
    "box": [(0, 1, [[50.0, 56.0]], [0], [14.0, 24.0, 46.0, 56.0])],
    "middle": [(12, 1, [[78.0, 52.0], [68.0, 60.0]], [1, 1], None)],
    "two": [(0, 1, [[34.0, 36.0]], [1], None), (0, 2, [[96.0, 92.0]], [1], None)],
    "corrected": [(0, 1, [[98.0, 88.0]], [1], None), (8, 1, [[72.0, 84.0], [62.0, 48.0]], [1, 0], None)],
    "short": [(0, 1, [[94.0, 96.0]], [1], None)],
}


def make_clip() -> np.ndarray:
    """A disc moving right and down and a square moving left over a texture, as uint8 RGB; integer arithmetic only."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    ramp = np.stack([40 + x // 2, 60 + y // 3, 110 - (x + y) // 4], axis=-1)
    texture = ((x * 5 + y * 3) % 23 + (x * y // 16) % 17)[..., None] * np.array([1, 2, 1])
    frames = []
    for t in range(NUM_FRAMES):
        frame = ramp + texture
        disc = (x - 30 - 4 * t) ** 2 + (y - 40 - t) ** 2 <= 14**2
        square = (abs(x - 96 + 3 * t) <= 11) & (abs(y - 92 + t) <= 11)
        frame[square] = np.array([40, 90, 200]) + texture[square] // 2
        frame[disc] = np.array([235, 205, 60]) - texture[disc] // 2
        frames.append(np.clip(frame, 0, 255))
    return np.stack(frames).astype(np.uint8)


def normalise(frames: np.ndarray) -> torch.Tensor:
    """uint8 (T, H, W, 3) to the float32 (T, 3, H, W) that the model takes."""
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def draw(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random values for one tensor of the state dictionary, exact in float16."""
    noise = rng.standard_normal(shape)
    if name.endswith(".bias"):
        values = 0.1 * noise
    elif EMBEDDING.search(name) or not name.endswith((".weight", ".gamma")):
        values = 0.7 * noise
    elif len(shape) == 1:
        values = 1 + 0.1 * noise
    else:
        values = noise / math.sqrt(math.prod(shape[1:]))
    values = values * next((gain for pattern, gain in GAINS.items() if re.search(pattern, name)), 1.0)
    if name == SCORE_BIAS:
        values = np.full(shape, SCORE_BIAS_VALUE)
    return values.astype(np.float16)


def make_model() -> tuple[Any, dict[str, np.ndarray]]:
    """The predictor and its weights as float16 arrays."""
    model = build_sam2_video_predictor(
        BASE_CONFIG, None, device="cpu", hydra_overrides_extra=OVERRIDES, apply_postprocessing=False
    )
    rng = np.random.default_rng(SEED)
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    weights = {name: draw(name, shapes[name], rng) for name in sorted(shapes)}
    model.load_state_dict({name: torch.from_numpy(value).float() for name, value in weights.items()})
    return model, weights


def model_config() -> dict[str, Any]:
    """The resolved configuration that `make_model` builds from, as plain values."""
    target = "++model._target_=sam2.sam2_video_predictor.SAM2VideoPredictor"
    config = compose(config_name=BASE_CONFIG, overrides=[target, *OVERRIDES])
    return OmegaConf.to_container(config.model, resolve=True)


def start(model: Any, images: torch.Tensor) -> dict[str, Any]:
    """A fresh inference state on these frames; the package's reader of video files is replaced."""
    predictor_module.load_video_frames = lambda **_: (images, SIZE, SIZE)
    return model.init_state("unused")


def prompt(model: Any, state: dict[str, Any], one: Prompt) -> None:
    frame, obj, points, labels, box = one
    model.add_new_points_or_box(state, frame, obj, points=points, labels=labels, box=box)


def track(model: Any, state: dict[str, Any], **options: Any) -> None:
    for _ in model.propagate_in_video(state, **options):
        pass


def collect(state: dict[str, Any], frames: range, index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mask logits (T, 32, 32) and object score logits (T,) of one object, in the order of `frames`."""
    kept = state["output_dict_per_obj"][index]
    outputs = {**kept["non_cond_frame_outputs"], **kept["cond_frame_outputs"]}
    masks = torch.stack([outputs[t]["pred_masks"][0, 0] for t in frames])
    scores = torch.stack([outputs[t]["object_score_logits"][0, 0] for t in frames])
    return masks.float().numpy(), scores.float().numpy()


def run_plain(model: Any, images: torch.Tensor, name: str, frames: range, **options: Any) -> dict[str, np.ndarray]:
    """Give every prompt of a scenario, propagate once, and collect; objects are stacked if there are several."""
    state = start(model, images)
    for one in PROMPTS[name]:
        prompt(model, state, one)
    track(model, state, **options)
    found = [collect(state, frames, index) for index in range(len(state["obj_ids"]))]
    masks, scores = (np.stack(parts) if len(parts) > 1 else parts[0] for parts in zip(*found, strict=True))
    return {"masks": masks, "scores": scores}


def run_corrected(model: Any, images: torch.Tensor) -> dict[str, np.ndarray]:
    """Track frames 0 to 8, correct frame 8, and track on from there."""
    first, correction = PROMPTS["corrected"]
    state = start(model, images)
    prompt(model, state, first)
    track(model, state, start_frame_idx=0, max_frame_num_to_track=8)
    before_masks, before_scores = collect(state, range(9))
    prompt(model, state, correction)
    track(model, state, start_frame_idx=8)
    masks, scores = collect(state, range(NUM_FRAMES))
    if not np.array_equal(masks[:8], before_masks[:8]):
        raise RuntimeError("the correction changed an earlier frame")
    before = {"before_masks": before_masks[8:], "before_scores": before_scores[8:]}
    return {"masks": masks, "scores": scores, **before}


def run_all(model: Any, images: torch.Tensor) -> dict[str, np.ndarray]:
    """The results of every scenario, by tensor name."""
    every, back, ahead = range(NUM_FRAMES), range(13), range(12, NUM_FRAMES)
    results = {
        "forward": run_plain(model, images, "forward", every),
        "box": run_plain(model, images, "box", every),
        "middle_reverse": run_plain(model, images, "middle", back, start_frame_idx=12, reverse=True),
        "middle_forward": run_plain(model, images, "middle", ahead, start_frame_idx=12),
        "two": run_plain(model, images, "two", every),
        "corrected": run_corrected(model, images),
        "short": run_plain(model, images[:6], "short", range(6)),
    }
    return {f"{name}/{key}": value for name, parts in results.items() for key, value in parts.items()}


FRAMES_OF = {
    "forward": "frames 0..19",
    "box": "frames 0..19",
    "middle_reverse": "frames 0..12 in this order, tracked from 12 down to 0 in a fresh state",
    "middle_forward": "frames 12..19, tracked from 12 on in another fresh state with the same prompt",
    "two": "objects 1 and 2 (first axis), then frames 0..19",
    "corrected": "frames 0..7 of the first pass, 8 after the correction, 9..19 tracked after it",
    "short": "frames 0..5 of a clip that has only these 6 frames",
}
NOTES = [
    "All weights are random; the masks mean nothing. Computed in float32 from weights that are exact in float16.",
    "masks are the model's own low-resolution logits (pred_masks, 1/4 of the frame); -1024 everywhere in a frame is "
    "the model's placeholder for an absent object, and goes with a score <= 0.",
    "sam2 rounds the spatial features of every memory to bfloat16 when it stores them (also on the CPU), and that "
    "shows in the results; pointers stay float32. A value that rounds the other way "
    "moves later logits: relative noise of 1e-6 on the input mostly moves them by less than 3e-4, seldom by 7e-4. "
    "Seed, gains and prompts were picked for that; without the rounding the results differ by up to about 9e-3.",
    "fill_hole_area is 0: the step needs the CUDA extension. All else is the default post-processing.",
    "add_all_frames_to_correct_as_cond is true, unlike the default: corrected frame 8 becomes a conditioning frame.",
    "window_spec is [8,4,6,3] so that a windowed block has to pad (8x8 by 6), as the real sizes do; block 3 is global.",
    "Fixed in the package: 2048 (MLP of the mask decoder), 256 (IoU head), 8 heads, 16 mask_in_chans.",
    "corrected: first pass with max_frame_num_to_track=8 (it tracks 0..8), then the points on frame 8 together with "
    "its previous logits, clamped to +-32, then start_frame_idx=8. before_masks, before_scores: frame 8 before that.",
    "Weights that these scenarios do not use: mask_downsample.*, no_mem_pos_enc.",
    "No scenario has a conditioning frame ahead of a tracked one, so use_signed_tpos_enc_to_obj_ptrs and "
    "only_obj_ptrs_in_the_past_for_eval change nothing here.",
]


def explain(tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """What each tensor is; the weights are explained together."""
    explained: dict[str, Any] = {
        "weights/ORIGINAL.KEY.NAME": "float16; the state dictionary of the original model, to be used as float32",
        "frames": f"uint8 {list(tensors['frames'].shape)}: RGB; the model takes (x / 255 - mean) / std in float32",
    }
    for name, value in tensors.items():
        if value.dtype == np.float32:
            scenario, kind = name.split("/")
            what = "mask logits" if kind.endswith("masks") else "object score logits"
            when = "frame 8 before the correction" if kind.startswith("before") else FRAMES_OF[scenario]
            explained[name] = f"float32 {list(value.shape)}: {what}; {when}"
    return explained


def describe(tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    keys = ("frame", "object", "points", "labels", "box")
    return {
        "reference": {"sam2": version("sam2"), "torch": version("torch"), "device": "cpu"},
        "seed": SEED,
        "tolerance": TOLERANCE,
        "normalisation": {"mean": MEAN, "std": STD},
        "overrides": OVERRIDES,
        "model": model_config(),
        "prompts": {name: [dict(zip(keys, one, strict=True)) for one in ones] for name, ones in PROMPTS.items()},
        "tensors": explain(tensors),
        "notes": NOTES,
    }


def rounded(values: np.ndarray) -> str:
    return np.array2string(values, precision=2, suppress_small=True, max_line_width=1000, separator=", ")


def report(results: dict[str, np.ndarray]) -> None:
    for name, masks in results.items():
        if not name.endswith("/masks"):
            continue
        scores = results[name.replace("/masks", "/scores")]
        present = masks[masks > -1000]  # without the frames where the object is absent
        stats = f"min {present.min():.3f} max {present.max():.3f} mean {present.mean():.3f}"
        print(f"{name} {masks.shape}: {stats} mean magnitude {np.abs(present).mean():.3f}")
        print("  positive share:", rounded((masks > 0).mean(axis=(-2, -1))))
        print("  scores:", rounded(scores))


def main(out: Path) -> None:
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    frames = make_clip()
    model, weights = make_model()
    results = run_all(model, normalise(frames))
    tensors = {"frames": frames, **{f"weights/{name}": value for name, value in weights.items()}, **results}
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, out / "sam2_tiny.safetensors")
    (out / "sam2_tiny.json").write_text(json.dumps(describe(tensors), indent=1) + "\n")
    report(results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
