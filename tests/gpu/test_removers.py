"""Every remover on a pretended GPU, in every memory mode: the picture, what is left, and how often the host waits."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from support import tiny_removers as tiny
from support.tiny_removers import CASES, FRAMES, MODES, OFFLOAD_TILED, RESIDENT, RESIDENT_TILED, STEPS, Case
from vremove_cli.removers.common.vram_estimate import MemoryMode

# Mean error over the spread of the picture, in bfloat16 against float32.
LIMIT, LIMIT_FP8 = 0.15, 0.35
LIMIT_SECOND_PASS = 0.5  # which starts from noise that moves as the first pass's picture does: differences grow
MANY_FRAMES = 4 * FRAMES - 3  # with the padding, twice as many latents or more
LORA = "networks/lora.py"
# Of a step, by remover: diffusers' UniPC solves a system of two equations and brings over six coefficients; a step of
# latent consistency takes noise, which is drawn on the CPU.
SOLVER_SYNCS, SOLVER_COPIES = {"minimax": 1}, {"minimax": 6, "rorem": 1}
# Of a frame, while the second pass's noise is warped: how many pixels go where decides the shapes.
WARP, WARP_SYNCS = "motion/noise_warp.py", 8
PROMPTS = 2  # of a run, at most: their text states are copied to the host to be stored

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_mode = pytest.mark.parametrize(
    "mode", MODES, ids=lambda mode: f"{mode.weights}-{'tiled' if mode.tile else 'whole'}"
)


class Runs:
    """Runs of tiny removers; each is made once."""

    def __init__(self, folder: Path) -> None:
        models = tiny.tiny_checkpoints(folder)
        self._on_cpu = functools.cache(lambda name, mode: tiny.run_on_cpu(_case(name), mode, models))
        self._on_gpu: Callable[..., tiny.GpuRun] = functools.cache(
            lambda name, mode, *more: tiny.run_on_gpu(_case(name), mode, models, *more)
        )

    def cpu(self, case: Case, mode: MemoryMode) -> np.ndarray:
        """What a remover makes on the CPU with the same tiles."""
        frames: np.ndarray = self._on_cpu(case.name, RESIDENT_TILED if mode.tile else RESIDENT)
        return frames

    def gpu(
        self, case: Case, mode: MemoryMode, *, frames: int = FRAMES, steps: int = STEPS, total_bytes: int = 80 << 30
    ) -> tiny.GpuRun:
        """A run on a pretended GPU."""
        return self._on_gpu(case.name, mode, frames, steps, total_bytes)


def _case(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    made = Runs(tmp_path_factory.mktemp("removers"))
    with tiny.fast_collection():
        yield made


def added(more: Counter[str], fewer: Counter[str]) -> dict[str, int]:
    """What one run counts more than another, without diffusers' own moves of offloaded weights."""
    return {line: n for line, n in (more - fewer).items() if "group_offloading" not in line}


@each_case
@each_mode
def test_a_remover_gives_the_same_picture_on_a_gpu(runs: Runs, case: Case, mode: MemoryMode) -> None:
    found, exact = runs.gpu(case, mode).frames, runs.cpu(case, mode)
    limit = LIMIT_FP8 if mode.weights == "fp8" else LIMIT
    assert np.isfinite(found).all()
    assert np.abs(found - exact).mean() < (LIMIT_SECOND_PASS if case.passes > 1 else limit) * exact.std()


@each_case
def test_offloaded_weights_give_the_same_picture_bit_by_bit(runs: Runs, case: Case) -> None:
    assert np.array_equal(runs.gpu(case, OFFLOAD_TILED).frames, runs.gpu(case, RESIDENT_TILED).frames)


@each_case
def test_offloaded_weights_take_less_memory_than_resident_ones(runs: Runs, case: Case) -> None:
    assert runs.gpu(case, OFFLOAD_TILED).gpu.peak < runs.gpu(case, RESIDENT_TILED).gpu.peak


@each_case
@each_mode
def test_nothing_is_left_on_the_gpu_once_the_pool_released_all(runs: Runs, case: Case, mode: MemoryMode) -> None:
    assert runs.gpu(case, mode).left == 0


@each_case
@each_mode
def test_only_the_picture_and_text_states_are_copied_to_the_host(runs: Runs, case: Case, mode: MemoryMode) -> None:
    """Where weights stay on the host, those that a LoRA changes are added up on the GPU once, and come back."""
    found = added(runs.gpu(case, mode).gpu.to_host.counts, Counter())
    copies = {line: count for line, count in found.items() if not line.startswith(LORA) or mode.weights == "resident"}
    assert sum(copies.values()) <= case.passes + PROMPTS, copies


@each_case
def test_a_step_copies_nothing_to_the_host(runs: Runs, case: Case) -> None:
    more, fewer = runs.gpu(case, RESIDENT, steps=2 * STEPS).gpu, runs.gpu(case, RESIDENT).gpu
    extra = added(more.to_host.counts, fewer.to_host.counts)
    assert not extra


@each_case
def test_a_step_needs_no_value_from_the_gpu(runs: Runs, case: Case) -> None:
    more, fewer = runs.gpu(case, RESIDENT, steps=2 * STEPS).gpu, runs.gpu(case, RESIDENT).gpu
    extra = added(more.syncs, fewer.syncs)
    assert sum(extra.values()) <= STEPS * SOLVER_SYNCS.get(case.remover, 0), extra


@each_case
def test_a_step_waits_for_no_copy_to_the_gpu(runs: Runs, case: Case) -> None:
    more, fewer = runs.gpu(case, RESIDENT, steps=2 * STEPS).gpu, runs.gpu(case, RESIDENT).gpu
    extra = added(more.to_gpu.blocking, fewer.to_gpu.blocking)
    assert sum(extra.values()) <= STEPS * SOLVER_COPIES.get(case.remover, 0), extra


@each_case
def test_more_frames_are_copied_to_the_host_together(runs: Runs, case: Case) -> None:
    more, fewer = runs.gpu(case, RESIDENT, frames=MANY_FRAMES).gpu, runs.gpu(case, RESIDENT).gpu
    extra = added(more.to_host.counts, fewer.to_host.counts)
    assert not extra


@each_case
def test_more_frames_need_no_more_values_from_the_gpu(runs: Runs, case: Case) -> None:
    more, fewer = runs.gpu(case, RESIDENT, frames=MANY_FRAMES).gpu, runs.gpu(case, RESIDENT).gpu
    extra = added(more.syncs, fewer.syncs)
    warped = {line: count for line, count in extra.items() if WARP in line}
    assert set(extra) == set(warped)
    assert sum(warped.values()) <= (case.passes - 1) * WARP_SYNCS * (MANY_FRAMES - FRAMES), warped


def test_void_gives_the_same_picture_where_the_vae_needs_the_transformers_memory(runs: Runs) -> None:
    case = Case("void")
    ample = runs.gpu(case, RESIDENT)
    scarce = runs.gpu(case, RESIDENT, total_bytes=ample.gpu.peak - 1)
    assert scarce.gpu.refused == 1
    assert np.array_equal(scarce.frames, ample.frames)
