"""Versions of torch and cuDNN that compute wrongly or slowly on an NVIDIA GPU."""

from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/version")  # exists where the NVIDIA driver is loaded
_WRONG_CUDNN = (90800, 91100)  # versions 9.8 to 9.10: convolutions of bfloat16 in 3D (pytorch issue 163539)
_SLOW_TORCH, _GOOD_CUDNN = "2.9.", 91500  # torch 2.9 leaves cuDNN below 9.15 for them (pytorch issue 166643)


def known_faults(torch_version: str, cudnn_version: int | None, device: str) -> list[str]:
    """Return a sentence for each known fault of the installed versions.

    Args:
        torch_version: Such as 2.9.1+cu128.
        cudnn_version: Such as 91002 for 9.10.2; None without cuDNN.
        device: The device that networks run on.
    """
    if device != "cuda":
        return []
    faults = []
    if cudnn_version is not None and _WRONG_CUDNN[0] <= cudnn_version < _WRONG_CUDNN[1]:
        major, minor = cudnn_version // 10000, cudnn_version // 100 % 100
        faults.append(
            f"cuDNN {major}.{minor} computes convolutions of VAEs wrongly: run `pip install -U nvidia-cudnn-cu12`"
        )
    if torch_version.startswith(_SLOW_TORCH) and (cudnn_version or 0) < _GOOD_CUDNN:
        faults.append(
            f"torch {torch_version} runs the convolutions of VAEs slowly, with much memory: run `pip install -U torch`"
        )
    return faults


def unseen_gpu(torch_version: str, built_for_cuda: bool, device: str) -> str:
    """Return a sentence on an NVIDIA GPU that torch does not see; "" if there is none.

    Args:
        torch_version: Version of torch.
        built_for_cuda: Whether torch was built for CUDA.
        device: The device that networks run on.
    """
    if device != "cpu" or not _DRIVER.exists():
        return ""
    gpu = f"an NVIDIA GPU is here, and torch {torch_version}"
    if not built_for_cuda:
        return f"{gpu} is a build without CUDA: install another build of torch"
    return f"{gpu} does not see it: update the NVIDIA driver"
