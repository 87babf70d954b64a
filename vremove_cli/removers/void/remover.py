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
from vremove_cli.networks.cogvideox import decode
from vremove_cli.networks.phases import clock
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common import placement, vae_tiling
from vremove_cli.removers.common.difference_mask import difference_mask
from vremove_cli.removers.common.initial_latents import FRAMES_PER_LATENT, derive_seed, initial_latents, latents_of
from vremove_cli.removers.common.resize import pad_mirrored, work_size
from vremove_cli.removers.common.temporal_windows import crossfade, is_join, overlapping_stages
from vremove_cli.removers.common.vram_estimate import COGVIDEOX_VAE, Network
from vremove_cli.removers.void import model, warped_noise
from vremove_cli.removers.void.latent_windows import WINDOW, latent_windows, padded_length
from vremove_cli.removers.void.multidiffusion import Conditioning, make_conditioning, sample
from vremove_cli.removers.void.quadmask import draw_quadmask, vae_input

AREA = 384 * 672  # pixels of a frame in training
STEPS = {"draft": (15, 25), "standard": (30, 50), "best": (50, 50)}  # steps of the first and of the second pass
GUIDANCE = 6.0  # scale in the second pass
HEAD_CHANNELS = 64  # of an attention head
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
        accepts=("prompt", "second_pass", "quality", "steps", "size", "guidance", "compile"),
        physics=True,
        network=Network(
            resident=11_142_925_568,
            fp8=6_385_030_272,
            offload=567_115_008,
            token=81_000,
            fixed=10_000_000,
            window=WINDOW,
            longest=LONGEST,
            latents=2,
            vae=COGVIDEOX_VAE,
            largest=75_497_472,
        ),
        guided_by="second_pass",
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
        if is_join(stage):
            filled = crossfade(stage, inputs, shot.frames)
        else:
            demand = self.spec.demand(self._settings, (shot.frames.shape[2], shot.frames.shape[1]))

            def run(runtime: placement.Runtime) -> Array:
                need = demand.bytes_of(runtime)
                return _Run(self._settings, shot, runtime, need).frames()

            filled = placement.run_networks(run, self._settings, demand, HEAD_CHANNELS)
        return Fill(filled, difference_mask(filled, shot.frames, shot.erase_mask))


class _Run:
    """The passes over one shot."""

    def __init__(self, settings: Settings, shot: Shot, runtime: placement.Runtime, need: int) -> None:
        import torch

        self._settings, self._shot, self._runtime, self._need = settings, shot, runtime, need
        self._base = settings.checkpoints[BASE]
        self._length = padded_length(len(shot.frames), WINDOW)
        self._vae = vae_tiling.vae_runner(runtime.mode.tile)
        self._generator = torch.Generator("cpu").manual_seed(derive_seed(settings.seed, shot.first))

    def frames(self) -> Array:
        """Return the last pass's frames, (T, h, w, 3) float32 in [0, 1]."""
        video = pad_mirrored(self._shot.frames, self._length)
        mask = pad_mirrored(draw_quadmask(self._shot.erase_mask, self._shot.affected_mask), self._length)
        prompts = ("", self._settings.prompt)
        text = model.prompt_embeds(self._base, prompts, self._runtime)
        out = self._pass(0, video, mask, text[1:], self._white_noise())
        if self._settings.second_pass != "off":
            out = self._pass(1, video, mask, text, self._warped_noise(out))
        return out[: len(self._shot.frames)]

    def _pass(self, number: int, video: Array, mask: Array, text: Any, noise: Array) -> Array:
        """Return a pass's frames of the padded clip, from noise (1, L, 16, h, w)."""
        import torch

        device, second = self._runtime.device, number == 1
        vae = model.load_vae(self._base, self._runtime)
        with clock.phase("encode", device):
            conditioning = self._conditioning(vae, video, vae_input(mask, second_pass=second), text)
        weights = self._settings.checkpoints[PASSES[number]]
        latents = sample(
            model.load_pass(self._base, weights, self._runtime, self._need, second=second),
            model.load_scheduler(self._base, second_pass=second),
            torch.from_numpy(noise).to(self._runtime.dtype).to(device),
            conditioning,
            latent_windows(noise.shape[1], latents_of(WINDOW)),
            self._steps[number],
            self._guidance if second else 1.0,
            lambda n, _: self._shot.tick(number * self._steps[0] + n + 1, sum(self._steps[: 1 + self._twice])),
            draft=self._settings.quality == "draft",
        )
        with clock.phase("decode", device):
            scaled = (latents.transpose(1, 2) / vae.config.scaling_factor).to(vae.dtype)
            return vae_tiling.as_frames(self._vae.decode(partial(decode, vae), scaled))

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
        return make_conditioning(vae, pixels, torch.from_numpy(mask)[None, None], noise, text, self._vae.encode)

    def _white_noise(self) -> Array:
        first, (height, width) = self._shot.first, self._shot.frames.shape[1:3]
        times = range(first, first + self._length, FRAMES_PER_LATENT)
        return initial_latents(self._settings.seed, times, (height // 8, width // 8))

    def _warped_noise(self, first: Array) -> Array:
        """Return noise that moves with the first pass's frames, ours or the released code's, (1, L, 16, h, w)."""
        frames = np.rint(first * 255).astype(np.uint8)
        device = "cuda" if self._runtime.device == "cuda" else "cpu"  # Metal has no float64
        if self._settings.second_pass == "reference":
            height, width = first.shape[1:3]
            noise = warped_noise.reference_noise(frames, 16, self._settings.seed, device)
            return warped_noise.fit_reference_noise(noise, latents_of(self._length), (height // 8, width // 8))[None]
        seed = derive_seed(self._settings.seed, self._shot.first, 2)
        return warped_noise.warped_noise(frames, 16, 8, seed, device)[None]
