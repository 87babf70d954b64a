"""LPIPS is measured where the package and its weights are here, and nothing is fetched otherwise."""

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vremove_cli.quality.perceptual import lpips_distance


def test_without_the_package_there_is_no_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setattr("vremove_cli.quality.perceptual.find_spec", lambda name: None)
    assert lpips_distance() is None


@pytest.mark.slow
def test_with_the_package_its_weights_decide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stand-in for the package: the mean difference of inputs in [-1, 1], of 64 pixels a side or more."""
    import torch

    def difference(a: Any, b: Any) -> Any:
        assert a.shape == b.shape == (1, 3, 64, 80)
        return (a - b).abs().mean()

    package = ModuleType("lpips")
    package.__spec__ = ModuleSpec("lpips", None)
    package.LPIPS = lambda net, verbose: SimpleNamespace(eval=lambda: difference)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert lpips_distance() is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "alexnet-owt-7be5be79.pth").touch()
    distance = lpips_distance()
    assert distance is not None
    black, white = (np.full((40, 80, 3), level, np.uint8) for level in (0, 255))
    assert distance(black, black) == 0
    assert distance(black, white) == pytest.approx(2)
