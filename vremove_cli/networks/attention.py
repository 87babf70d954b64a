"""Which kernel computes attention on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

_HOPPER = 9  # major compute capability from which cuDNN's attention is the fastest, for heads of up to 128 channels
_CUDNN_HEAD = 128  # channels of a head that cuDNN's kernel takes at most


@contextmanager
def fast_attention(device: str, head_channels: int) -> Iterator[None]:
    """Let torch's attention try kernels in an order, the fastest first, while the block lasts.

    This reaches every call of `scaled_dot_product_attention`. The backends of diffusers do not: VOID's processor calls
    torch itself.

    Args:
        device: cuda, xpu, mps or cpu. Only CUDA has several kernels.
        head_channels: Channels of an attention head.
    """
    if device != "cuda":
        yield
        return
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    flash = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    cudnn_first = torch.cuda.get_device_capability()[0] >= _HOPPER and head_channels <= _CUDNN_HEAD
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, *flash] if cudnn_first else flash, set_priority=True):
        yield
