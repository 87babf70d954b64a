"""Versions of torch, cuDNN and drivers with known faults, and a GPU that torch does not see."""

import tomllib
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from vremove_cli.networks import versions

BUILD = "2.13.0+cu130"
DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build  (builder)\nGCC version: 12.3.0\n"


@pytest.mark.parametrize(
    ("torch", "cudnn", "device", "fault"),
    [
        ("2.7.1+cu126", 90501, "cuda", ""),
        ("2.8.0+cu128", 90701, "cuda", ""),
        ("2.8.0+cu128", 91002, "cuda", "cuDNN 9.10 computes some convolutions in bfloat16 wrongly"),
        ("2.8.0+cu128", 91400, "cuda", "cuDNN 9.14 computes some convolutions in bfloat16 wrongly"),
        ("2.8.0+cu128", 91500, "cuda", ""),
        ("2.9.0+cu128", 91002, "cuda", "torch 2.9.0+cu128 does without cuDNN"),
        ("2.9.0+cu128", 91501, "cuda", "torch 2.9.0+cu128 does without cuDNN"),
        ("2.9.1+cu128", 91002, "cuda", "torch 2.9.1+cu128 does without cuDNN 9.10"),
        ("2.9.1+cu128", 91501, "cuda", ""),
        ("2.10.0+cu128", 91002, "cuda", "torch 2.10.0+cu128 does without cuDNN 9.10"),
        ("2.11.0+cu130", 91900, "cuda", ""),
        ("2.9.0+rocm6.4", None, "cuda", ""),
        ("2.9.0+cpu", None, "cpu", ""),
        ("2.9.0", None, "mps", ""),
    ],
)
def test_known_faults_are_told(torch: str, cudnn: int | None, device: str, fault: str) -> None:
    found = versions.known_faults(torch, cudnn, device)
    assert len(found) == bool(fault)
    assert all(fault in text and ": run `pip install " in text for text in found)


@pytest.mark.parametrize(
    ("torch", "package"),
    [("2.8.0+cu128", "nvidia-cudnn-cu12>=9.15"), ("2.9.1+cu130", "nvidia-cudnn-cu13>=9.15"), ("2.8.0", "torch>=2.11")],
)
def test_a_fault_is_mended_for_the_cuda_of_the_build(torch: str, package: str) -> None:
    assert package in versions.known_faults(torch, 91002, "cuda")[0]


@pytest.mark.parametrize(
    ("torch", "commands"),
    [
        ("2.9.0+cu126", "run `pip install torch==2.9.1` and `pip install -U 'nvidia-cudnn-cu12>=9.15'`"),
        ("2.9.0+cu128", "run `pip install torch==2.9.1` and `pip install -U 'nvidia-cudnn-cu12>=9.15'`"),
        ("2.9.0+cu130", "run `pip install -U 'torch>=2.11,<2.14'`"),
    ],
)
def test_a_torch_is_mended_without_a_newer_driver(torch: str, commands: str) -> None:
    (text,) = versions.known_faults(torch, 91002, "cuda")
    assert text.endswith(commands)


def test_the_torch_that_mends_faults_is_one_that_is_allowed() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    (allowed,) = (d for d in project["project"]["dependencies"] if d.startswith("torch>="))
    assert versions._FIXED_TORCH.strip("'").partition(",")[2] == allowed.partition(",")[2]


@pytest.mark.parametrize(
    ("torch", "cuda", "driver", "words"),
    [
        (
            "2.13.0+cpu",
            None,
            "580.82.07",
            "is a build without CUDA: run `pip uninstall -y torch` and `pip install",
        ),
        ("2.13.0+cpu", None, "535.129.03", "is a build without CUDA: install torch by the line that https://"),
        ("2.13.0+rocm7.0", None, "580.82.07", "is a build without CUDA"),
        (BUILD, "13.0", "535.129.03", "needs driver 580 or newer in place of 535.129.03: update the driver"),
        ("2.8.0+cu128", "12.8", "470.57.02", "needs driver 525 or newer in place of 470.57.02"),
        ("2.8.0+cu128", "12.8", "535.129.03", "does not see it: run `nvidia-smi`"),
        (BUILD, "13.0", "", "does not see it: run `nvidia-smi`"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, torch: str, cuda: str | None, driver: str, words: str
) -> None:
    path = tmp_path / "version"
    path.write_text(DRIVER.format(driver))
    monkeypatch.setattr(versions, "_DRIVER", path)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert words in versions.unseen_gpu(torch, cuda, "cpu")


def test_a_gpu_is_known_by_its_driver_or_by_nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(versions, "_DRIVER", tmp_path / "version")
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert versions.unseen_gpu(BUILD, "13.0", "cpu") == ""
    monkeypatch.setattr("shutil.which", lambda _: "/usr/lib/wsl/lib/nvidia-smi")
    assert "does not see it" in versions.unseen_gpu(BUILD, "13.0", "cpu")
    assert versions.unseen_gpu(BUILD, "13.0", "cuda") == ""


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden_on_purpose_is_no_problem(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert versions.unseen_gpu(BUILD, "13.0", "cpu") == ""


def test_a_torchvision_of_another_build_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(versions, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setattr(versions, "version", lambda _: "0.28.0")
    monkeypatch.setattr(versions, "import_module", fails)
    text = versions.unfit_torchvision("2.13.0+cpu")
    assert "torchvision 0.28.0 does not fit torch 2.13.0+cpu (operator torchvision::nms does not exist)" in text
    monkeypatch.setattr(versions, "import_module", lambda _: None)
    assert versions.unfit_torchvision("2.13.0+cpu") == ""
    monkeypatch.setattr(versions, "find_spec", lambda _: None)
    assert versions.unfit_torchvision("2.13.0+cpu") == ""
