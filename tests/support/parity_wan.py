"""The golden files of removers on Wan, through the project's code."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch

from support.parity_void import below, part
from vremove_cli.networks import lora, minimax, wan
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers.common.placement import runtime_of
from vremove_cli.removers.common.wan import conditioning
from vremove_cli.removers.common.wan.model import predictor
from vremove_cli.removers.common.wan.sigma_schedules import (
    double_shifted_sigmas,
    euler_flow_match,
    sample_with_scheduler,
    uniform_sigmas,
)
from vremove_cli.removers.minimax import conditioning as minimax_conditioning
from vremove_cli.removers.undereraser import conditioning as undereraser_input

Tensors = dict[str, Any]
Outputs = Iterator[tuple[str, Any]]
F32 = torch.float32
HERE = "the golden file"


def released_frames(frames: Any, masks: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Frames and masks (T, H, W, 3) uint8 as UnderEraser's released code loads them: uint8, and bool (T, h, w)."""
    small = np.stack([cv2.resize(f, size) for f in frames])
    levels = (cv2.cvtColor(cv2.resize(m, size), cv2.COLOR_BGR2GRAY) for m in masks)
    return small, np.stack([level >= 240 for level in levels])


def squeezed(frames: Any, size: tuple[int, int]) -> Any:
    """Frames (T, H, W, C) float32 as MiniMax-Remover's released code brings them to its size."""
    tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    out = torch.nn.functional.interpolate(tensor, size=size[::-1], mode="bilinear", align_corners=False)
    return out.permute(0, 2, 3, 1).numpy()


def parts(tensors: Tensors, config: dict[str, Any]) -> dict[str, Any]:
    """The networks of a file, by name."""
    out: dict[str, Any] = {}
    if own := part(tensors, "weights/transformer/"):
        out["transformer"] = wan.load_transformer(config["transformer"], own, HERE, F32)
    if own := part(tensors, "weights/vae/"):
        out["vae"] = wan.load_vae(own, HERE, F32)
    if own := part(tensors, "weights/clip/"):
        out["clip"] = wan.load_clip(own, HERE, F32, config["clip"]["num_heads"])
    if own := part(tensors, "weights/text_encoder/"):
        out["text"] = wan.load_text(own, HERE, F32)
    return out


def said(encoder: Any, ids: list[int]) -> Any:
    return encoder(torch.tensor([ids]))[0][0]


