"""`auto` through the real command: the question on a terminal, what happens without one, and `--frozen`."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import hub as fake
from support.clips import background, scene, write_clip
from support.pretended_gpu import pretended_gpu
from support.process import Cli
from support.twins import rose_repos, sam2_repo

_PATIENCE = 90.0  # seconds for a command in a process of its own
POINT = "12,32"


@dataclass(frozen=True)
class Session:
    """A command on a terminal: its exit status, and all that was shown."""

    status: int
    shown: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fake.Hub]:
    repos = {"facebook/sam2.1-hiera-tiny": sam2_repo(), **rose_repos()}
    with fake.serving({name: fake.Repo(files) for name, files in repos.items()}) as server:
        yield server


@pytest.fixture
def cli(served: fake.Hub, tmp_path: Path) -> Cli:
    """A command with an empty cache of models, and a clip in its folder."""
    made = Cli(served, tmp_path)
    made.env["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    write_clip(tmp_path / "clip.mkv", frames=12, codec="ffv1")
    return made


def on_a_terminal(cli: Cli, answer: str, *args: object) -> Session:
    """Run the command with a terminal as its input and its standard error, and answer its question."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vremove_cli", *map(str, args)]
    env = {**cli.env, "TERM": "dumb", "COLUMNS": "200"}
    with subprocess.Popen(command, stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, env=env, cwd=cli.home) as run:
        os.close(theirs)
        shown, answered, end = "", False, time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    shown += os.read(ours, 4096).decode(errors="replace")
                except OSError:  # the command has closed its side
                    break
            if not answered and "[Y/n]" in shown:
                os.write(ours, f"{answer}\n".encode())
                answered = True
            if run.poll() is not None and not select.select([ours], [], [], 0.1)[0]:
                break
        run.wait(10)
    os.close(ours)
    return Session(run.returncode, " ".join(shown.split()))


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "tracker"), [("y", "sam2-tiny"), ("n", "flow")])
def test_a_terminal_is_asked_once_and_the_answer_counts(cli: Cli, answer: str, tracker: str) -> None:
    session = on_a_terminal(cli, answer, "erase", "clip.mkv", "--point", POINT, "-o", "out.mkv", "--device", "cpu")
    assert session.status == 0, session.shown
    assert session.shown.count("[Y/n]") == 1
    assert "Fetch sam2-tiny (156 MB, Apache-2.0), for a better result? about 1 min at 10 MB/s" in session.shown
    assert f"tracker: {tracker} (" in session.shown
    assert ("better: masks with `--download auto`" in session.shown) == (answer == "n")


def test_without_a_terminal_nothing_is_fetched_and_the_summary_says_what_would_be_better(cli: Cli) -> None:
    out, said = cli("erase", "clip.mkv", "--point", POINT, "-o", "out.mkv", "--json")
    assert "tracker: flow (" in said
    report = json.loads(out)
    assert report["better"][0] == "masks with `--download auto`: sam2-tiny (156 MB, Apache-2.0)"
    assert not (cli.home / "hf").exists()


def test_download_auto_fetches_without_a_question(cli: Cli) -> None:
    _, said = cli("mask", "clip.mkv", "--point", POINT, "-o", "mask.mkv", VREMOVE_DOWNLOAD="auto")
    assert "tracker: sam2-tiny (fetched for this job" in said
    assert "better:" not in said


def test_a_rehearsal_fetches_nothing_and_names_the_download(cli: Cli) -> None:
    out, _ = cli("erase", "clip.mkv", "--point", POINT, "--dry-run", "--download", "auto")
    assert "downloads: sam2-tiny (156.0 MB)" in out
    assert not (cli.home / "hf").exists()


@pytest.mark.parametrize("option", ["--tracker", "--remover"])
def test_download_never_refuses_a_named_model_that_is_not_here(cli: Cli, option: str) -> None:
    name, model = ("sam2-tiny", "sam2-tiny") if option == "--tracker" else ("rose", "rose")
    sentence = cli.fails("erase", "clip.mkv", "--point", POINT, option, name, "--download", "never")
    assert sentence == (
        f"vremove: {model} is not on this machine, and --download never keeps it from being fetched: "
        f"`vremove models pull {model}` fetches it"
    )


def test_frozen_takes_what_the_last_run_took(cli: Cli) -> None:
    job = ("erase", "clip.mkv", "--point", POINT, "-o", "out.mkv")
    _, refused = cli(*job, "--frozen", status=2)
    assert "--frozen finds neither an earlier plan nor a report of this job" in refused
    cli(*job)
    cli(*job, "--frozen", "--overwrite")
    cli("models", "pull", "sam2-tiny")
    _, refused = cli(*job, "--frozen", "--overwrite", status=2)
    assert "the tracker was flow and would be sam2-tiny" in refused


def still_square(t: int, width: int, height: int) -> np.ndarray:
    """A square that never moves: no frame shows what is behind it."""
    out = background(width, height).copy()
    out[20:44, 30:60] = (230, 30, 40)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("moves", "filled"), [(True, False), (False, True)])
def test_a_gpu_fills_only_what_recovery_left(cli: Cli, moves: bool, filled: bool) -> None:
    """On a pretended GPU with tiny weights of ROSE."""
    cli("models", "pull", "rose", "wan-fun-1b")
    write_clip(cli.home / "clip.mkv", codec="ffv1", frames=12, picture=scene if moves else still_square)
    box = "2,22,22,42" if moves else "28,18,62,46"
    asked: tuple[Any, ...] = ("--box", box, "--effects", "off", "--steps", "1", "--size", "48x32")
    with pretended_gpu():
        out, said = cli("erase", "clip.mkv", *asked, "-o", "out.mkv", "--overwrite", "--json", "--tracker", "flow")
    assert "remover: rose (recovers first, then generates where more than 2% of a shot's hole was never seen" in said
    report = json.loads(out)
    assert bool(report["phases"].get("decode")) == filled
    assert (report["unseen"] > 0.02) == filled
