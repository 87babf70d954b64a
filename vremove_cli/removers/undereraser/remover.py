"""UnderEraser: erases an object with its side effects, at any length, in four steps.

The paper (arXiv 2604.01693) and the released code. Each latent frame attends to pictures of its own four frames, and
long clips are led by keyframes (sec. 3.4), which the released code leaves out. The paper shows the network the video as
it is; the released one hides the object in gray, which is what is done unless `--conditioning paper` is asked for.
"""

from collections.abc import Callable
from typing import Any

from vremove_cli.geometry import Array
from vremove_cli.removers.base import RemoverSpec, Settings, ShotInfo, Stage
from vremove_cli.removers.common import placement, vae_tiling
from vremove_cli.removers.common.temporal_windows import keyframe_guided_stages, keyframe_guided_windows
from vremove_cli.removers.common.vram_estimate import Network
from vremove_cli.removers.common.wan import conditioning, model
from vremove_cli.removers.common.wan.remover import VAE_BYTES, WanRemover
from vremove_cli.removers.common.wan.sigma_schedules import double_shifted_sigmas, euler_flow_match

WINDOW = 81  # frames that the network has always seen at once
FADE = 8  # frames over which two windows go over into each other at most
STEPS = {"draft": 2, "standard": 4, "best": 8}
DISTILLED, STRENGTH = 1.0, 0.55  # of the two changes that make it of Wan
OWN, FAST, BASE = "undereraser", "lightx2v", "wan-fun-14b"


class UnderEraserRemover(WanRemover):
    """See `removers.base.Remover`."""

    spec = RemoverSpec(
        "undereraser", "none stated", "frame", multiple=1, input="source", models=(OWN, FAST, BASE),
        accepts=("prompt", "quality", "steps", "size", "loras", "conditioning"),
        network=Network(16_394_878_784, 40, 5120, 13824, WINDOW, 1, VAE_BYTES + 1_270_000_000),
    )  # fmt: skip
    area = 480 * 720
    qualities = STEPS

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Keyframes of each shot, then windows, which need the keyframes alone."""
        return [
            stage
            for first, stop in shot.shots
            for stage in keyframe_guided_stages(
                "undereraser", keyframe_guided_windows(stop - first, WINDOW), first, FADE
            )
        ]

    def length(self, frames: int) -> int:
        """Always as many as it was trained with."""
        return WINDOW

    def denoiser(self, device: str, dtype: Any, mode: placement.MemoryMode) -> "_UnderEraser":
        return _UnderEraser(self.settings, device, dtype, mode, self.steps())


class _UnderEraser:
    def __init__(self, settings: Settings, device: str, dtype: Any, mode: placement.MemoryMode, steps: int) -> None:
        places, self._device, self._dtype, self._steps = settings.model_paths, device, dtype, steps
        self._base, self._hides = places[BASE], settings.conditioning == "released"
        self._text = model.prompt_embeds(self._base, settings.prompt, device, dtype)
        changes = ((places[FAST], DISTILLED, False), (places[OWN], STRENGTH, True))
        own = tuple((path, strength, True) for path, strength in settings.loras)
        self._transformer, self.vae = model.load_networks(self._base, self._base, (*changes, *own), device, dtype, mode)
        self._encode = vae_tiling.vae_runner(mode.tiled).encode

    def __call__(self, frames: Array, mask: Array, noise: Any, tick: Callable[[int], None]) -> Any:
        video = conditioning.as_video(frames)
        shown = (conditioning.hide_in_gray(video, mask) if self._hides else video).to(self._device)
        y = conditioning.make_conditioning(self.vae, shown, mask, self._encode)
        clip = model.load_clip(self._base, self._dtype).to(self._device)
        pictures = conditioning.group_by_latent(
            conditioning.clip_features(clip, conditioning.hide_in_black(frames, mask))
        )
        clip.to("cpu")
        predict = model.predictor(self._transformer, y, self._text, pictures)
        return euler_flow_match(predict, noise, double_shifted_sigmas(self._steps), lambda n, _: tick(n))
