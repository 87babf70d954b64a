"""Whether a model runs here: device and memory against the word that `vremove models list` prints."""

from types import SimpleNamespace

import pytest

from vremove_cli.job.runs_here import licence_word, runs_here
from vremove_cli.networks import devices
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.removers.common import placement
from vremove_cli.weights.catalogue import catalogue

MODELS = catalogue()


@pytest.mark.parametrize(
    ("name", "device", "free", "host", "word"),
    [
        ("rose", "cuda", 24, 64, "in memory"), ("wan-fun-1b", "cuda", 24, 64, "in memory"),
        ("wan-fun-14b", "cuda", 24, 64, "block by block"), ("wan-fun-14b", "cuda", 24, 16, "in 8 bits"),
        ("wan-fun-14b", "cuda", 4, 64, "no"), ("void-pass1", "cuda", 24, 64, "in memory"),
        ("void-pass2", "cuda", 12, 64, "block by block"), ("rose", "cpu", 0, 64, "slowly"),
        ("wan-fun-14b", "cpu", 0, 32, "no"), ("sam2-large", "cuda", 8, 64, "in memory"),
        ("sam2-large", "cuda", 1, 64, "slowly"), ("sam2-tiny", "cpu", 0, 8, "slowly"), ("sam2-tiny", "cpu", 0, 1, "no"),
    ],
)  # fmt: skip
def test_a_model_runs_here(
    monkeypatch: pytest.MonkeyPatch, name: str, device: str, free: float, host: float, word: str
) -> None:
    monkeypatch.setattr(devices, "choose_device", lambda _: (device, ""))
    monkeypatch.setattr("vremove_cli.job.runs_here.arithmetic_here", lambda name: Arithmetic(name, "bfloat16"))
    for module in ("removers.common.placement", "job.runs_here"):
        monkeypatch.setattr(f"vremove_cli.{module}.available_memory", lambda *_: free * 1e9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=host * 1e9))
    assert placement.available_memory("cuda") == free * 1e9
    assert runs_here(MODELS[name]) == word


@pytest.mark.parametrize(
    ("name", "word"), [("rose", "free"), ("minimax-remover", "limited"), ("undereraser", "unstated")]
)
def test_a_licence_is_one_word(name: str, word: str) -> None:
    assert licence_word(MODELS[name]) == word
