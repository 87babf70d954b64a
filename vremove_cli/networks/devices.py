"""The device that networks run on: which one, its memory, and the type that it computes in."""

import sys
from glob import glob
from typing import TYPE_CHECKING, Any

from vremove_cli.errors import UsageError

if TYPE_CHECKING:
    import torch

_GPUS = ("cuda", "xpu", "mps")
# Of the drivers of NVIDIA (the second one in WSL), AMD and Intel.
_GPU_FILES = ("/dev/nvidia*", "/dev/dxg", "/dev/kfd", "/dev/dri/render*")
CHOICES = ("auto", *_GPUS, "cpu")


def choose_device(requested: str) -> tuple[str, str]:
    """Return a device of this machine (cuda, xpu, mps or cpu) and the reason for it.

    Args:
        requested: One of `CHOICES`; auto takes the first that is available.

    Raises:
        UsageError: The device is unknown, or this machine lacks it.
    """
    if requested == "auto" and "torch" not in sys.modules and not _may_have_gpu():
        return "cpu", "torch sees no GPU"  # it is not even imported, which takes a second
    available = _available()
    if requested == "auto":
        best = next(name for name, is_available in available.items() if is_available)
        return best, "torch sees no GPU" if best == "cpu" else name_of(best)
    if requested not in available:
        raise UsageError(f"there is no device '{requested}'", f"choose one of {', '.join(CHOICES)}")
    if not available[requested]:
        raise UsageError(f"torch sees no {requested} device here", "choose auto, or see `vremove doctor`")
    return requested, "as asked"


def is_here(device: str) -> bool:
    """Return whether this machine has a device (cuda, xpu, mps or cpu)."""
    if device == "cpu":
        return True
    return ("torch" in sys.modules or _may_have_gpu()) and _available()[device]


def capability(device: str) -> tuple[int, int] | None:
    """Return the compute capability of an NVIDIA GPU (of an AMD GPU a like number); None for other devices."""
    import torch

    return torch.cuda.get_device_capability() if device == "cuda" else None


def name_of(device: str) -> str:
    """Return the name of a GPU in words."""
    return "Metal" if device == "mps" else str(_module(device).get_device_name(0))


def identity(device: str) -> str:
    """Return a name of a GPU that no other one of this machine has, for the name of a file."""
    if device == "mps":
        return device
    properties = _module(device).get_device_properties(0)
    return f"{device}-{getattr(properties, 'uuid', properties.name)}".replace(" ", "-").replace("/", "-")


def network_dtype(device: str) -> "torch.dtype":
    """Return the type that networks run in: bfloat16 on a GPU that computes with it, else float32.

    A GPU of compute capability below 8.0 only emulates bfloat16, slowly. On Metal bfloat16 was never tried.
    """
    import torch

    if device == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device == "xpu" else torch.float32


def free_bytes(device: str) -> float:
    """Return the bytes of a device's memory that are free, or that torch keeps for this process; infinite on a CPU."""
    import torch

    if device == "cpu":
        return float("inf")
    if device == "mps":  # the GPU's share of the machine's memory
        return float(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    module = _module(device)
    return float(module.mem_get_info()[0] + module.memory_reserved())


def all_bytes(device: str) -> float:
    """Return the bytes of a device's memory; infinite on a CPU."""
    import torch

    if device == "cpu":
        return float("inf")
    return float(torch.mps.recommended_max_memory() if device == "mps" else _module(device).mem_get_info()[1])


def wait_for(device: str) -> None:
    """Wait until a GPU has done all that it was told."""
    if device in _GPUS:
        _module(device).synchronize()


def empty_caches() -> None:
    """Return the memory that torch keeps on GPUs without using it."""
    for device, is_available in _available().items():
        if is_available and device != "cpu":
            _module(device).empty_cache()


def _may_have_gpu() -> bool:
    """Return whether this machine may have a GPU: on Linux there is a file for each."""
    return not sys.platform.startswith("linux") or any(glob(pattern) for pattern in _GPU_FILES)


def _available() -> dict[str, bool]:
    import torch

    return {
        "cuda": torch.cuda.is_available(),
        "xpu": torch.xpu.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }


def _module(device: str) -> Any:
    """Return torch's module of a GPU's functions."""
    import torch

    return getattr(torch, device)
