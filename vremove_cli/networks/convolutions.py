"""The kernels and the layout of a VAE's convolutions on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

    Module = TypeVar("Module", bound=torch.nn.Module)


def laid_out(vae: "Module", device: str) -> "Module":
    """Return a VAE on a device.

    On CUDA its three-dimensional convolutions have their channels last: cuDNN computes them so.
    """
    import torch

    vae.to(device)
    if device == "cuda":
        for module in vae.modules():
            if isinstance(module, torch.nn.Conv3d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
    return vae


@contextmanager
def fast_convolutions(device: str) -> Iterator[None]:
    """Let cuDNN try its kernels once for each shape while the block lasts: a VAE runs few shapes many times."""
    import torch

    if device != "cuda":
        yield
        return
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
