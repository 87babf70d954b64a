"""What `vremove doctor` and `vremove models list` say on a pretended GPU."""

import json
from typing import Any

import pytest
import torch

from support.command import Vremove
from support.pretended_gpu import GIB, pretended_gpu


def doctor(vremove: Vremove) -> dict[str, Any]:
    return dict(json.loads(vremove("doctor", "--json").stdout))


def test_doctor_describes_the_gpu(vremove: Vremove) -> None:
    with pretended_gpu(24 * GIB, (8, 6)):
        facts, text = doctor(vremove), vremove("doctor").stdout
    assert (facts["device"], facts["network_type"], facts["ok"]) == ("cuda", "bfloat16", True)
    assert facts["device_detail"] == "a pretended GPU, compute capability 8.6"
    assert facts["gpu_free"] == facts["gpu_memory"] == 24 * GIB
    assert "GPU memory: 25.8 GB, 25.8 GB free\nnetworks run in: bfloat16\n" in text


def test_doctor_says_what_an_old_gpu_lacks(vremove: Vremove) -> None:
    with pretended_gpu(11 * GIB, (7, 5)):
        text = vremove("doctor").stdout
    assert "networks run in: float32, twice the memory: this GPU has no bfloat16\n" in text


def test_doctor_knows_faulty_versions(vremove: Vremove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "2.10.0+cu128")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    with pretended_gpu():
        facts = doctor(vremove)
        monkeypatch.setattr(torch.version, "hip", "7.0")
        on_amd = doctor(vremove)
    assert not facts["ok"]
    assert "torch 2.10.0+cu128 does without cuDNN 9.10" in facts["problems"][0]
    assert (on_amd["ok"], on_amd["device_detail"]) == (True, "a pretended GPU (ROCm)")


def test_models_list_follows_the_gpu(vremove: Vremove) -> None:
    def words() -> dict[str, str]:
        rows = json.loads(vremove("models", "list", "--json").stdout)["models"]
        return {row["name"]: row["runs_here"] for row in rows}

    with pretended_gpu(80 * GIB):
        large = words()
    with pretended_gpu(1 * GIB):
        small = words()
    assert {large[name] for name in ("rose", "wan-fun-1b", "void-pass1", "sam2-large", "rorem")} == {"in memory"}
    assert small["rose"] == "no"
