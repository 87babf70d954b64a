"""How networks compute: decided once for a job, so that machines with different GPUs make one clip."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vremove_cli.networks import devices
from vremove_cli.networks.attention import KERNELS, kernel_order

if TYPE_CHECKING:
    import torch

_SIXTEEN_BITS = "bfloat16"
_DEVICES, _DTYPES = ("cuda", "xpu", "mps", "cpu"), (_SIXTEEN_BITS, "float32")
_HALF_DEVICES = ("cuda", "xpu")


@dataclass(frozen=True)
class Arithmetic:
    """The device that a job's networks run on, and how it computes.

    On two GPUs of one model, with the same versions of torch and of its libraries, results can be expected to be equal
    bit for bit. Between models of GPUs they are nearly equal: the same values are rounded to the same type, but a
    product of matrices, a convolution or an attention is summed by another kernel, in another order. Two types, or a
    GPU and a CPU, differ by more, and nothing mixes them in one clip.

    Attributes:
        device: cuda, xpu, mps or cpu.
        dtype: Name of the type that networks run in: bfloat16 or float32.
        attention: Names of attention kernels in the order in which torch tries them; empty where it chooses.

    Raises:
        ValueError: A name is unknown.
    """

    device: str = "cpu"
    dtype: str = "float32"
    attention: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        known = self.device in _DEVICES and self.dtype in _DTYPES and set(self.attention) <= set(KERNELS)
        if not known:
            raise ValueError(f"no network runs on {self.device} in {self.dtype} with {', '.join(self.attention)}")

    def dtype_of(self, *, half: bool) -> str:
        """Return the name of the type that a network runs in.

        Args:
            half: Whether the network runs in float16 on a GPU, as SDXL does.
        """
        return "float16" if half and self.device in _HALF_DEVICES else self.dtype

    @property
    def torch_dtype(self) -> "torch.dtype":
        """The type that networks run in."""
        return torch_dtype(self.dtype)


def torch_dtype(name: str) -> "torch.dtype":
    """Return a type of torch by its name."""
    import torch

    found = getattr(torch, name)
    assert isinstance(found, torch.dtype)
    return found


def arithmetic_here(device: str) -> Arithmetic:
    """Return how networks are best computed on a device of this machine.

    Args:
        device: cuda, xpu, mps or cpu; this machine has it.
    """
    if device == "cpu":  # torch is not even imported
        return Arithmetic()
    dtype = str(devices.network_dtype(device)).removeprefix("torch.")
    return Arithmetic(device, dtype, kernel_order(device, devices.capability(device)))


def arithmetic_elsewhere(device: str) -> Arithmetic:
    """Return how networks are best computed on a device of other machines, of which nothing else is known."""
    dtype = _SIXTEEN_BITS if device in _HALF_DEVICES else "float32"
    return Arithmetic(device, dtype, kernel_order(device))


def what_is_lacking(arithmetic: Arithmetic) -> str:
    """Return what this machine lacks to compute so, in words; "" if it lacks nothing."""
    if arithmetic.device == "cpu":
        return ""
    if not devices.is_here(arithmetic.device):
        return f"torch sees no {arithmetic.device} device here"
    own = str(devices.network_dtype(arithmetic.device)).removeprefix("torch.")
    if arithmetic.dtype == _SIXTEEN_BITS != own:
        return f"the GPU here ({devices.name_of(arithmetic.device)}) has no {_SIXTEEN_BITS}"
    return ""
