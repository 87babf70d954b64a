"""Kills a job at its file operations, one after another, and runs the same commands again.

    python tests/benchmarks/kills.py JOB FOLDER [--every] [--short]

JOB is one of `JOBS`. Without `--every`, each place in the code that asks for a file operation is killed once, at its
first operation; with it, each operation is. With `--short` the clip is one segment, which has the same places. A child
process is forked for everything, so that nothing is imported twice and the parent has no threads, which a fork would
lose. Prints one JSON object: the number of kills, and what was wrong after each that went wrong.
"""

import contextlib
import importlib
import io
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from support.clips import planes_of, write_clip, write_masks

FRAMES, CUT = 12, 6
OPERATIONS = ("replace", "rename", "link", "unlink", "remove", "rmdir", "mkdir", "fsync")

POINT = ["--point", "40,24", "--tracker", "flow"]
# Commands of each job; all run in the folder that holds the inputs.
JOBS: dict[str, list[list[str]]] = {
    "mask-file": [["erase", "clip.mkv", "--mask", "masks", "-o", "out.mkv"]],
    "point": [["erase", "clip.mkv", *POINT, "-o", "out.mkv"]],
    "exports": [
        ["erase", "clip.mkv", "--mask", "masks", "-o", "out.mkv", "--write-mask", "m.mkv", "--write-plate", "plates",
         "--write-preview", "sheet.png"]
    ],
    "sequence": [["erase", "shots", "--mask", "masks", "-o", "done/f.%04d.png"]],
    "users-folder": [["erase", "clip.mkv", "--mask", "masks", "-o", "out.mkv", "--work", "mine"]],
    "kept": [["erase", "clip.mkv", "--mask", "masks", "-o", "out.mkv", "--keep-work"]],
    "mask": [["mask", "clip.mkv", *POINT, "-o", "m.mkv", "--write-cutout", "cut"]],
    "steps": [
        ["plan", "clip.mkv", "--mask", "masks", "-o", "out.mkv", "--work", "w"],
        ["work", "w"],
        ["finish", "w", "--write-mask", "m"],
    ],
}  # fmt: skip


def matrix(job: str, place: Path, every: bool) -> dict[str, Any]:
    """Run the matrix of one job."""
    place.mkdir(parents=True)
    inputs = place / "inputs"
    assert _fork(lambda: _draw_inputs(inputs), place) == 0
    commands = JOBS[job]
    whole = _copy(inputs, place / "whole")
    sites = _fork(lambda: _run(commands, whole, log=whole / "log"), whole)
    assert sites == 0, (whole / "said").read_text()
    log, modules = json.loads((whole / "log").read_text())
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)  # once, and not in each child
    expected = _state(whole)
    wrong = []
    points = list(range(len(log))) if every else sorted({log.index(site) for site in log})
    for n in points:
        folder = _copy(inputs, place / "killed")
        status = _fork(partial(_run, commands, folder, kill=n), folder)
        said = ""
        if status != -signal.SIGKILL:
            said = f"was not killed (status {status}): {(folder / 'said').read_text()}"
        elif status := _fork(partial(_run, commands, folder), folder):
            said = f"exit {status}: {(folder / 'said').read_text()}"
        elif (found := _state(folder)) != expected:
            said = f"left {sorted(set(found) ^ set(expected)) or 'other frames'}"
        if said:
            wrong.append({"operation": n, "at": log[n], "said": said.strip()})
    return {"job": job, "operations": len(log), "kills": len(points), "wrong": wrong}


def _draw_inputs(folder: Path) -> None:
    folder.mkdir()
    write_clip(folder / "clip.mkv", codec="ffv1", frames=FRAMES, size=(96, 64), audio="flac")
    write_masks(folder / "masks", frames=FRAMES)
    write_masks(folder / "shots", frames=FRAMES)
    (folder / "done").mkdir()
    (folder / "mine").mkdir()


def _copy(inputs: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(inputs, folder)
    return folder


def _fork(run: Callable[[], None], folder: Path) -> int:
    """Run something in a child; gives its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            with (folder / "said").open("w") as said, contextlib.redirect_stderr(said):
                run()
        except BaseException:
            (folder / "said").write_text(traceback.format_exc())
            os._exit(99)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(commands: list[list[str]], folder: Path, kill: int | None = None, log: Path | None = None) -> None:
    """Run a job's commands in this process; kill it before its operation number `kill`, or log all operations."""
    from vremove_cli import app
    from vremove_cli.job import planner

    vars(planner).update(PLATE_SEGMENT=CUT, TRACK_SEGMENT=CUT)
    os.chdir(folder)
    sites: list[str] = []
    for name in OPERATIONS:
        setattr(os, name, _counted(getattr(os, name), name, sites, kill))
    for command in commands:
        sys.argv = ["vremove", *command, "--progress", "none", "--threads", "1"]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                app.main()
        except SystemExit as end:
            if end.code:
                sys.stderr.flush()
                os._exit(int(end.code))
    if log:
        log.write_text(json.dumps([sites, [name for name in sys.modules if name != "__main__"]]))


def _counted(operation: Callable[..., Any], name: str, sites: list[str], kill: int | None) -> Callable[..., Any]:
    def counted(*args: Any, **more: Any) -> Any:
        if len(sites) == kill:
            os.kill(os.getpid(), signal.SIGKILL)
        sites.append(f"{name} {_site()}")
        return operation(*args, **more)

    return counted


def _site() -> str:
    """Return the lines of ours that led to an operation, innermost last."""
    frames = traceback.extract_stack()[:-2]
    ours = [f for f in frames if "vremove_cli" in f.filename]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(ours[-4:]))


def _state(folder: Path) -> dict[str, str]:
    """Return the files and folders in a folder, with a digest of what must be equal, see `_digest`."""
    listed = folder.with_name("state.json")
    assert _fork(lambda: _write_state(folder, listed), folder) == 0
    found: dict[str, str] = json.loads(listed.read_text())
    return found


def _write_state(folder: Path, listed: Path) -> None:
    paths = {str(p.relative_to(folder)): p for p in folder.rglob("*")}
    digests = {name: _digest(path) for name, path in paths.items() if name not in ("said", "log")}
    listed.write_text(json.dumps(digests))


def _digest(path: Path) -> str:
    """Return a digest of the decoded frames of video, and of the bytes of pictures; other files have none."""
    if path.suffix == ".mkv":
        return sha256(b"".join(p.tobytes() for frame in planes_of(path) for p in frame)).hexdigest()
    return sha256(path.read_bytes()).hexdigest() if path.suffix == ".png" else ""


if __name__ == "__main__":
    import av  # noqa: F401  (for the children)

    import vremove_cli.job.mask_runner
    import vremove_cli.job.runner  # noqa: F401

    if "--short" in sys.argv:
        FRAMES = CUT
    found = matrix(sys.argv[1], Path(sys.argv[2]), "--every" in sys.argv)
    print(json.dumps(found, indent=1))
    sys.exit(bool(found["wrong"]))
