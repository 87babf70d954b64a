"""What the documents show is what happens."""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from support.clips import planes_of, square, write_clip
from support.command import Vremove
from vremove_cli import app
from vremove_cli.commands.signature import options_of_commands
from vremove_cli.job.speeds import measured
from vremove_cli.media.ffv1 import read_gray
from vremove_cli.media.read import open_clip
from vremove_cli.options import checked

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.suffix in (".sh", ".yml"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), *EXAMPLES]
OTHERS = (  # options of other programs
    "--dist", "--check", "--loadscope", "--head", "--address", "--run-dependencies", "--farm-id", "--queue-id",
    "--max-retries-per-task", "--partition", "--gres", "--account", "--mem", "--signal", "--kill-on-invalid-dep",
    "--requeue", "--time",
)  # fmt: skip
SIZE, FRAMES = (96, 64), 10
RED, GREY = (230, 30, 40), 120.0


def commands_of(page: Path) -> list[str]:
    """Every `vremove` command of a page: in its blocks, in its text, and in the examples' scripts."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ *(?:- run: .*?)?(vremove [a-z].*)$", text, re.MULTILINE)
    spans = re.findall(r"`(vremove [a-z][^`]*)`", text.replace("\n", " "))
    found = (re.split(r" \|\| | && |; |\)$", line)[0] for line in [*lines, *spans])
    return [re.sub(r"\$?\{\{.*?\}\}|\"\$\w+\"", "x", line) for line in found]


def is_prose(words: list[str]) -> bool:
    """Whether a line only begins with a command's name, as a sentence does."""
    return len(words) > 1 and words[1] not in typer_commands()


@cache
def typer_commands() -> dict[str, Any]:
    root: Any = typer.main.get_command(app.app)
    return dict(root.commands)


@cache
def known_flags() -> str:
    """All options of all commands, and of the scripts of this project, as text."""
    commands = [*typer_commands().values(), *typer_commands()["models"].commands.values()]
    flags = {flag for c in commands for p in c.params for flag in (*p.opts, *p.secondary_opts)}
    scripts = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "examples").glob("*.py")]
    quoted = re.findall(r'"(--[a-z-]+)"', "".join(p.read_text(encoding="utf-8") for p in scripts))
    return " ".join({*flags, *quoted, *OTHERS})


def parsed(words: list[str]) -> None:
    """Parse a command, and check the values of its options as a run does."""
    name, rest = words[1], [w for w in words[2:] if w != "..."]
    target = typer_commands()[name]
    if not rest:
        return
    if hasattr(target, "commands"):
        target, rest = target.commands[rest[0]], rest[1:]
    context = target.make_context(name, rest)
    for key, value in context.params.items():
        known = options_of_commands().get(name, {}).get(key)
        if known is not None and value not in (None, [], False) and not known.path:
            checked(known, value)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_parses(page: Path) -> None:
    for line in commands_of(page):
        words = shlex.split(line, comments=True)
        if not is_prose(words):
            parsed(words)


def test_the_pages_have_commands() -> None:
    assert sum(len(commands_of(page)) for page in PAGES) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_a_page_exists(page: Path) -> None:
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+[a-z]", page.read_text(encoding="utf-8")):
        assert flag in known_flags(), f"{page.name}: {flag}"


def test_scripts_that_the_pages_run_exist() -> None:
    for page in PAGES:
        for path in re.findall(r"python ((?:tests|examples)/[\w/.]+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / path).is_file(), f"{page.name}: {path}"


def test_the_readme_quotes_the_measured_speeds() -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    found = re.search(
        r"Tracking runs at (\d+) frames/s, modelling the background at (\d+), recovery at (\d+), writing at (\d+)", text
    )
    assert found is not None
    speeds = measured().frames_per_second
    assert [int(n) for n in found.groups()] == [speeds[s] for s in ("track", "background", "plate", "write")]
    assert f"{measured().networks['sam2-tiny', 'cpu']:.0f} s for tiny" in text


@pytest.mark.slow
def test_the_session_of_the_page_on_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vremove: Vremove) -> None:
    """Its commands run as written, and the masks are as good as the page says."""
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
    assert "keeping 1 of 5 finished parts" in said[1]
    assert min(overlap) > 0.85


