"""What makes removers faster: skipped blocks in a draft, compiled blocks, and the VAE's type."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support import tiny_removers as tiny
from support.tiny_removers import RESIDENT, Case
from vremove_cli.errors import VremoveError
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.model_pool import pool
from vremove_cli.removers.common import placement, step_cache
from vremove_cli.removers.common.placement import runtime_of
from vremove_cli.removers.common.vram_estimate import MemoryMode
from vremove_cli.weights.store import Checkpoint

STEPS = 3


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    return tiny.tiny_checkpoints(tmp_path_factory.mktemp("removers"))


def made(
    case: Case, models: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch, frames: int = tiny.FRAMES
) -> np.ndarray:
    with monkeypatch.context() as patch:
        return tiny.run(patch, case, RESIDENT, models, "cpu", frames, STEPS)


def count_blocks(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """Count how often each block of a transformer runs, by its number."""
    counts: Counter[int] = Counter()
    place = placement.place

    def counting(transformer: Any, runtime: placement.Runtime) -> Any:
        for number, block in enumerate(placement.blocks_of(transformer)):
            forward = block.forward

            def counted(*args: Any, forward: Any = forward, number: int = number, **more: Any) -> Any:
                counts[number] += 1
                return forward(*args, **more)

            block.forward = counted
        return place(transformer, runtime)

    monkeypatch.setattr(placement, "place", counting)
    return counts


@pytest.mark.parametrize("case", [Case("rose"), Case("rose", {"prompt": "the red ball"}), Case("void")])
def test_a_draft_skips_blocks_where_a_step_changes_little(
    case: Case, models: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a threshold that no step reaches: after the first step only the first block runs, with each text."""
    counts = count_blocks(monkeypatch)
    monkeypatch.setattr(step_cache, "_THRESHOLD", 1e9)
    draft = made(Case(case.remover, {**case.settings, "quality": "draft"}), models, monkeypatch)
    texts = 2 if "prompt" in case.settings else 1
    assert counts[0] == STEPS * texts
    assert counts[1] == texts
    assert np.isfinite(draft).all()


@pytest.mark.parametrize("remover", ["rose", "void"])
def test_a_draft_without_a_skipped_block_is_the_same(
    remover: str, models: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_cache, "_THRESHOLD", -1.0)
    draft = made(Case(remover, {"quality": "draft"}), models, monkeypatch)
    assert np.array_equal(draft, made(Case(remover), models, monkeypatch))


def test_windows_do_not_take_each_others_steps(models: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_blocks(monkeypatch)
    monkeypatch.setattr(step_cache, "_THRESHOLD", 1e9)
    made(Case("void", {"quality": "draft"}), models, monkeypatch, frames=29)
    windows = counts[0] // STEPS
    assert windows == 2
    assert counts[1] == windows


@pytest.mark.parametrize("case", [Case("minimax"), Case("rose"), Case("void")], ids=lambda case: case.remover)
def test_a_deep_clip_is_encoded_and_decoded_in_float32(
    case: Case, models: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where networks run in bfloat16."""
    exact = made(case, models, monkeypatch)
    half = {"arithmetic": Arithmetic("cpu", "bfloat16")}
    kept: list[torch.dtype] = []
    get = pool.get

    def watched(kind: Any, key: Any, load: Any, device: str) -> Any:
        found = get(kind, key, load, device)
        if kind == "vae":
            kept.append(found.dtype)
        return found

    monkeypatch.setattr(pool, "get", watched)
    plain = made(Case(case.remover, half), models, monkeypatch)
    deep = made(Case(case.remover, {**half, "deep": True}), models, monkeypatch)
    assert set(kept[: len(kept) // 2]) == {torch.bfloat16}
    assert set(kept[len(kept) // 2 :]) == {torch.float32}
    assert np.abs(deep - exact).mean() <= np.abs(plain - exact).mean()


_COMPILE = """
import sys
from pathlib import Path
import numpy as np
import pytest
from support import tiny_removers as tiny

models = tiny.tiny_checkpoints(Path(sys.argv[1]))
with pytest.MonkeyPatch.context() as patch:
    made = [tiny.run(patch, tiny.Case("rose", more), tiny.RESIDENT, models, "cpu", tiny.FRAMES, 2)
            for more in ({}, {"compile": True})]
print(np.abs(made[1] - made[0]).mean() / made[0].std())
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++ on a CPU, and there is none")
def test_compiled_blocks_give_nearly_the_same(tmp_path: Path) -> None:
    """In a process of its own: torch's compiler fails where the standard library's distutils was imported before."""
    tests = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": f"{tests}:{tests.parent}", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _COMPILE, str(tmp_path)], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) < 1e-3


def test_a_compiler_that_fails_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))

    class Block(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sin() * x.cos() + 3

    block = Block()
    block.compile()

    def run(_: MemoryMode) -> torch.Tensor:
        found: torch.Tensor = block(torch.ones(11, 7))
        return found

    with pytest.raises(VremoveError, match=r"torch cannot compile the network here .*: leave --compile out"):
        placement.run_within_memory(run, MemoryMode())


@pytest.mark.parametrize("weights", ["fp8", "offload"])
def test_blocks_are_compiled_only_where_all_weights_stay(weights: Any) -> None:
    assert runtime_of(Arithmetic(), MemoryMode(), compiled=True).compiled
    assert not runtime_of(Arithmetic(), MemoryMode(weights), compiled=True).compiled
