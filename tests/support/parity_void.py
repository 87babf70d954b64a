"""VOID's golden files, through the project's code."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from vremove_cli.motion.noise_warp import Canvas, warp_noise
from vremove_cli.networks import cogvideox
from vremove_cli.removers.common.initial_latents import latents_of
from vremove_cli.removers.common.resize import pad_mirrored
from vremove_cli.removers.void import model as void
from vremove_cli.removers.void import warped_noise
from vremove_cli.removers.void.latent_windows import latent_windows, padded_length
from vremove_cli.removers.void.multidiffusion import make_conditioning, sample
from vremove_cli.removers.void.quadmask import quantise, vae_input
from vremove_cli.weights.load import load_strict

Tensors = dict[str, Any]
Outputs = Iterator[tuple[str, Any]]


def resized(frames: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Frames (T, H, W, C) float32 at a (height, width), each pixel the mean of what it covers (adaptive averaging)."""
    tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float()
    return torch.nn.functional.interpolate(tensor, size=size, mode="area").permute(0, 2, 3, 1).numpy()


def part(tensors: Tensors, prefix: str) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def transformer(config: dict[str, Any], state: Tensors) -> Any:
    made = void.make_transformer(config)
    load_strict(made, state, "the golden file")
    return made.eval()


def vae(config: dict[str, Any], state: Tensors) -> Any:
    from diffusers import AutoencoderKLCogVideoX

    made = AutoencoderKLCogVideoX(**config)
    load_strict(made, state, "the golden file")
    return made.eval()


