"""ROSE: erases an object with its shadow, reflection and light, and with what is seen through it.

Miao et al., "ROSE: Remove Objects with Side Effects in Videos", 2025, by the released code. The network sees the whole
video with the object in it; its CLIP features are zero. Without a prompt, guidance has no effect and is left out.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.networks.wan import IMAGE_TOKENS
from vremove_cli.removers.base import RemoverSpec, Settings, ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.initial_latents import padded_length
from vremove_cli.removers.common.step_cache import step_cache
from vremove_cli.removers.common.temporal_windows import overlapping_stages
from vremove_cli.removers.common.vram_estimate import WAN_VAE, Network
from vremove_cli.removers.common.wan import conditioning, model
from vremove_cli.removers.common.wan.remover import WanRemover
from vremove_cli.removers.common.wan.sigma_schedules import double_shifted_sigmas, euler_flow_match

if TYPE_CHECKING:
    import torch

LONGEST, SHARED = 81, 16  # frames of a window, and those that two windows share
STEPS = {"draft": 20, "standard": 50, "best": 50}
GUIDANCE = 6.0  # with a prompt
OWN, BASE = "rose", "wan-fun-1b"


class RoseRemover(WanRemover):
    """See `removers.base.Remover`."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(
        "rose",
        "Apache-2.0",
        "frame",
        multiple=1,
        input="source",
        models=(OWN, BASE),
        accepts=("prompt", "quality", "steps", "size", "guidance", "loras", "compile"),
        network=Network(
            resident=3_136_171_648,
            fp8=1_601_755_200,
            offload=270_304_896,
            token=50_000,
            fixed=6_000_000,
            window=LONGEST,
            longest=LONGEST,
            latents=1,
            vae=WAN_VAE,
            largest=27_525_120,
        ),
    )
    area = 480 * 720
    qualities = STEPS

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.guidance is not None and not settings.prompt:
            raise UsageError(
                "--guidance does nothing without --prompt", "describe the scene in --prompt, or leave it out"
            )

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Return windows of each shot, which fade into each other."""
        return overlapping_stages("rose", shot.shots, LONGEST, SHARED)

    def length(self, frames: int) -> int:
        """Return 16n + 1, as in training."""
        return padded_length(frames, 16)

    def denoiser(self, runtime: placement.Runtime) -> "_Rose":
        """Load the networks."""
        return _Rose(self.settings, runtime, self.steps())


class _Rose:
    """See `common.wan.remover.Denoiser`."""

    def __init__(self, settings: Settings, runtime: placement.Runtime, steps: int) -> None:
        own, base = settings.checkpoints[OWN], settings.checkpoints[BASE]
        self._runtime, self._steps, self._draft = runtime, steps, settings.quality == "draft"
        self._text = model.prompt_embeds(base, settings.prompt, runtime)
        self._negative = model.prompt_embeds(base, "", runtime) if settings.prompt else None
        self._guidance = GUIDANCE if settings.guidance is None else settings.guidance
        loras = tuple((path, strength, True) for path, strength in settings.loras)
        self._transformer, self.vae = model.load_networks(own, base, loras, runtime)

    def __call__(
        self, frames: Array, mask: Array, noise: "torch.Tensor", tick: Callable[[int], None]
    ) -> "torch.Tensor":
        import torch

        y = conditioning.make_conditioning(self.vae, conditioning.as_video(frames), mask, self._runtime)
        width = self._transformer.config.image_dim
        features = torch.zeros(1, IMAGE_TOKENS, width, device=self._runtime.device)
        predict = model.predictor(self._transformer, y, self._text, features)
        if self._negative is not None:
            negative = model.predictor(self._transformer, y, self._negative, features, "no text")
            predict = _guided(predict, negative, self._guidance)
        with step_cache(self._transformer, self._draft):
            return euler_flow_match(predict, noise, double_shifted_sigmas(self._steps), lambda n, _: tick(n))


_Predictor = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


def _guided(positive: _Predictor, negative: _Predictor, scale: float) -> _Predictor:
    """Return a predictor with classifier-free guidance."""

    def predict(latents: "torch.Tensor", timestep: "torch.Tensor") -> "torch.Tensor":
        base = negative(latents, timestep)
        return base + scale * (positive(latents, timestep) - base)

    return predict
