"""Compare the project's own code with golden files: `python tests/parity.py FILE.safetensors ...`.

A golden file holds weights, inputs and what a reference implementation made of them; the JSON beside it says what each
tensor is. The weights go through the project's loader, the inputs through its code, and the largest difference of each
output is printed. The exit status is 1 when one is above its limit.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from vremove_cli.masks.quadmask import quantised, seen
from vremove_cli.motion.noise_warp import Canvas, warped
from vremove_cli.networks import cogvideox
from vremove_cli.removers.void import model as void
from vremove_cli.removers.void import second
from vremove_cli.removers.void.frames import padded, padded_length, resized, windows
from vremove_cli.removers.void.sampling import conditioned, sampled
from vremove_cli.weights.load import load_strict, read_state

Tensors = dict[str, Any]
Outputs = Iterator[tuple[str, Any]]


@dataclass(frozen=True)
class Result:
    """An output's largest difference from the golden one, and the most that is allowed."""

    name: str
    difference: float
    limit: float

    @property
    def good(self) -> bool:
        return self.difference <= self.limit


def compare(file: Path) -> list[Result]:
    """All outputs of one golden file."""
    facts = json.loads(file.with_suffix(".json").read_text())
    tensors = read_state(str(file))
    run, limit = ITEMS[facts["item"]]
    out = []
    with torch.inference_mode():
        for name, found in run(tensors, facts["config"]):
            want = torch.as_tensor(tensors[f"out/{name}"]).float()
            have = torch.as_tensor(np.array(found) if isinstance(found, np.ndarray) else found).float()
            if have.shape != want.shape:
                raise SystemExit(f"{file.name}: {name} is {tuple(have.shape)} and not {tuple(want.shape)}")
            difference = _largest(name, (have - want).abs())
            out.append(Result(name, difference, limit(name, want)))
    return out


def _largest(name: str, differences: Any) -> float:
    """The largest difference; of a canvas of warped noise two pixels in a thousand may have gone to a neighbour."""
    if name == "full/state_last":
        return float(np.quantile(differences.amax(0).numpy(), 0.998))
    return float(differences.max())


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
    turns = cogvideox.rotary(made.config, given.shape[1], *given.shape[-2:], "cpu")
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
        shown = padded(resized(video, size), length)
        mask = padded(quantised(resized(gray, size)[..., 0]), length)
        yield f"clip{k}/video_loaded", shown.transpose(3, 0, 1, 2)[None]
        yield f"clip{k}/mask_loaded", (255 - mask.astype(np.float32))[None, None] / 255
        for turn in (1, 2):
            yield f"clip{k}/mask_vae_input_pass{turn}", seen(mask, second_pass=turn == 2)[None, None]


def void_noise_warp(tensors: Tensors, config: dict[str, Any]) -> Outputs:
    def state(canvas: Canvas) -> np.ndarray:
        return np.concatenate([np.zeros((2, *canvas.weight.shape)), canvas.weight[None], canvas.noise])

    def first(kind: str) -> Canvas:
        noise = tensors[f"in/{kind}/initial_noise"].numpy()
        return Canvas(noise, np.ones(noise.shape[1:], np.float32))

    canvas = first("step")
    for k, flow in enumerate(tensors["in/step/flow"].numpy()):
        canvas = warped(canvas, flow, tensors[f"in/step/fresh_{k}"].numpy())
        yield f"step/state_{k}", state(canvas)
    canvas = first("full")
    shrink = config["full"]["downscale_factor"]
    out = [second.gathered(canvas.noise, shrink)]
    for k, flow in enumerate(tensors["in/full/flow"].numpy()):
        canvas = warped(
            canvas, second.enlarged(flow, config["full"]["resize_flow"]), tensors[f"in/full/fresh_{k}"].numpy()
        )
        out.append(second.gathered(canvas.noise, shrink))
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
    mask = torch.from_numpy(seen(tensors["in/quadmask"].numpy(), second_pass=twice))
    yield "mask_vae_input", mask
    text = tensors["in/prompt_embeds"]
    if twice:
        text = torch.cat([tensors["in/negative_prompt_embeds"], text])
    condition = conditioned(coder, video, mask[None, None], tensors["in/cond_noise"], text)
    yield "mask_latents", condition.mask.transpose(1, 2)
    yield "video_latents", condition.video.transpose(1, 2)
    count = cogvideox.latents_of(config["frames"])
    if twice:
        noise = tensors["in/warped_noise"].numpy()
        latents = torch.from_numpy(second.fitted(noise, count, (config["height"] // 8, config["width"] // 8)))[None]
        yield "initial_latents", latents
    else:
        latents = tensors["in/initial_latents"]
    runs = windows(count, cogvideox.latents_of(config["temporal_window_size"]), config.get("overlap_latents", 4))
    steps: list[Any] = []
    latents = sampled(
        made, scheduler, latents, condition, runs, config["steps"], config["guidance_scale"],
        lambda _n, now: steps.append(now),
    )  # fmt: skip
    yield "timesteps", scheduler.timesteps
    yield from ((f"latents_step_{n}", now) for n, now in enumerate(steps))
    yield "latents_final", latents
    decoded = cogvideox.decode(coder, latents.transpose(1, 2) / coder.config.scaling_factor)
    yield "video", (decoded / 2 + 0.5).clamp(0, 1)


def always(limit: float) -> Callable[[str, Any], float]:
    return lambda _name, _want: limit


def of_noise(name: str, _want: Any) -> float:
    return 2e-3 if name == "full/noises" else 1e-5


def of_the_second_pass(name: str, want: Any) -> float:
    if name.startswith("latents"):
        return 1e-4 * float(want.abs().max())
    return 1e-6 if name == "initial_latents" else 1e-4


ITEMS: dict[str, tuple[Callable[[Tensors, dict[str, Any]], Outputs], Callable[[str, Any], float]]] = {
    "void_transformer": (void_transformer, always(1e-5)),
    "void_vae": (void_vae, always(1e-5)),
    "void_masks": (void_masks, always(1e-6)),
    "void_noise_warp": (void_noise_warp, of_noise),
    "void_pass1": (void_pass, always(1e-4)),
    "void_pass2": (void_pass, of_the_second_pass),
}


def main(files: list[str]) -> int:
    bad = 0
    for file in files:
        for result in compare(Path(file)):
            bad += not result.good
            mark = "" if result.good else "  ABOVE ITS LIMIT"
            print(f"{Path(file).stem}  {result.name}: {result.difference:.3g} (at most {result.limit:.3g}){mark}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
