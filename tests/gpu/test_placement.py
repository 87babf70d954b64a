"""Where networks are: the mode that is chosen, the mode that a smaller machine runs, and what follows out of memory."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch

from support.pretended_gpu import pretended_gpu
from vremove_cli.errors import ExitCode, MemoryLimitError
from vremove_cli.networks import devices
from vremove_cli.networks.arithmetic import Arithmetic
from vremove_cli.networks.gpu_lock import only_user
from vremove_cli.networks.model_pool import pool
from vremove_cli.removers import registry
from vremove_cli.removers.common import placement
from vremove_cli.removers.common.placement import Demand, choose_mode, mode_here, run_within_memory
from vremove_cli.removers.common.vram_estimate import MemoryMode, Vae

SIZE = (672, 384)
CPU, CUDA = Arithmetic(), Arithmetic("cuda", "bfloat16")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the free memory of a GPU, and of the machine, in gigabytes."""

    def has(free: float, host: float = 1000.0) -> None:
        monkeypatch.setattr(placement, "available_memory", lambda *_: free * 1e9)
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=host * 1e9))

    return has


def demand(name: str, **more: Any) -> Demand:
    return Demand(registry.spec_of(name).network, SIZE, **more)


@pytest.mark.parametrize(
    ("name", "free", "host", "mode"),
    [
        ("void", 80, 1000, MemoryMode()), ("void", 24, 1000, MemoryMode()), ("void", 21, 1000, MemoryMode(tile=48)),
        ("void", 14, 1000, MemoryMode("offload")), ("void", 8.5, 1000, MemoryMode("offload", 48)),
        ("void", 6, 1000, MemoryMode("offload", 32)), ("void", 15, 1, MemoryMode("fp8", 48)),
        ("undereraser", 80, 1000, MemoryMode()), ("undereraser", 24, 1000, MemoryMode("offload")),
        ("undereraser", 24, 16, MemoryMode("fp8")), ("rose", 8, 1000, MemoryMode()),
        ("rose", 1, 1, MemoryMode("fp8", 32)),
    ],
)  # fmt: skip
def test_the_best_mode_that_fits_is_chosen(
    gpu: Callable[..., None], name: str, free: float, host: float, mode: MemoryMode
) -> None:
    gpu(free, host)
    assert choose_mode(demand(name), CUDA) == mode


@pytest.mark.parametrize("asked", ["resident", "fp8", "offload"])
def test_the_mode_that_is_asked_for_only_gets_smaller_tiles(
    gpu: Callable[..., None], asked: Literal["resident", "fp8", "offload"]
) -> None:
    gpu(80)
    assert choose_mode(demand("void"), CUDA, asked) == MemoryMode(asked)
    gpu(2)
    assert choose_mode(demand("void"), CUDA, asked) == MemoryMode(asked, 32)


def test_a_cpu_has_no_memory_of_its_own_to_run_out_of(gpu: Callable[..., None]) -> None:
    gpu(0)
    assert choose_mode(demand("void"), CPU) == MemoryMode()
    assert choose_mode(Demand(None, SIZE), CUDA) == MemoryMode()


def test_guidance_takes_more_while_a_step_runs(gpu: Callable[..., None]) -> None:
    gpu(80)
    network = registry.spec_of("void").network
    assert network is not None
    steps_alone = replace(network, vae=Vae(0, 0, 0), longest=0)
    one, two = (Demand(steps_alone, SIZE, batch).bytes_in(MemoryMode("offload"), CUDA) for batch in (1, 2))
    assert two - one == one - network.offload


def test_a_clip_of_more_than_8_bits_takes_more(gpu: Callable[..., None]) -> None:
    gpu(80)
    plain, deep = (demand("void", deep=deep).bytes_in(MemoryMode(), CUDA) for deep in (False, True))
    assert deep > 1.4 * plain


def test_a_gpu_without_bfloat16_takes_twice_the_memory() -> None:
    half = demand("rose").bytes_in(MemoryMode(), CUDA)
    assert demand("rose").bytes_in(MemoryMode(), Arithmetic("cuda")) == 2 * half


@pytest.mark.parametrize(
    ("planned", "free", "here"),
    [
        (MemoryMode(), 80, MemoryMode()), (MemoryMode(), 12, MemoryMode("offload")),
        (MemoryMode(tile=48), 12, MemoryMode("offload", 48)), (MemoryMode("fp8", 48), 2, MemoryMode("fp8", 48)),
        (MemoryMode("offload"), 80, MemoryMode("offload")),
    ],
)  # fmt: skip
def test_a_smaller_machine_runs_the_planned_arithmetic(
    gpu: Callable[..., None], planned: MemoryMode, free: float, here: MemoryMode
) -> None:
    gpu(free)
    assert mode_here(planned, demand("void"), CUDA) == here


def test_out_of_memory_runs_again_block_by_block() -> None:
    tried: list[MemoryMode] = []

    def run(mode: MemoryMode) -> str:
        tried.append(mode)
        if mode.weights == "resident":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "frames"

    assert run_within_memory(run, MemoryMode(tile=48)) == "frames"
    assert tried == [MemoryMode(tile=48), MemoryMode("offload", 48)]


@pytest.mark.parametrize(("mode", "times"), [(MemoryMode(), 2), (MemoryMode("fp8", 32), 1), (MemoryMode("offload"), 1)])
def test_out_of_memory_for_good_is_one_sentence(mode: MemoryMode, times: int) -> None:
    tried = []

    def run(mode: MemoryMode) -> str:
        tried.append(mode)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(MemoryLimitError, match="the GPU is out of memory") as caught:
        run_within_memory(run, mode)
    assert caught.value.code == ExitCode.MEMORY
    assert len(tried) == times


def test_a_margin_and_other_networks_are_not_available(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {"track": 300_000_000, "remove": 2_000_000_000}
    monkeypatch.setattr(pool, "held_bytes", lambda _, without: sum(n for k, n in held.items() if k not in without))
    with pretended_gpu(total_bytes=10_000_000_000):
        left = 10_000_000_000 * (1 - 0.03) - 400_000_000
        assert placement.available_memory("cuda") == pytest.approx(left - 300_000_000, rel=0.01)
        assert placement.available_memory("cuda", ()) == pytest.approx(left - 2_300_000_000, rel=0.01)
    assert placement.available_memory("cpu") == float("inf")


def test_a_gpu_below_compute_capability_8_runs_in_float32() -> None:
    with pretended_gpu(capability=(7, 5)):
        assert devices.network_dtype("cuda") == torch.float32
    with pretended_gpu(capability=(8, 0)):
        assert devices.network_dtype("cuda") == torch.bfloat16


_HOLD = """
import sys, time
from support.pretended_gpu import pretended_gpu
from vremove_cli.networks.gpu_lock import only_user
with pretended_gpu(), only_user("cuda", lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[str]"]:
    """A process that uses the GPU until its input is closed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    tests = Path(__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={"PYTHONPATH": f"{tests}:{tests.parent}", "TMPDIR": str(tmp_path), "PATH": ""},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.mark.slow
def test_one_remover_at_a_time_uses_a_gpu(other_user: "subprocess.Popen[str]") -> None:
    waits = []

    def wait() -> None:
        waits.append(1)
        if len(waits) == 3:
            assert other_user.stdin is not None
            other_user.stdin.close()
            other_user.wait()
        time.sleep(0.05)

    with pretended_gpu(), only_user("cuda", wait):
        assert len(waits) >= 3


def test_a_cpu_is_shared() -> None:
    with only_user("cpu", lambda: pytest.fail("it waited")), only_user("cpu", lambda: pytest.fail("it waited")):
        pass
