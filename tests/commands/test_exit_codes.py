"""The table of exit statuses in docs/json.md, row by row."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.clips import write_clip, write_masks
from support.command import Vremove
from vremove_cli.errors import ExitCode

TABLE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8").partition("## Exit status")[2]
DOCUMENTED = [int(n) for n in re.findall(r"^\| (\d+) \|", TABLE, re.MULTILINE)]

Run = Callable[[Vremove, Path, pytest.MonkeyPatch], int]


def raising(error: BaseException) -> Run:
    """The command, whose work raises an error."""

    def run(vremove: Vremove, clip: Path, monkeypatch: pytest.MonkeyPatch) -> int:
        def fail(*arguments: object, **options: object) -> None:
            raise error

        monkeypatch.setattr("vremove_cli.job.runner.run_erase", fail)
        return vremove("erase", clip, "--box", "4,24,20,40").status

    return run


def command(*arguments: str) -> Run:
    """A command; CLIP and MASKS stand for the clip and its masks, EMPTY for a mask that is empty."""

    def run(vremove: Vremove, clip: Path, monkeypatch: pytest.MonkeyPatch) -> int:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(clip.parent / "hf"))
        places = {"CLIP": clip, "MASKS": write_masks(clip.parent / "masks"), "EMPTY": clip.parent / "empty.png"}
        places |= {"BAD": clip.parent / "bad.mp4", "MASK": clip.parent / "masks" / "0000.png"}
        Image.fromarray(np.zeros((64, 96), np.uint8)).save(places["EMPTY"])
        places["BAD"].write_bytes(b"no video")
        return vremove(*(places.get(word, word) for word in arguments)).status

    return run


def idle_worker(vremove: Vremove, clip: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A worker whose tasks need those of others first, and that does not wait for them."""
    planned = vremove("plan", clip, "--mask", write_masks(clip.parent / "masks"), "--work", clip.parent / "job")
    assert planned.status == 0, planned.stderr
    return vremove("work", clip.parent / "job", "--only", "plate", "--no-wait").status


CASES: list[tuple[ExitCode, Run]] = [
    (ExitCode.OK, command("erase", "CLIP", "--mask", "MASKS")),
    (ExitCode.ERROR, raising(OSError(28, "No space left on device"))),
    (ExitCode.ERROR, raising(ValueError("a defect"))),
    (ExitCode.USAGE, command("erase", "CLIP", "--point", "zzz")),
    (ExitCode.USAGE, command("erase", "CLIP", "--point", "5,5", "--remover", "magic")),
    (ExitCode.USAGE, command("erase", "CLIP", "--point", "5,5", "--tracker", "magic")),
    (ExitCode.USAGE, command("erase", "CLIP", "--point", "5,5", "--affected-by", "vlm:magic", "--remover", "void")),
    (ExitCode.USAGE, command("models", "show", "magic")),
    (ExitCode.USAGE, command("models", "verify", "magic")),
    (ExitCode.USAGE, command("erase", "CLIP", "--mask", "MASKS", "--end", "1000")),
    (ExitCode.USAGE, command("erase", "CLIP", "--mask", "MASKS", "--end", "20s")),
    (ExitCode.MEDIA, command("erase", "BAD", "--point", "5,5")),
    (ExitCode.MEDIA, command("info", "none.mp4")),
    (ExitCode.NOTHING, command("erase", "CLIP", "--mask", "EMPTY")),
    (ExitCode.MEMORY, raising(MemoryError())),
    (ExitCode.MODEL, command("erase", "CLIP", "--point", "12,32", "--tracker", "sam2-tiny")),
    (ExitCode.MODEL, command("erase", "CLIP", "--point", "12,32", "--remover", "minimax")),
    (ExitCode.MODEL, command("models", "verify")),
    (ExitCode.BATCH, command("erase", "CLIP", "BAD", "--mask", "MASK")),
    (ExitCode.DOUBTFUL, command("erase", "CLIP", "--box", "@3:60,2,90,20", "--strict")),
    (ExitCode.NOT_READY, idle_worker),
    (ExitCode.INTERRUPTED, raising(KeyboardInterrupt())),
]


@pytest.mark.parametrize(("status", "run"), CASES, ids=[f"{int(code)}-{k}" for k, (code, _) in enumerate(CASES)])
def test_each_row(
    vremove: Vremove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: ExitCode, run: Run
) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    assert run(vremove, clip, monkeypatch) == status


def test_the_table_has_every_status_and_every_status_a_case() -> None:
    assert list(map(int, ExitCode)) == DOCUMENTED
    assert {code for code, _ in CASES} == set(ExitCode)