def red_square(t: int, width: int, height: int) -> np.ndarray:
    """A red square that moves over grey texture, (H, W, 3) uint8; where it is, `square` says."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(GREY - 60, GREY + 60, (height // 8, width // 8))
    out = np.repeat(np.kron(coarse, np.ones((8, 8)))[..., None], 3, axis=2).astype(np.uint8)
    x0, y0, x1, y1 = square(t, width, height)
    out[y0:y1, x0:x1] = RED
    return out


def run_script(name: str, folder: Path) -> str:
    """Run a script of the page on Python in a process of its own beside drawn clips; return what it printed."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    scripts = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", text, re.DOTALL))
    assert len(scripts) == text.count("```python"), "every script of the page has a name"
    (folder / "clips").mkdir()
    for path in ("clip.mp4", "clips/one.mp4", "clips/two.mp4"):
        write_clip(folder / path, size=SIZE, frames=FRAMES, picture=red_square)
    (folder / name).write_text(scripts[name], encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "XDG_CONFIG_HOME": str(folder / "no-config")}
    done = subprocess.run([sys.executable, name], cwd=folder, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def check_erased(result: Path, *, far: int = 12) -> list[np.ndarray]:
    """Assert that a result has all frames, no red and the source's pixels elsewhere; return its pictures."""
    pictures = [frame.rgb8() for frame in open_clip(str(result)).frames()]
    assert len(pictures) == FRAMES
    for t, picture in enumerate(pictures):
        assert picture.shape == (SIZE[1], SIZE[0], 3)
        x0, y0, x1, y1 = square(t, *SIZE)
        source = red_square(t, *SIZE).astype(int)
        difference = np.abs(picture.astype(int) - source)
        assert difference[y0:y1, x0:x1, 0].min() > 20, "every pixel of the square changed"
        assert (np.ptp(picture[y0:y1, x0:x1].astype(int), axis=2) < 40).all(), "what fills it is grey"
        difference[max(0, y0 - far) : y1 + far, max(0, x0 - far) : x1 + far] = 0
        assert difference.mean() < 4, "the rest stayed"
    return pictures


def test_the_first_script_of_the_page_on_python(tmp_path: Path) -> None:
    """The object is gone, and the summary is printed."""
    said = run_script("first.py", tmp_path)
    assert "clip.clean.mp4" in said
    assert "recovered" in said
    check_erased(tmp_path / "clip.clean.mp4")


def test_the_batch_of_the_page_on_python(tmp_path: Path) -> None:
    """Both clips are done, and each stage's progress reaches its end."""
    said = run_script("batch.py", tmp_path)
    for name in ("one.mp4", "two.mp4"):
        check_erased(tmp_path / "clean" / name)
        assert f"{name}: {FRAMES} frames" in said
        for stage in ("scan", "track", "background", "plate", "write"):
            assert f"{name}: {stage} 100%" in said
            assert re.search(rf"{name}: {stage} +\d\d%", said), "progress is shown on the way, too"


def test_the_numpy_mask_of_the_page_on_python(tmp_path: Path) -> None:
    """A mask from the script's own arrays erases the square."""
    said = run_script("red.py", tmp_path)
    assert "never seen" in said
    check_erased(tmp_path / "no-red.mp4")


def test_the_remover_of_the_page_on_python(tmp_path: Path) -> None:
    """The hole has one colour, the frame's median: the remover made all of it."""
    run_script("median.py", tmp_path)
    for t, picture in enumerate(check_erased(tmp_path / "median.mp4")):
        x0, y0, x1, y1 = square(t, *SIZE)
        inside = picture[y0:y1, x0:x1].astype(int)
        outside = np.ones(picture.shape[:2], bool)
        outside[y0:y1, x0:x1] = False
        assert inside.std(axis=(0, 1)).max() < 4
        assert np.abs(inside.mean(axis=(0, 1)) - np.median(picture[outside], axis=0)).max() < 12


def test_the_farm_of_the_page_on_python(tmp_path: Path) -> None:
    """Planning, working and finishing give the clip and the matte beside it."""
    said = run_script("farm.py", tmp_path)
    assert "track-object-0000" in said
    assert "farm.mp4" in said
    check_erased(tmp_path / "farm.mp4")
    assert [int((planes[0] > 0).any()) for planes in planes_of(tmp_path / "matte.mkv")] == [1] * FRAMES
