"""Fixtures: a console run in-process, and clips."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ["HF_HOME"] = str(Path(__file__).parent / "no-models")  # what this machine has must not count

from vremove_cli import app, settings

hypothesis.settings.register_profile("untimed", deadline=None)  # how fast a machine is, is never a test
hypothesis.settings.load_profile("untimed")


@dataclass(frozen=True)
class Outcome:
    """Exit status and what a command printed."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def vremove(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs the real command in this process: `vremove("erase", "clip.mp4", ...)`."""
    monkeypatch.setattr(settings, "config_folder", lambda: tmp_path / "no-config")

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["vremove", *map(str, arguments)])
        capsys.readouterr()
        try:
            app.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return Outcome(status, said.out, said.err)

    return run
