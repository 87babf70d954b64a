"""VOID: erases an object with what it did to the scene, in one or two passes.

Netflix, "VOID: Video Object and Interaction Deletion", 2026, by the released code; where that goes wrong (it forgets
its seeds, keeps the mirrored padding, cannot do a second pass on long clips) this does what was meant.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
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

AREA = 384 * 672  # pixels that the network was run at
STEPS = {"draft": (15, 25), "standard": (30, 50), "best": (50, 50)}  # of the first and of the second pass
GUIDANCE = 6.0  # of the second pass
LONGEST, SHARED = 397, 16  # frames that are held at once, and that the parts of a longer shot have in common
BASE, PASSES = "cogvideox-fun-5b", ("void-pass1", "void-pass2")


class VoidRemover:
    """See `removers.base.Remover`. It sees the source with the object in it, whole frames of a whole shot."""

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
        """One for each shot, or for each part of a very long one; parts overlap, and fade into each other."""
        return overlapping_stages("void", shot.shots, LONGEST, SHARED)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) it works at: as asked, or the frame's shape and the area it was trained for."""
        asked, most = self._settings.size, None
        if self._settings.model_paths.get(BASE):
            config = self._config()  # whose rotary grid ends at its sample size
            most = (8 * config.get("sample_width", 90), 8 * config.get("sample_height", 60))
        if asked is not None and most is not None and (asked[0] > most[0] or asked[1] > most[1]):
            raise UsageError(
                f"void cannot work at {asked[0]}x{asked[1]}", f"give a --size of {most[0]}x{most[1]} at most"
            )
        return asked or work_size(width, height, AREA, 16, most)

    def _config(self) -> dict[str, Any]:
        """The base transformer's configuration."""
        file = Path(self._settings.model_paths[BASE]) / "transformer" / "config.json"
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return config

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """One pass or both over a shot."""
        import torch

        if is_join(stage):
            made = crossfade(stage, inputs, shot.frames)
        else:
            with torch.inference_mode():
                made = _Run(self._settings, self._config(), shot, self.spec.network).frames()
        return Fill(made, difference_mask(made, shot.frames, shot.erase_mask))


def _checkpoint(place: str, number: int) -> Path:
    """A pass's file: as given, or in the folder that holds what the Hub has."""
    path = Path(place)
    return path / f"void_pass{number + 1}.safetensors" if path.is_dir() else path


class _Run:
    """The work on one shot."""

    def __init__(self, settings: Settings, config: dict[str, Any], shot: Shot, network: Network | None) -> None:
        import torch

        self._settings, self._config, self._shot = settings, config, shot
        self._base = Path(settings.model_paths[BASE])
        self._device, _ = devices.choose_device(settings.device)
        self._dtype = torch.bfloat16 if self._device == "cuda" else torch.float32
        self._length = padded_length(len(shot.frames), WINDOW)
        height, width = shot.frames.shape[1:3]
        self._mode = placement.choose_mode(network, (width, height), self._device)
        self._vae = vae_tiling.vae_runner(self._mode.tiled)
        self._generator = torch.Generator("cpu").manual_seed(derive_seed(settings.seed, shot.first))

    def frames(self) -> Array:
        """What the last pass made, (T, h, w, 3) float32 in [0, 1]."""
        video = pad_mirrored(self._shot.frames, self._length)
        mask = pad_mirrored(draw_quadmask(self._shot.erase_mask, self._shot.affected_mask), self._length)
        prompts = ("", self._settings.prompt)
        text = model.prompt_embeds(self._base, prompts, self._device, self._dtype)
        out = self._pass(0, video, mask, text[1:], self._white())
        if self._settings.second_pass != "off":
            out = self._pass(1, video, mask, text, self._moving(out))
        return out[: len(self._shot.frames)]

    def _pass(self, number: int, video: Array, mask: Array, text: Any, noise: Array) -> Array:
        """One pass over the padded clip, from latents of noise (1, L, 16, h, w)."""
        import torch

        vae = model.load_vae(self._base, self._dtype).to(self._device)
        condition = self._condition(vae, video, vae_input(mask, second_pass=number == 1), text)
        file = _checkpoint(self._settings.model_paths[PASSES[number]], number)
        transformer = placement.place(model.load_transformer(self._config, file, self._dtype), self._device, self._mode)
        latents = sample(
            transformer, model.load_scheduler(self._base, second_pass=number == 1),
            torch.from_numpy(noise).to(self._device, self._dtype), condition,
            latent_windows(noise.shape[1], latents_of(WINDOW)), self._steps[number], self._guidance if number else 1.0,
            lambda n, _: self._shot.tick(number * self._steps[0] + n + 1, sum(self._steps[: 1 + self._twice])),
        )  # fmt: skip
        del transformer
        placement.release_memory()
        made = self._vae.decode(partial(decode, vae), latents.transpose(1, 2) / vae.config.scaling_factor)
        pictures = (made[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
        return np.asarray(pictures.cpu().numpy())

    @property
    def _steps(self) -> tuple[int, int]:
        asked = self._settings.steps
        return (asked, asked) if asked else STEPS[self._settings.quality]

    @property
    def _guidance(self) -> float:
        return GUIDANCE if self._settings.guidance is None else self._settings.guidance

    @property
    def _twice(self) -> bool:
        return self._settings.second_pass != "off"

    def _condition(self, vae: Any, video: Array, mask: Array, text: Any) -> Conditioning:
        import torch

        pixels = torch.from_numpy(video).permute(3, 0, 1, 2)[None] * 2 - 1
        noise = torch.randn(pixels.shape, generator=self._generator)
        levels = torch.from_numpy(mask)[None, None]
        seen, kept, drawn = (part.to(self._device) for part in (pixels, levels, noise))
        return make_conditioning(vae, seen, kept, drawn, text, self._vae.encode)

    def _white(self) -> Array:
        first, (height, width) = self._shot.first, self._shot.frames.shape[1:3]
        times = range(first, first + self._length, FRAMES_PER_LATENT)
        return initial_latents(self._settings.seed, times, (height // 8, width // 8))

    def _moving(self, first: Array) -> Array:
        """The noise that moves as the first pass's result does; or as the reference makes it, if that was asked for."""
        seen8 = np.rint(first * 255).astype(np.uint8)
        if self._settings.second_pass == "reference":
            height, width = first.shape[1:3]
            made = warped_noise.reference_noise(seen8, 16, self._settings.seed)
            return warped_noise.fit_reference_noise(made, latents_of(self._length), (height // 8, width // 8))[None]
        return warped_noise.warped_noise(seen8, 16, 8, derive_seed(self._settings.seed, self._shot.first, 2))[None]