def void_transformer(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    made = transformer(config["transformer"], part(tensors, "weights/"))
    given = torch.cat([tensors[f"in/{n}"] for n in ("noise", "mask_latents", "video_latents")], 2)
    turns = cogvideox.rotary(made.config, given.shape[1], given.shape[-2], given.shape[-1], "cpu")
    yield from zip(("rope_cos", "rope_sin"), turns, strict=True)
    for k, time in enumerate(tensors["in/timesteps"]):
        text = tensors["in/text_embeds"]
        yield (
            f"pred_{k}",
            made(
                hidden_states=given, encoder_hidden_states=text, timestep=time.expand(len(given)),
                image_rotary_emb=turns, return_dict=False,
            )[0],
        )  # fmt: skip


def void_vae(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    made = vae(config["vae"], part(tensors, "weights/"))
    for k in range(len(config["frames"])):
        video = tensors[f"in/video_{k}"].float() / 255 * 2 - 1
        posterior = made.encode(video).latent_dist
        yield f"mode_{k}", cogvideox.encode(made, video) / made.config.scaling_factor
        yield f"logvar_{k}", posterior.logvar
        yield f"decoded_{k}", cogvideox.decode(made, tensors[f"out/mode_{k}"])
    for k in range(len(config["extra_latent_frames"])):
        yield f"decoded_z_{k}", cogvideox.decode(made, tensors[f"in/z_{k}"])


def void_masks(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    for k, clip in enumerate(config["clips"]):
        most, window, size = clip["max_video_length"], clip["temporal_window_size"], tuple(clip["sample_size"])
        frames = min(clip["frames"], most)
        length = max(window, min(padded_length(frames, window), most))
        video = tensors[f"in/clip{k}/video"][:most].numpy().astype(np.float32) / 255
        gray = tensors[f"in/clip{k}/quadmask_rgb"][:most, ..., :1].numpy().astype(np.float32)
        shown = pad_mirrored(resized(video, size), length)
        mask = pad_mirrored(quantise(resized(gray, size)[..., 0]), length)
        yield f"clip{k}/video_loaded", shown.transpose(3, 0, 1, 2)[None]
        yield f"clip{k}/mask_loaded", (255 - mask.astype(np.float32))[None, None] / 255
        for turn in (1, 2):
            yield f"clip{k}/mask_vae_input_pass{turn}", vae_input(mask, second_pass=turn == 2)[None, None]


def void_noise_warp(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    def state(canvas: Canvas) -> np.ndarray:
        parts = (canvas.weight[None], canvas.noise)
        return np.concatenate([np.zeros((2, *canvas.weight.shape)), *(part.numpy() for part in parts)])

    def first(kind: str) -> Canvas:
        noise = tensors[f"in/{kind}/initial_noise"]
        return Canvas(noise, torch.ones(noise.shape[1:]))

    canvas = first("step")
    for k, flow in enumerate(tensors["in/step/flow"]):
        canvas = warp_noise(canvas, flow, tensors[f"in/step/fresh_{k}"])
        yield f"step/state_{k}", state(canvas)
    canvas = first("full")
    shrink = config["full"]["downscale_factor"]
    out = [warped_noise.downsample_noise(canvas.noise, shrink)]
    for k, flow in enumerate(tensors["in/full/flow"].numpy()):
        large = torch.from_numpy(warped_noise.upsample_flow(flow, config["full"]["resize_flow"]))
        canvas = warp_noise(canvas, large, tensors[f"in/full/fresh_{k}"])
        out.append(warped_noise.downsample_noise(canvas.noise, shrink))
    yield "full/noises", np.stack(out).transpose(0, 2, 3, 1).astype(np.float16).astype(np.float32)
    yield "full/state_last", state(canvas)


def void_pass(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    """Either pass: the second begins with warped noise and is guided."""
    import diffusers

    twice = "in/warped_noise" in tensors
    made = transformer(config["transformer"], part(tensors, "weights/transformer/"))
    coder = vae(config["vae"], part(tensors, "weights/vae/"))
    settings = dict(config["scheduler"])
    scheduler = getattr(diffusers, settings.pop("class"))(**settings)
    video = tensors["in/video"].permute(3, 0, 1, 2)[None].float() / 255 * 2 - 1
    mask = torch.from_numpy(vae_input(tensors["in/quadmask"].numpy(), second_pass=twice))
    yield "mask_vae_input", mask
    text = tensors["in/prompt_embeds"]
    if twice:
        text = torch.cat([tensors["in/negative_prompt_embeds"], text])
    condition = make_conditioning(coder, video, mask[None, None], tensors["in/cond_noise"], text)
    yield "mask_latents", condition.mask.transpose(1, 2)
    yield "video_latents", condition.video.transpose(1, 2)
    count = latents_of(config["frames"])
    if twice:
        noise = tensors["in/warped_noise"].numpy()
        latents = torch.from_numpy(
            warped_noise.fit_reference_noise(noise, count, (config["height"] // 8, config["width"] // 8))
        )[None]
        yield "initial_latents", latents
    else:
        latents = tensors["in/initial_latents"]
    runs = latent_windows(count, latents_of(config["temporal_window_size"]), config.get("overlap_latents", 4))
    steps: list[Any] = []
    latents = sample(
        made, scheduler, latents, condition, runs, config["steps"], config["guidance_scale"],
        lambda _n, now: steps.append(now),
    )  # fmt: skip
    yield "timesteps", scheduler.timesteps
    yield from ((f"latents_step_{n}", now) for n, now in enumerate(steps))
    yield "latents_final", latents
    decoded = cogvideox.decode(coder, latents.transpose(1, 2) / coder.config.scaling_factor)
    yield "video", (decoded / 2 + 0.5).clamp(0, 1)


def of_noise(name: str, _want: Any) -> float:
    return 2e-3 if name == "full/noises" else 1e-5


def of_the_second_pass(name: str, want: Any) -> float:
    if name.startswith("latents"):
        return 1e-4 * float(want.abs().max())
    return 1e-6 if name == "initial_latents" else 1e-4


def below(limit: float) -> Any:
    return lambda _name, _want: limit


ITEMS: dict[str, Any] = {
    "void_transformer": (void_transformer, below(1e-5)),
    "void_vae": (void_vae, below(1e-5)),
    "void_masks": (void_masks, below(1e-6)),
    "void_noise_warp": (void_noise_warp, of_noise),
    "void_pass1": (void_pass, below(1e-4)),
    "void_pass2": (void_pass, of_the_second_pass),
}
