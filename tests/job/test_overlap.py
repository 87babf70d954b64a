"""What is left of a task once its network has run goes on beside the next task."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from support.clips import write_clip, write_masks
from vremove_cli.errors import VremoveError
from vremove_cli.job.runner import run_erase, run_plan, run_work
from vremove_cli.job.stages import fill as fill_stage
from vremove_cli.job.workdir.folder import WorkFolder
from vremove_cli.removers import registry
from vremove_cli.removers.base import Fill, RemoverSpec, Settings, Shot, ShotInfo, Stage

_PATIENCE = 20.0  # seconds
FRAMES, PART = 12, 4


class Painter:
    """Paints gray in stages of four frames, and says which stage it is at."""

    spec: ClassVar[RemoverSpec] = RemoverSpec("painter", "Apache-2.0", "crop")
    began: ClassVar[dict[str, threading.Event]] = {}

    def __init__(self, settings: Settings) -> None:
        pass

    def stages(self, shot: ShotInfo) -> list[Stage]:
        return [Stage(f"{t:04d}", t, t + PART) for t in range(0, FRAMES, PART)]

    def size(self, width: int, height: int) -> None:
        pass

    def run(self, stage: Stage, shot: Shot, inputs: Mapping[Stage, Fill]) -> Fill:
        self.began[stage.id].set()
        return Fill(np.full_like(shot.frames, 0.5))


@pytest.fixture
def job(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The arguments of a job whose hole is painted."""
    Painter.began.update((f"{t:04d}", threading.Event()) for t in range(0, FRAMES, PART))
    undo = registry.register("painter", Painter)
    clip = write_clip(tmp_path / "clip.mkv", codec="ffv1", frames=FRAMES)
    masks = write_masks(tmp_path / "masks", frames=FRAMES)
    yield {"source": str(clip), "output": str(tmp_path / "out.mkv"), "mask": str(masks), "remover": "painter",
           "recover": "off", "effects": "off"}  # fmt: skip
    undo()


def test_a_fill_is_restored_while_the_next_one_is_generated(job: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage but the last waits for the next one's network to begin."""
    write, waited = fill_stage._write_fill, []

    def waiting(work: Any, fill: Fill) -> Any:
        after = Painter.began.get(f"{work.stage.start + PART:04d}")
        if after is not None:
            waited.append(after.wait(_PATIENCE))
        return write(work, fill)

    monkeypatch.setattr(fill_stage, "_write_fill", waiting)
    assert run_erase(**job).done > 0
    assert waited == [True, True]


def test_a_failure_beside_the_next_task_is_told_and_nothing_stays_locked(
    job: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, place = run_plan(**job, work=str(tmp_path / "work"))
    folder = WorkFolder(place)

    def failing(work: Any, fill: Fill) -> Any:
        raise VremoveError("the disk is full", "free some space")

    with monkeypatch.context() as patch:
        patch.setattr(fill_stage, "_write_fill", failing)
        with pytest.raises(VremoveError, match="the disk is full"):
            run_work(str(place))
    assert not folder.finished("fill-0000")
    assert not list((folder.path / "leases").iterdir())
    tally = run_work(str(place))
    assert [task for task in tally.done if task.startswith("fill")] == ["fill-0000", "fill-0004", "fill-0008"]
