"""VOID: erases an object with its effects on other objects, in one or two passes.

Netflix, "VOID: Video Object and Interaction Deletion", 2026, by the released code. Three of its faults are corrected:
it ignores its seeds, keeps the mirrored padding, and cannot run a second pass on long clips.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.networks import devices
from vremove_cli.networks.cogvideox import decode
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common import placement, vae_tiling
from vremove_cli.removers.common.difference_mask import difference_mask
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT, derive_seed, initial_latents, latents_of
from vremove_cli.removers.common.resize import pad_mirrored, work_size
from vremove_cli.removers.common.temporal_windows import crossfade, is_join, overlapping_stages
from vremove_cli.removers.common.vram_estimate import Network
from vremove_cli.removers.void import model, warped_noise
from vremove_cli.removers.void.latent_windows import WINDOW, latent_windows, padded_length
from vremove_cli.removers.void.multidiffusion import Conditioning, make_conditioning, sample
from vremove_cli.removers.void.quadmask import draw_quadmask, vae_input

AREA = 384 * 672  # pixels of a frame in training
STEPS = {"draft": (15, 25), "standard": (30, 50), "best": (50, 50)}  # steps of the first and of the second pass
GUIDANCE = 6.0  # scale in the second pass
LONGEST, SHARED = 397, 16  # frames of a part of a shot, and those that two parts share
BASE, PASSES = "cogvideox-fun-5b", ("void-pass1", "void-pass2")


class VoidRemover:
    """See `removers.base.Remover`. The network sees whole frames of whole shots, with the object in them."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(
        "void",
        "Apache-2.0",
        "frame",
        multiple=1,
        input="source",
        models=(BASE, PASSES[0]),
        optional_models={"second_pass": PASSES[1:]},
        accepts=("prompt", "second_pass", "quality", "steps", "size", "guidance"),
        physics=True,
        network=Network(5_571_462_784, 42, 3072, 12288, WINDOW, 2, 431_000_000),
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.guidance is not None and settings.second_pass == "off":
            raise UsageError("--guidance is for the second pass of void", "add --second-pass on, or leave it out")

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Return a stage for each shot, or for each part of a very long one; parts fade into each other."""
        return overlapping_stages("void", shot.shots, LONGEST, SHARED)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of `--size`, or the frame's shape at the area of the training.

        Raises:
            UsageError: `--size` is beyond the network's rotary grid, which ends at its sample size.
        """
        asked, most = self._settings.size, None
        base = self._settings.checkpoints.get(BASE)
        if base is not None and base.path:
            config = model.transformer_config(base)  # whose rotary grid ends at its sample size
            most = (8 * config.get("sample_width", 90), 8 * config.get("sample_height", 60))
        if asked is not None and most is not None and (asked[0] > most[0] or asked[1] > most[1]):
            raise UsageError(
                f"void cannot work at {asked[0]}x{asked[1]}", f"give a --size of {most[0]}x{most[1]} at most"
            )
        return asked or work_size(width, height, AREA, 16, most)

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Run one pass or both over a shot, or crossfade two parts."""
        import torch

        if is_join(stage):
            filled = crossfade(stage, inputs, shot.frames)
        else:
            with torch.inference_mode():
                filled = _Run(self._settings, shot, self.spec.network).frames()
        return Fill(filled, difference_mask(filled, shot.frames, shot.erase_mask))


class _Run:
    """The passes over one shot."""

    def __init__(self, settings: Settings, shot: Shot, network: Network | None) -> None:
        import torch

        self._settings, self._shot = settings, shot
        self._base = settings.checkpoints[BASE]
        self._device, _ = devices.choose_device(settings.device)
        self._dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self._length = padded_length(len(shot.frames), WINDOW)
        height, width = shot.frames.shape[1:3]
        self._mode = placement.choose_mode(network, (width, height), self._device)
        self._vae = vae_tiling.vae_runner(self._mode.tiled)
        self._generator = torch.Generator("cpu").manual_seed(derive_seed(settings.seed, shot.first))

    def frames(self) -> Array:
        """Return the last pass's frames, (T, h, w, 3) float32 in [0, 1]."""
        video = pad_mirrored(self._shot.frames, self._length)
        mask = pad_mirrored(draw_quadmask(self._shot.erase_mask, self._shot.affected_mask), self._length)
        prompts = ("", self._settings.prompt)
        text = model.prompt_embeds(self._base, prompts, self._device, self._dtype)
        out = self._pass(0, video, mask, text[1:], self._white_noise())
        if self._settings.second_pass != "off":
            out = self._pass(1, video, mask, text, self._warped_noise(out))
        return out[: len(self._shot.frames)]

    def _pass(self, number: int, video: Array, mask: Array, text: Any, noise: Array) -> Array:
        """Return a pass's frames of the padded clip, from noise (1, L, 16, h, w)."""
        import torch

        vae = model.load_vae(self._base, self._device, self._dtype)
        conditioning = self._conditioning(vae, video, vae_input(mask, second_pass=number == 1), text)
        weights = self._settings.checkpoints[PASSES[number]]
        transformer = model.load_pass(self._base, weights, self._device, self._dtype, self._mode)
        latents = sample(
            transformer,
            model.load_scheduler(self._base, second_pass=number == 1),
            torch.from_numpy(noise).to(self._device, self._dtype),
            conditioning,
            latent_windows(noise.shape[1], latents_of(WINDOW)),
            self._steps[number],
            self._guidance if number else 1.0,
            lambda n, _: self._shot.tick(number * self._steps[0] + n + 1, sum(self._steps[: 1 + self._twice])),
        )
        del transformer  # so that the pool can release it where the VAE needs its memory
        scaled = latents.transpose(1, 2) / vae.config.scaling_factor
        decoded = placement.retry_without_transformer(lambda: self._vae.decode(partial(decode, vae), scaled))
        pictures = (decoded[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
        return np.asarray(pictures.cpu().numpy())

    @property
    def _steps(self) -> tuple[int, int]:
        steps = self._settings.steps
        return (steps, steps) if steps else STEPS[self._settings.quality]

    @property
    def _guidance(self) -> float:
        return GUIDANCE if self._settings.guidance is None else self._settings.guidance

    @property
    def _twice(self) -> bool:
        return self._settings.second_pass != "off"

    def _conditioning(self, vae: Any, video: Array, mask: Array, text: Any) -> Conditioning:
        import torch

        pixels = torch.from_numpy(video).permute(3, 0, 1, 2)[None] * 2 - 1
        noise = torch.randn(pixels.shape, generator=self._generator)
        mask_video = torch.from_numpy(mask)[None, None]
        pixels, mask_video, noise = (part.to(self._device) for part in (pixels, mask_video, noise))
        return make_conditioning(vae, pixels, mask_video, noise, text, self._vae.encode)

    def _white_noise(self) -> Array:
        first, (height, width) = self._shot.first, self._shot.frames.shape[1:3]
        times = range(first, first + self._length, FRAMES_PER_LATENT)
        return initial_latents(self._settings.seed, times, (height // 8, width // 8))

    def _warped_noise(self, first: Array) -> Array:
        """Return noise that moves with the first pass's frames, ours or the released code's, (1, L, 16, h, w)."""
        frames = np.rint(first * 255).astype(np.uint8)
        device = "cuda" if self._device == "cuda" else "cpu"  # Metal has no float64
        if self._settings.second_pass == "reference":
            height, width = first.shape[1:3]
            make = partial(warped_noise.reference_noise, frames, 16, self._settings.seed, device)
            noise = placement.retry_without_transformer(make)  # its canvas is 18 times the size of ours
            return warped_noise.fit_reference_noise(noise, latents_of(self._length), (height // 8, width // 8))[None]
        seed = derive_seed(self._settings.seed, self._shot.first, 2)
        return warped_noise.warped_noise(frames, 16, 8, seed, device)[None]
