"""RORem's learnt score of success, D_phi: how likely people would call an erased picture a success.

The network sees the edited picture with the noise of timestep 0, the hole, and the source with the object in it (Li et
al., 2025, section 3.3; the released code). Here the latents are the mean of the VAE's distribution, and the noise is
always the same, so that a picture has one score. The released network judges RORem's own pictures well and those of
other methods less so: scores are comparable within one method.
"""

import time
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vremove_cli.geometry import Array, bounds, take
from vremove_cli.masks.square_crop import square_crop
from vremove_cli.networks import rorem_discriminator, sdxl
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.attention import attention_order
from vremove_cli.networks.gpu_lock import only_user
from vremove_cli.networks.model_pool import pool
from vremove_cli.networks.rorem_discriminator import SIDE, Discriminator
from vremove_cli.removers.common.placement import Runtime, runtime_of
from vremove_cli.removers.common.vae_tiling import run_whole
from vremove_cli.removers.rorem import model
from vremove_cli.removers.rorem.remover import HEAD_CHANNELS
from vremove_cli.weights.load import read_state
from vremove_cli.weights.store import Checkpoint

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL

JUDGE, BASE = "rorem-score", "sdxl-inpainting"  # the models' names in the catalogue
_WAIT = 0.5  # seconds between two looks whether the GPU is free
_SEED = 0  # of the noise: it must be the same for all pictures


class SuccessJudge:
    """Scores erased pictures; the pool keeps its networks.

    Args:
        judge: The model with the parts `head` and `lora`.
        base: The model with the parts of SDXL for inpainting.
        arithmetic: How the networks compute.

    Raises:
        ModelError: The weights do not fit.
    """

    def __init__(self, judge: Checkpoint, base: Checkpoint, arithmetic: Arithmetic) -> None:
        self._judge, self._base, self._attention = judge, base, arithmetic.attention
        self._runtime = runtime_of(arithmetic, half=True)

    def __call__(self, source: Array, result: Array, mask: Array) -> float:
        """Return the score of a picture, 0 (failed) to 1.

        Args:
            source: The picture with the object (H, W, 3) uint8.
            result: The picture without it (H, W, 3) uint8.
            mask: The object (H, W) bool; not empty.
        """
        import torch

        hole = bounds(mask)
        region = square_crop(hole, int(np.count_nonzero(mask)), mask.shape[::-1], SIDE, 1)
        before, after = (_picture(take(picture, region)) for picture in (source, result))
        inside = cv2.resize(take(mask, region).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        given = (before, after, torch.from_numpy(inside)[None, None])
        with (
            only_user(self._runtime.device, partial(time.sleep, _WAIT)),
            torch.inference_mode(),
            attention_order(self._attention, HEAD_CHANNELS),
        ):
            try:
                return float(np.clip(self._score(*given), 0, 1))
            except torch.OutOfMemoryError:
                pass
            pool.release("remove", "refine")  # the remover's network comes back for the next attempt
            return float(np.clip(self._score(*given), 0, 1))

    def _score(self, source: "torch.Tensor", result: "torch.Tensor", mask: "torch.Tensor") -> float:
        """Return the network's score of pictures (1, 3, H, W) in [-1, 1] and a hole (1, 1, H, W), 0 or more."""
        import torch

        runtime = self._runtime
        device, dtype = runtime.device, runtime.dtype
        vae, network = model.load_vae(self._base, runtime, "judge_vae"), self._network(runtime)
        edited, before = (_latents(vae, picture.to(device)) for picture in (result, source))
        noise = torch.randn(edited.shape, generator=torch.Generator("cpu").manual_seed(_SEED)).to(device)
        alpha = float(model.load_scheduler(self._base, distilled=False).alphas_cumprod[0])
        noisy = alpha**0.5 * edited + (1 - alpha) ** 0.5 * noise
        small = torch.nn.functional.interpolate(mask.float(), size=edited.shape[2:]).to(device)
        channels = torch.cat([noisy, small, before], 1).to(dtype)
        sizes = torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]], dtype=dtype).to(device)
        text = model.encode_prompt(self._base, "", runtime)
        middle = rorem_discriminator.middle(network.body, channels, torch.zeros(1, device=device), text, sizes)
        logit = rorem_discriminator.logit(network, middle)
        return float(torch.nn.functional.softplus(logit.float()))

    def _network(self, runtime: Runtime) -> Discriminator:
        """Return the network on the device."""
        body, (head, change) = self._base.part("transformer"), map(self._judge.part, ("head", "lora"))

        def load() -> Discriminator:
            paths = (str(body), str(head), str(change))
            tensors = [read_state(path) for path in paths]
            return rorem_discriminator.load(
                sdxl.config_beside(body),
                tensors[0],
                tensors[1],
                tensors[2],
                paths,
                runtime.dtype,
                device=runtime.device,
            )

        return pool.get("judge", (body, head, change, runtime), load, runtime.device)


def _picture(rgb: Array) -> "torch.Tensor":
    """Return a picture (h, w, 3) uint8 at the network's size, (1, 3, H, W) in [-1, 1]."""
    import torch

    smaller = min(rgb.shape[:2]) >= SIDE
    sized = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(sized, -1, 0)[None])).float() / 127.5 - 1


def _latents(vae: "AutoencoderKL", picture: "torch.Tensor") -> "torch.Tensor":
    return sdxl.draw_latents(vae, run_whole(partial(sdxl.encode_moments, vae), picture.to(vae.dtype)))
