"""Every remover on tiny networks: their folders, the memory modes, and a run over a few drawn frames."""

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.pretended_gpu import GIB, PretendedGpu, pretended_gpu
from support.sdxl_twin import rorem_repos, write_drive_files
from support.twins import checkpoints, minimax_repos, rose_repos, undereraser_repos, void_repos
from vremove_cli.frame_ranges import FrameRange
from vremove_cli.networks.model_pool import pool
from vremove_cli.removers import registry
from vremove_cli.removers.base import Settings, Shot, ShotInfo
from vremove_cli.removers.common import placement, text_cache
from vremove_cli.removers.common.vram_estimate import MemoryMode
from vremove_cli.removers.undereraser import remover as undereraser
from vremove_cli.removers.void import remover as void
from vremove_cli.weights.store import Checkpoint

SIZE, FRAMES, STEPS = (48, 32), 9, 2
_TILE = 4  # height and width of a VAE's tile in latents: the frames have 6x4
_UNDERERASER_WINDOW, _VOID_WINDOW = 17, 21  # frames of a window, in place of 81 and 85: a CPU is slow


@dataclass(frozen=True)
class Case:
    """A remover with its settings."""

    remover: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The remover, and the settings that differ from the default."""
        return "-".join((self.remover, *self.settings))

    @property
    def passes(self) -> int:
        """How many networks generate frames, one after the other."""
        return 2 if "second_pass" in self.settings else 1


CASES = (
    Case("minimax"), Case("rose"), Case("rose", {"prompt": "the red ball"}), Case("undereraser"), Case("void"),
    Case("void", {"prompt": "the red ball", "second_pass": "on"}), Case("rorem", {"quality": "draft"}),
)  # fmt: skip
RESIDENT, RESIDENT_TILED = MemoryMode(), MemoryMode(tile=_TILE)
FP8_TILED, OFFLOAD_TILED = MemoryMode("fp8", _TILE), MemoryMode("offload", _TILE)
MODES = (RESIDENT, RESIDENT_TILED, FP8_TILED, OFFLOAD_TILED)


@dataclass(frozen=True)
class GpuRun:
    """A run on the pretended GPU.

    Attributes:
        frames: What the remover made, (T, H, W, 3) float32.
        gpu: What happened on the GPU.
        left: Bytes on the GPU after the pool released all networks.
    """

    frames: np.ndarray
    gpu: PretendedGpu
    left: int


@contextlib.contextmanager
def fast_collection() -> Iterator[None]:
    """Keep what is in memory now out of garbage collection: the pool collects on each release, 0.2 s with torch."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def tiny_checkpoints(folder: Path) -> dict[str, Checkpoint]:
    """Write the tiny networks of all removers to a folder, and return their checkpoints by name."""
    base, passes = write_repos(folder, void_repos())
    rose, small = write_repos(folder, rose_repos())
    (large,) = write_repos(folder, undereraser_repos(folder))
    (minimax,) = write_repos(folder, minimax_repos())
    rorem, _ = write_repos(folder, rorem_repos())
    return checkpoints({
        void.BASE: base, **dict.fromkeys(void.PASSES, passes), "rose": rose, "wan-fun-1b": small,
        undereraser.BASE: large, undereraser.FAST: folder / "lightx2v.safetensors",
        undereraser.OWN: folder / "checkpoint.safetensors", "minimax-remover": minimax,
        "rorem": rorem, "rorem-lora": write_drive_files(folder)["rorem-lora"],
    })  # fmt: skip


def write_repos(folder: Path, repos: Mapping[str, Mapping[str, bytes]]) -> list[Path]:
    """Write the files of repositories to a folder, and return one folder for each."""
    for repo, files in repos.items():
        for name, content in files.items():
            (folder / repo / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / repo / name).write_bytes(content)
    return [folder / repo for repo in repos]


def run_on_cpu(case: Case, mode: MemoryMode, models: Mapping[str, Checkpoint]) -> np.ndarray:
    """Return what a remover makes of the drawn frames in float32, its VAE in tiles if the mode says so."""
    with pytest.MonkeyPatch.context() as patch:
        return run(patch, case, MemoryMode(tile=mode.tile), models, "cpu", FRAMES, STEPS)


def run_on_gpu(
    case: Case, mode: MemoryMode, models: Mapping[str, Checkpoint], frames: int = FRAMES, steps: int = STEPS,
    total_bytes: int = 80 * GIB,
) -> GpuRun:  # fmt: skip
    """Run a remover over the drawn frames on a pretended GPU."""
    with pytest.MonkeyPatch.context() as patch, pretended_gpu(total_bytes) as gpu:
        made = run(patch, case, mode, models, "cuda", frames, steps)
        return GpuRun(made, gpu, gpu.allocated())


def run(
    patch: pytest.MonkeyPatch, case: Case, mode: MemoryMode, models: Mapping[str, Checkpoint], device: str, frames: int,
    steps: int,
) -> np.ndarray:  # fmt: skip
    """Run a remover with an empty pool before and after, and without stored text states."""
    patch.setattr(undereraser, "WINDOW", max(_UNDERERASER_WINDOW, frames))
    patch.setattr(void, "WINDOW", _VOID_WINDOW)
    patch.setattr(placement, "mode_here", lambda planned, *_: planned)  # it knows the memory of full-size networks
    given: dict[str, Any] = {"steps": steps, "checkpoints": models, "device": device, **case.settings}
    remover = registry.make(case.remover, Settings(memory=mode, **given))
    frames = 1 if remover.spec.paints else frames  # each of them would be painted alike
    span = FrameRange(0, frames)
    (stage,) = remover.stages(ShotInfo((span,), (span,), *SIZE))
    pool.release_all()
    try:
        with tempfile.TemporaryDirectory() as cache:
            patch.setattr(text_cache, "cache_folder", lambda: Path(cache))
            return remover.run(stage, drawn_shot(frames), {}).frames
    finally:
        pool.release_all()
        gc.collect()


def drawn_shot(frames: int) -> Shot:
    """Moving waves with a little noise; a box is erased."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    waves = [np.stack([np.sin((x + 2 * t) / 5), np.sin((y + t) / 4), np.sin((x + y) / 7)], -1) for t in range(frames)]
    source = 0.5 + 0.4 * np.stack(waves) + np.random.default_rng(0).normal(0, 0.02, (frames, *SIZE[::-1], 3))
    mask = np.zeros(source.shape[:3], bool)
    mask[:, 8:20, 10:30] = True
    source = np.clip(source, 0, 1).astype(np.float32)
    return Shot(source, mask, mask, np.zeros_like(mask), 0, 0, 0, lambda *_: None)
