"""What the documents show is what happens."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.command import Vremove
from vremove_cli.media.ffv1 import read_gray

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_session_of_the_page_on_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vremove: Vremove) -> None:
    """Its commands run as written, and the correction is worth what the page says."""
    text = (ROOT / "docs" / "masks.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [line.split() for block in blocks[:2] for line in block.splitlines()]
    draw = commands.pop(0)
    subprocess.run([sys.executable, str(ROOT / draw[1]), *draw[2:]], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    truth = [m > 127 for m in read_gray(tmp_path / "truth.mkv")]
    overlap, said = [], []
    for command in commands:
        done = vremove(*command[1:])
        assert done.status == 0
        said.append(done.stderr)
        found = [m > 127 for m in read_gray(tmp_path / "mask.mkv")]
        pairs = [(a, b) for a, b in zip(found, truth, strict=True) if np.count_nonzero(b) > 200]
        overlap.append(np.mean([np.count_nonzero(a & b) / np.count_nonzero(a | b) for a, b in pairs]))
    assert "found again at frame" in said[0]
    assert "1 of 5 tasks still hold" in said[1]
    assert overlap[0] < 0.7
    assert overlap[1] > 0.85
