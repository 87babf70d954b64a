"""Versions of torch and cuDNN with known faults, and a GPU that torch does not see."""

from pathlib import Path

import pytest

from vremove_cli.networks import versions


@pytest.mark.parametrize(
    ("torch", "cudnn", "device", "words"),
    [
        ("2.8.0+cu128", 91002, "cuda", ["cuDNN 9.10 computes convolutions"]),
        ("2.9.1+cu128", 91501, "cuda", []), ("2.9.1+cu128", 91400, "cuda", ["torch 2.9.1+cu128 runs the convolutions"]),
        ("2.9.0+cu128", 91002, "cuda", ["cuDNN 9.10", "torch 2.9.0+cu128"]),
        ("2.10.0+cu128", 91501, "cuda", []), ("2.7.0+cu126", 90501, "cuda", []), ("2.9.0+cpu", None, "cpu", []),
        ("2.9.0", None, "mps", []),
    ],
)  # fmt: skip
def test_known_faults_are_told(torch: str, cudnn: int | None, device: str, words: list[str]) -> None:
    found = versions.known_faults(torch, cudnn, device)
    assert len(found) == len(words)
    assert all(text in fault for text, fault in zip(words, found, strict=True))
    assert all(": run `pip install -U " in fault for fault in found)


@pytest.mark.parametrize(("built", "words"), [(False, "a build without CUDA"), (True, "update the NVIDIA driver")])
def test_a_gpu_that_torch_does_not_see_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: bool, words: str
) -> None:
    monkeypatch.setattr(versions, "_DRIVER", tmp_path / "version")
    assert versions.unseen_gpu("2.13.0+cpu", built, "cpu") == ""
    (tmp_path / "version").touch()
    assert words in versions.unseen_gpu("2.13.0+cpu", built, "cpu")
    assert versions.unseen_gpu("2.13.0+cu128", built, "cuda") == ""