def transformer(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    """ROSE's or UnderEraser's: the latter has a picture context for each latent frame."""
    made = wan.load_transformer(config["transformer"], part(tensors, "weights/"), HERE, F32)
    text = wan.pad_text(tensors["in/text_embeds"])
    pictures = tensors.get("in/clip_features", torch.zeros(1, wan.IMAGE_TOKENS, config["transformer"]["image_dim"]))
    latents = tensors["in/latents"]
    predict = [predictor(made, y[None], text, pictures) for y in tensors["in/y"]]
    for k, time in enumerate(tensors["in/timesteps"]):
        yield f"velocity_{k}", torch.cat([p(row[None], time[None]) for p, row in zip(predict, latents, strict=True)])


def vae(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    made = wan.load_vae(part(tensors, "weights/"), HERE, F32)
    yield "latents_mean", torch.tensor(made.config.latents_mean)
    yield "latents_std", torch.tensor(made.config.latents_std)
    for k in range(len(config["frames"])):
        latents = wan.encode(made, tensors[f"in/video_{k}"].float() / 255 * 2 - 1)
        yield f"latents_{k}", latents
        yield f"decoded_{k}", wan.decode(made, tensors[f"out/latents_{k}"])
    yield "decoded_z", wan.decode(made, tensors["in/z"])


def undereraser_conditioning(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    nets = parts(tensors, config)
    count, size = config["frames"], (config["width"], config["height"])
    frames, mask = released_frames(tensors["in/video_rgb"].numpy(), tensors["in/mask_rgb"].numpy(), size)
    frames, mask = frames[:count], mask[:count]
    yield "video_u8", frames.transpose(3, 0, 1, 2)[None]
    yield "mask", mask[None, None].astype(np.float32)
    shown = frames.astype(np.float32) / 255
    black = undereraser_input.hide_in_black(shown, mask)
    yield "clip_images", black
    video = undereraser_input.hide_in_gray(conditioning.as_video(shown), mask)
    yield "masked_video", video
    y = conditioning.make_conditioning(nets["vae"], video, mask, runtime_of(Arithmetic()))
    yield "mask_latents", y[:, :4]
    yield "masked_video_latents", y[:, 4:]
    yield "clip_pixels_frame1", undereraser_input.clip_pixels(black[1:2])[0, :, ::4, ::4]
    features = undereraser_input.clip_features(nets["clip"], black)
    yield "clip_features_frames", features[[0, 1, 4]]
    yield "clip_context", undereraser_input.group_by_latent(features)
    yield "text_embeds_long", said(nets["text"], tensors["in/text_ids"].tolist())
    yield "text_embeds_empty", said(nets["text"], [1])


def sampling(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    """ROSE's (the whole video, no picture) or UnderEraser's (a hidden object, a picture for each latent frame)."""
    nets = parts(tensors, config)
    frames, mask = tensors["in/video"].numpy().astype(np.float32) / 255, tensors["in/mask"].numpy() > 0
    text = said(nets["text"], [1])
    yield "text_embeds", text
    video = conditioning.as_video(frames)
    if "clip" in nets:
        pictures = undereraser_input.group_by_latent(
            undereraser_input.clip_features(nets["clip"], undereraser_input.hide_in_black(frames, mask))
        )
        yield "clip_context_0_1_20", pictures[[0, 1, 20]]
        video = undereraser_input.hide_in_gray(video, mask)
    else:
        pictures = torch.zeros(1, wan.IMAGE_TOKENS, config["transformer"]["image_dim"])
    y = conditioning.make_conditioning(nets["vae"], video, mask, runtime_of(Arithmetic()))
    yield "y", y
    levels = double_shifted_sigmas(config["steps"], config["scheduler"]["shift"])
    yield "sigmas", levels
    yield "timesteps", levels[:-1] * 1000
    predict = predictor(nets["transformer"], y, wan.pad_text(text), pictures)
    first = predict(tensors["in/noise"], torch.from_numpy(levels[:1] * 1000).float())
    yield "velocity_0", first.expand(tensors["out/velocity_0"].shape)
    yield from stepped(
        tensors, lambda tick: euler_flow_match(predict, tensors["in/noise"], levels, tick),
        lambda end: wan.decode(nets["vae"], end) / 2 + 0.5,
    )  # fmt: skip


def stepped(tensors: Tensors, run: Any, show: Any) -> Outputs:
    steps: list[Any] = []
    end = run(lambda _n, now: steps.append(now))
    for n, now in enumerate(steps):
        if f"out/latents_step_{n}" in tensors:
            yield f"latents_step_{n}", now
    yield "latents_final", end
    yield "video", show(end)


def undereraser_lora(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    base = part(tensors, "weights/")
    distilled = lora.merge_lora(dict(base), part(tensors, "in/lightx2v/"), 1.0, HERE, scaled=False)
    yield from ((f"after_lightx2v/{k}", v) for k, v in distilled.items())
    for kind in ("flat", "blocks"):
        merged = lora.merge_lora(dict(distilled), part(tensors, f"in/lora_{kind}/"), config["multiplier"], HERE)
        yield from ((f"merged_lora_{kind}/{k}", v) for k, v in merged.items())


def minimax_transformer(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    made = minimax.load_transformer(config["transformer"], part(tensors, "weights/"), HERE, F32)
    for k, time in enumerate(tensors["in/timesteps"]):
        yield f"velocity_{k}", minimax.predict(made, tensors["in/hidden_states"], time.expand(config["batch"]))


def minimax_sampling(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler

    from vremove_cli.weights.load import load_strict

    made = minimax.load_transformer(config["transformer"], part(tensors, "weights/transformer/"), HERE, F32)
    coder = AutoencoderKLWan(base_dim=config["vae"]["dim"], dim_mult=config["vae"]["dim_mult"]).eval()
    load_strict(coder, part(tensors, "weights/vae/"), HERE)
    size = (config["width"], config["height"])
    grown = minimax_conditioning.dilate_cross(tensors["in/masks"].numpy()[..., 0] > 0, config["iterations"])
    yield "dilated_mask", grown[None, None].astype(np.float32)
    gone = squeezed(grown[..., None].astype(np.float32), size)[..., 0] > 0
    yield "mask_input", gone[None, None].astype(np.float32) * 2 - 1
    frames = squeezed(tensors["in/images"].numpy().astype(np.float32) / 127.5 - 1, size)
    video, levels = minimax_conditioning.vae_inputs(frames, gone)
    seen, removed = wan.encode(coder, video), wan.encode(coder, levels)
    yield "masked_latents", seen
    yield "mask_latents", removed
    scheduler = UniPCMultistepScheduler.from_config(config["scheduler"])
    scheduler.set_timesteps(sigmas=uniform_sigmas(config["steps"]))
    yield "sigmas", scheduler.sigmas
    yield "timesteps", scheduler.timesteps

    def predict(latents: Any, time: Any) -> Any:
        return minimax.predict(made, torch.cat([latents, seen, removed], 1), time)

    yield "velocity_0", predict(tensors["in/noise"], scheduler.timesteps[:1])
    yield from stepped(
        tensors, lambda tick: sample_with_scheduler(predict, scheduler, tensors["in/noise"], config["steps"], tick),
        lambda end: (wan.decode(coder, end) / 2 + 0.5).permute(0, 2, 3, 4, 1),
    )  # fmt: skip


EXACT = ("video_u8", "mask", "clip_images", "dilated_mask", "mask_input", "mask_latents")


def of_sampling(name: str, _want: Any) -> float:
    # y is summed in the order of a CPU's own kernels: 4e-6 off on one machine, 4.3e-5 on an AMD Zen 5.
    limits = {"y": 1e-4, "text_embeds": 2e-5, "clip_context_0_1_20": 2e-5, "sigmas": 1e-7, "timesteps": 1e-4}
    return 1e-3 if name == "video" else limits.get(name, 2e-4)


def of_minimax(name: str, _want: Any) -> float:
    if name in ("dilated_mask", "mask_input"):
        return 0.0
    return {"video": 5e-4, "sigmas": 1e-6, "timesteps": 0.0}.get(name, 2e-4)


def of_conditioning(name: str, _want: Any) -> float:
    if name in EXACT:
        return 0.0
    if name == "masked_video":
        return 1e-6
    return 1e-5 if name == "masked_video_latents" else 2e-5


def of_the_vae(name: str, _want: Any) -> float:
    return 5e-4 if name.startswith("decoded") else 1e-5


ITEMS: dict[str, Any] = {
    "wan_vae": (vae, of_the_vae),
    "rose_transformer": (transformer, below(1e-4)),
    "rose_sampling": (sampling, of_sampling),
    "undereraser_transformer": (transformer, below(1e-4)),
    "undereraser_conditioning": (undereraser_conditioning, of_conditioning),
    "undereraser_sampling": (sampling, of_sampling),
    "undereraser_lora": (undereraser_lora, below(1e-6)),
    "minimax_transformer": (minimax_transformer, below(1e-5)),
    "minimax_sampling": (minimax_sampling, of_minimax),
}
