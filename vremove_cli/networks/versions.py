"""Versions of torch, cuDNN and NVIDIA's driver that compute wrongly, slowly, or not at all together.

Issue 163539 of pytorch names cuDNN 9.8 to 9.10 as wrong in three-dimensional convolutions in 16 bits, and issue 166643
names 9.15 as good; those between count as wrong here, to be safe. VAEs have their channels last
(`convolutions.laid_out`), which may spare them; other layers do not.
"""

import os
import re
import shutil
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/version")  # exists where NVIDIA's driver is loaded
_OLDEST_DRIVERS = {12: 525, 13: 580}  # major version of the driver by that of CUDA
_BROKEN_CUDNN = range(90800, 91500)  # versions 9.8 to 9.14
_FIXED_TORCH = "'torch>=2.11,<2.14'"  # its usual builds bring cuDNN 9.19 or newer, for CUDA 13
_PAGE = "the line that https://pytorch.org/get-started/locally/ gives"


def known_faults(torch_version: str, cudnn_version: int | None, device: str) -> list[str]:
    """Return a sentence for each known fault of the installed versions.

    Before 2.9 torch used the broken cuDNN. 2.9.0 uses none that is newer than 9.7; later ones use cuDNN from 9.15 on.

    Args:
        torch_version: Such as 2.9.1+cu128.
        cudnn_version: Such as 91002 for 9.10.2; None without cuDNN, as on ROCm.
        device: The device that networks run on.
    """
    if device != "cuda" or cudnn_version is None:
        return []
    cudnn = f"cuDNN {cudnn_version // 10000}.{cudnn_version // 100 % 100}"
    release = tuple(int(part) for part in re.findall(r"\d+", torch_version)[:3])
    if release == (2, 9, 0) and cudnn_version >= _BROKEN_CUDNN.start:
        return [f"torch {torch_version} does without cuDNN where it is fast: run {_newer_torch(torch_version)}"]
    if cudnn_version not in _BROKEN_CUDNN:
        return []
    if release < (2, 9):
        return [f"{cudnn} computes some convolutions in bfloat16 wrongly: run `{_newer_cudnn(torch_version)}`"]
    slow = f"torch {torch_version} does without {cudnn} in some convolutions, slowly and with much memory"
    return [f"{slow}: run `{_newer_cudnn(torch_version)}`"]


def installed_faults(device: str) -> list[str]:
    """Return a sentence for each known fault of the versions of this installation.

    Args:
        device: The device that networks run on.
    """
    import torch

    is_nvidia = device == "cuda" and torch.version.hip is None  # on ROCm the number is that of another library
    cudnn: int | None = torch.backends.cudnn.version() if is_nvidia else None  # type: ignore[no-untyped-call]
    return known_faults(torch.__version__, cudnn, device)


def unseen_gpu(torch_version: str, cuda_version: str | None, device: str) -> str:
    """Return a sentence on an NVIDIA GPU that torch does not see; "" if there is none, or if it is hidden on purpose.

    Args:
        torch_version: Version of torch.
        cuda_version: The version of CUDA that torch was built for, such as 13.0; None if for none.
        device: The device that networks run on.
    """
    here = _DRIVER.exists() or shutil.which("nvidia-smi") is not None
    if device != "cpu" or not here or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""
    driver = _driver_version()
    major = int(driver.partition(".")[0] or 0)
    gpu = f"an NVIDIA GPU is here, and torch {torch_version}"
    if cuda_version is None:
        is_usual = sys.platform.startswith("linux") and (not driver or major >= _OLDEST_DRIVERS[13])
        usual = f"run `pip uninstall -y torch` and `pip install {_FIXED_TORCH}`"
        line = usual if is_usual else f"install torch by {_PAGE}"
        return f"{gpu} is a build without CUDA: {line}"
    oldest = _OLDEST_DRIVERS.get(int(cuda_version.partition(".")[0]), 0)
    if driver and major < oldest:
        needs = f"needs driver {oldest} or newer in place of {driver}"
        return f"{gpu} {needs}: update the driver, or install torch for an older CUDA by {_PAGE}"
    return f"{gpu} does not see it: run `nvidia-smi`, which says what is wrong with the driver"


def unfit_torchvision(torch_version: str) -> str:
    """Return a sentence on an installed torchvision that cannot be imported; "" if there is none.

    The package sam2 brings torchvision, and transformers imports it where it is.

    Args:
        torch_version: Version of torch.
    """
    if find_spec("torchvision") is None:
        return ""
    try:
        import_module("torchvision")
    except Exception as error:  # torch raises a RuntimeError for operators that are missing
        unfit = f"torchvision {version('torchvision')} does not fit torch {torch_version} ({error})"
        advice = f"run `pip uninstall -y torchvision`, or install both by {_PAGE}"
        return f"{unfit}, so networks of transformers do not load: {advice}"
    return ""


def _newer_torch(torch_version: str) -> str:
    """Return the commands that replace torch 2.9.0.

    A torch for CUDA 13 needs a newer driver than one for CUDA 12, which 2.9.1 stays with; it brings cuDNN 9.10.
    """
    if "+cu12" in torch_version:
        return f"`pip install torch==2.9.1` and `{_newer_cudnn(torch_version)}`"
    return f"`pip install -U {_FIXED_TORCH}`"


def _newer_cudnn(torch_version: str) -> str:
    """Return the command that installs a cuDNN without the fault, for the CUDA that torch was built for."""
    built_for = re.search(r"\+cu(\d\d)\d", torch_version)
    return f"pip install -U 'nvidia-cudnn-cu{built_for[1]}>=9.15'" if built_for else f"pip install -U {_FIXED_TORCH}"


def _driver_version() -> str:
    """Return the version of NVIDIA's driver, such as 535.129.03; "" if it is not known."""
    if not _DRIVER.exists():
        return ""
    found = re.search(r"\b\d{3,}(\.\d+)+\b", _DRIVER.read_text(encoding="utf-8", errors="replace"))
    return found[0] if found else ""
