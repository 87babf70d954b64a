"""Which kernel computes attention on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

_HOPPER = 9  # major compute capability from which cuDNN's attention is the fastest, for heads of up to 128 channels
_CUDNN = "CUDNN_ATTENTION"
_CUDNN_HEAD = 128  # channels of a head that cuDNN's kernel takes at most
_OTHERS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "MATH")
KERNELS = (_CUDNN, *_OTHERS)  # all that an order may name


def kernel_order(device: str, capability: tuple[int, int] | None = None) -> tuple[str, ...]:
    """Return names of torch's attention kernels (of `torch.nn.attention.SDPBackend`), the one to try first at first.

    Args:
        device: cuda, xpu, mps or cpu. Only CUDA has several kernels: for the others there is no order.
        capability: Compute capability of the GPU; None where the GPU is not known. There cuDNN's kernel comes first,
            as on Hopper: torch skips it on a GPU below 8.0 and on AMD, where it does not run.
    """
    if device != "cuda":
        return ()
    return KERNELS if capability is None or capability[0] >= _HOPPER else _OTHERS


@contextmanager
def attention_order(kernels: tuple[str, ...], head_channels: int) -> Iterator[None]:
    """Let torch's attention try kernels in an order while the block lasts.

    Torch takes the first kernel that the GPU, the type and the shapes allow, so that an order made for one GPU holds on
    any other: cuDNN's kernel needs compute capability 8.0 and 16 bits, FlashAttention the same, the last one nothing.

    This reaches every call of `scaled_dot_product_attention`. The backends of diffusers do not: VOID's processor calls
    torch itself.

    Args:
        kernels: Names from `kernel_order`; empty where torch chooses.
        head_channels: Channels of an attention head.
    """
    if not kernels:
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    fitting = [SDPBackend.__members__[name] for name in kernels if name != _CUDNN or head_channels <= _CUDNN_HEAD]
    with sdpa_kernel(fitting, set_priority=True):
        yield
