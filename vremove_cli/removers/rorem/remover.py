"""RORem: paints still pictures, and keyframes of a clip that the job carries to the other frames.

Li et al., "RORem: Training a Robust Object Remover with Human-in-the-Loop", CVPR 2025, by the released code: SDXL's
inpainting UNet with an empty prompt and without guidance, and a LoRA for four steps. The released scripts squash the
picture to a square, start from the picture with the object in it, and give back a picture that went through the VAE as
a whole; none of that is done here.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from vremove_cli.arrays import dilate_square
from vremove_cli.errors import UsageError
from vremove_cli.geometry import Array
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.initial_latents import derive_seed
from vremove_cli.removers.common.temporal_windows import chained_stages
from vremove_cli.removers.common.vae_tiling import as_frames, vae_runner
from vremove_cli.removers.common.vram_estimate import Network, Vae
from vremove_cli.removers.rorem import model, painting

if TYPE_CHECKING:
    import torch

OWN, LARGE, FAST = "rorem", "rorem-mixed", "rorem-lora"
SIDE, LARGE_SIDE = 512, 1024  # pixels of a picture: in training, and in that of the mixed UNet
STEPS = {"draft": 4, "standard": 25, "best": 50}  # "draft": with the LoRA for four steps
# Steps at most: latent consistency has a grid of 50, and the other schedule begins far below the noise beyond 250.
MOST_DISTILLED, MOST = 49, 250
AGREEING = 0.7  # strength where a part of the hole shows what an earlier keyframe shows: .6 to .8 keep its layout
HEAD_CHANNELS = 64  # of an attention head
_DILATION = 20 / 512  # of the picture's side, by which the network's mask is larger than the hole (released code)


class RoremRemover:
    """See `removers.base.Remover`."""

    spec: ClassVar[RemoverSpec] = RemoverSpec(
        "rorem",
        "OpenRAIL++-M",
        "square",
        input="plate",
        models=(OWN,),
        optional_models={"quality=draft": (FAST,)},
        extra_models=(LARGE,),
        accepts=("prompt", "negative_prompt", "quality", "steps", "size", "guidance", "loras", "compile"),
        paints=True,
        network=Network(
            resident=5_134_956_168,
            fp8=2_570_116_804,
            offload=117_969_920,
            token=40_708,
            fixed=0,
            window=1,
            longest=1,
            latents=1,
            vae=Vae(167_307_726, 1_286, 1_537),
            largest=58_984_960,
            half=True,
        ),
        guided_by="guidance",
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        if settings.negative_prompt and (settings.guidance or 1.0) <= 1:
            raise UsageError(
                "--negative-prompt does nothing without guidance", "add --guidance 5, or another number above 1"
            )
        most = MOST_DISTILLED if settings.quality == "draft" else MOST
        if settings.steps is not None and settings.steps > most:
            raise UsageError(f"rorem takes {most} steps at most with this --quality", f"give --steps {most}, or fewer")
        if settings.size is not None and settings.size[0] != settings.size[1]:
            width, height = settings.size
            raise UsageError(f"rorem paints squares, and not {width}x{height}", f"give --size {width}x{width}")

    def stages(self, shot: ShotInfo) -> list[Stage]:
        """Return a stage for each span, after the one before in its shot: keyframes must agree with earlier ones."""
        return chained_stages("rorem", shot.spans, shot.shots)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) of `--size`, or the larger of the two sides in training if its UNet is here."""
        large = LARGE in self._settings.checkpoints and max(width, height) > SIDE
        return self._settings.size or ((LARGE_SIDE,) * 2 if large else (SIDE,) * 2)

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        """Paint each picture of a shot by itself."""
        size = (shot.frames.shape[2], shot.frames.shape[1])
        demand = self.spec.demand(self._settings, size)

        def run(runtime: placement.Runtime) -> Array:
            painter = _Painter(self._settings, runtime, size)
            return np.concatenate([painter.paint(shot, i) for i in range(len(shot.frames))])

        return Fill(placement.run_networks(run, self._settings, demand, HEAD_CHANNELS))


class _Painter:
    """The networks, ready to paint pictures of a size."""

    def __init__(self, settings: Settings, runtime: placement.Runtime, size: tuple[int, int]) -> None:
        own, fast = settings.checkpoints[OWN], settings.quality == "draft"
        large = settings.checkpoints.get(LARGE)
        loras = [(str(settings.checkpoints[FAST].part("lora")), 1.0)] if fast else []
        unet = model.load_unet(
            large if large is not None and size[0] > SIDE else own, (*loras, *settings.loras), runtime
        )
        self._networks = painting.Networks(
            unet,
            model.load_vae(own, runtime),
            vae_runner(runtime.mode.tile),
            model.load_scheduler(own, distilled=fast),
        )
        self._text = model.encode_prompt(own, settings.prompt, runtime)
        self._negative = model.encode_prompt(own, settings.negative_prompt, runtime)
        self._settings, self._runtime = settings, runtime

    def paint(self, shot: Shot, i: int) -> Array:
        """Return a picture of a shot with its hole painted, (1, H, W, 3) float32 in [0, 1]."""
        import torch

        settings, device = self._settings, self._runtime.device
        agrees = shot.agree is not None and bool(shot.agree[i].any())
        strength = AGREEING if agrees else painting.FULL
        schedule = painting.Schedule.of(settings.steps or STEPS[settings.quality], strength, settings.guidance or 1.0)
        done, total = i * schedule.steps, len(shot.frames) * schedule.steps
        seed = derive_seed(settings.seed, shot.first + i, shot.x, shot.y)
        mask = dilate_square(shot.inpaint_mask[i], round(_DILATION * shot.frames.shape[2]))
        picture = painting.paint(
            self._networks,
            schedule,
            _as_tensor(shot.frames[i] * 2 - 1).to(device),
            _as_tensor(mask[..., None].astype(np.float32)).to(device),
            self._text,
            self._negative,
            torch.Generator("cpu").manual_seed(seed),
            lambda n: shot.tick(done + n + 1, total),
        )
        return as_frames(picture[:, :, None])


def _as_tensor(picture: Array) -> "torch.Tensor":
    """Return a picture (H, W, C) float32 as (1, C, H, W)."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0)[None]))
