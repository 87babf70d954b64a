"""UnderEraser: erases an object with its side effects, at any length, in four steps.

Source: arXiv 2604.01693 and its released code. Each latent frame attends to CLIP features of its own four frames. Long
clips are guided by keyframes (sec. 3.4), which the released code leaves out. The paper shows the network the video as
it is; the released code hides the object in gray. The released way is the default; `--conditioning paper` selects the
other.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from vremove_cli.geometry import Array
from vremove_cli.networks.phases import clock
from vremove_cli.removers.base import RemoverSpec, Settings, ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.temporal_windows import keyframe_guided_stages, keyframe_guided_windows
from vremove_cli.removers.common.vram_estimate import WAN_VAE, Network
from vremove_cli.removers.common.wan import conditioning, model
from vremove_cli.removers.common.wan.remover import WanRemover
from vremove_cli.removers.common.wan.sigma_schedules import double_shifted_sigmas, euler_flow_match
from vremove_cli.removers.undereraser.conditioning import clip_features, group_by_latent, hide_in_black, hide_in_gray

if TYPE_CHECKING:
    import torch

WINDOW = 81  # frames of a window, as in training
FADE = 8  # frames of a crossfade between two windows, at most
STEPS = {"draft": 2, "standard": 4, "best": 8}
DISTILLED, STRENGTH = 1.0, 0.55  # strengths of the two LoRAs that make it of Wan: lightx2v's and its own
OWN, FAST, BASE = "undereraser", "lightx2v", "wan-fun-14b"


class UnderEraserRemover(WanRemover):
    """See `removers.base.Remover`."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(
        "undereraser",
        "none stated",
        "frame",
        multiple=1,
        input="source",
        models=(OWN, FAST, BASE),
        accepts=("prompt", "quality", "steps", "size", "loras", "conditioning", "compile"),
        network=Network(
            resident=32_849_199_744,
            fp8=16_697_995_840,
            offload=2_154_363_520,
            token=116_000,
            fixed=300_000_000,
            window=WINDOW,
            longest=WINDOW,
            latents=1,
            vae=WAN_VAE,
            beside=1_264_000_000,
            largest=141_557_760,
        ),
    )
    area = 480 * 720
    qualities = STEPS

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Return keyframes of each shot, then windows, which need the keyframes alone."""
        return [
            stage
            for first, stop in shot.shots
            for stage in keyframe_guided_stages(
                "undereraser", keyframe_guided_windows(stop - first, WINDOW), first, FADE
            )
        ]

    def length(self, frames: int) -> int:
        """Return the length of the clips in training, whatever the number of frames."""
        return WINDOW

    def denoiser(self, runtime: placement.Runtime) -> "_UnderEraser":
        """Load the networks."""
        return _UnderEraser(self.settings, runtime, self.steps())


class _UnderEraser:
    """See `common.wan.remover.Denoiser`."""

    def __init__(self, settings: Settings, runtime: placement.Runtime, steps: int) -> None:
        checkpoints, self._runtime, self._steps = settings.checkpoints, runtime, steps
        self._base, self._hides = checkpoints[BASE], settings.conditioning == "released"
        self._text = model.prompt_embeds(self._base, settings.prompt, runtime)
        fast, eraser = (str(checkpoints[name].part("lora")) for name in (FAST, OWN))
        loras = ((fast, DISTILLED, False), (eraser, STRENGTH, True))
        own = tuple((path, strength, True) for path, strength in settings.loras)
        self._transformer, self.vae = model.load_networks(self._base, self._base, (*loras, *own), runtime)

    def __call__(
        self, frames: Array, mask: Array, noise: "torch.Tensor", tick: Callable[[int], None]
    ) -> "torch.Tensor":
        video = conditioning.as_video(frames)
        video = hide_in_gray(video, mask) if self._hides else video
        y = conditioning.make_conditioning(self.vae, video, mask, self._runtime)
        with clock.phase("encode", self._runtime.device):
            clip = model.load_clip(self._base, self._runtime)
            features = group_by_latent(clip_features(clip, hide_in_black(frames, mask)))
        predict = model.predictor(self._transformer, y, self._text, features)
        return euler_flow_match(predict, noise, double_shifted_sigmas(self._steps), lambda n, _: tick(n))
