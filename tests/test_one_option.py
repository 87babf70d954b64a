"""One field is one option: a field added to `Request`, and nowhere else, appears everywhere."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
import typer.testing

import vremove_cli
from support.clips import write_clip, write_masks
from vremove_cli import settings
from vremove_cli.commands import signature
from vremove_cli.commands.signature import Given, PlainHelp, command, options_of_commands
from vremove_cli.errors import UsageError
from vremove_cli.job import keyword_types, request
from vremove_cli.job.output_paths import make_request
from vremove_cli.job.request import Request
from vremove_cli.options import Panel, option, options_of, values_from

ROOT = Path(__file__).parents[1]

KINDS = ("Tracking", "Request")  # classes of the keywords, in the order in which they are printed

Run = Callable[..., Any]


@dataclass(frozen=True)
class MoreOptions(Request):
    """A request with one more field: the only place where this option is written down."""

    shine: int = option(
        3, "How much it shines.", panel=Panel.OUTPUT, metavar="WATTS", minimum=0, maximum=9, tracking=True
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command `demo` made from the dataclass, with the settings file of the working folder."""
    monkeypatch.setattr(signature, "_COMMANDS", {})
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(rich_markup_mode="rich")

    @app.callback()
    def _root() -> None:
        pass

    @app.command("demo", cls=PlainHelp)
    @command(MoreOptions, name="demo")
    def demo(given: Given) -> None:
        print(json.dumps(values_from(MoreOptions, given.of(MoreOptions))))

    def invoke(*arguments: str, **environment: str) -> Any:
        loaded = settings.load(options_of_commands())
        return typer.testing.CliRunner().invoke(
            app, ["demo", *arguments], env={"COLUMNS": "80", **environment}, default_map=loaded
        )

    return invoke


def test_the_command_line_has_it(run: Run) -> None:
    assert json.loads(run("--shine", "5").stdout) == {"shine": 5}
    assert json.loads(run().stdout) == {}
    shown = run("--help").stdout
    panel = shown[shown.index(" Output ") : shown.index(" Advanced ")]
    row = next(line for line in panel.splitlines() if "--shine" in line)
    assert "WATTS" in row
    assert "How much it shines. [3]" in row


def test_the_environment_and_the_settings_file_have_it(run: Run, tmp_path: Path) -> None:
    assert json.loads(run(VREMOVE_DEMO_SHINE="7").stdout) == {"shine": 7}
    (tmp_path / settings.FILE).write_text("[demo]\nshine = 4\n")
    assert json.loads(run().stdout) == {"shine": 4}
    assert json.loads(run(VREMOVE_DEMO_SHINE="7").stdout) == {"shine": 7}
    assert json.loads(run("--shine", "5", VREMOVE_DEMO_SHINE="7").stdout) == {"shine": 5}


def test_the_settings_file_is_checked_against_it(run: Run, tmp_path: Path) -> None:
    for line, says in (
        ("shine = 99", f"{settings.FILE}:2: --shine 99 is out of range"),
        ("shine = 'much'", f"{settings.FILE}:2: --shine much is not a whole number"),
        ("shin = 4", "has no option 'shin': did you mean 'shine'"),
    ):
        (tmp_path / settings.FILE).write_text(f"[demo]\n{line}\n")
        with pytest.raises(UsageError, match=says):
            settings.load(options_of_commands())


def test_the_python_api_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = keyword_types.source(MoreOptions).splitlines()
    first, second = (next(k for k, line in enumerate(lines) if line.startswith(f"class {n}Options(")) for n in KINDS)
    assert "    shine: int" in lines[first:second]
    with pytest.raises(UsageError, match="--shine 10 is out of range: give a whole number"):
        values_from(MoreOptions, {"shine": 10})
    monkeypatch.setattr(request, "Request", MoreOptions)
    clip, masks = write_clip(tmp_path / "clip.mp4"), write_masks(tmp_path / "masks")
    made = make_request(str(clip), None, {"mask": masks, "shine": "8"})
    assert isinstance(made, MoreOptions)
    assert made.shine == 8
    options: dict[str, Any] = {"mask": masks, "shine": 10}
    with pytest.raises(UsageError, match="--shine 10 is out of range"):
        vremove_cli.erase(clip, **options)
    assert not clip.with_name("clip.clean.mp4").exists()


WITH_ONE_MORE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import vremove_cli.job.request as request
from dataclasses import dataclass
from vremove_cli.options import Panel, option

@dataclass(frozen=True)
class Request(request.Request):
    shine: int = option(3, "How much it shines.", panel=Panel.OUTPUT, metavar="WATTS", maximum=9)

request.Request = Request
from vremove_cli.app import main
main()
"""


def of_kelvin(value: float) -> str:
    """Return the text of a temperature."""
    return f"{value:g}K"


@dataclass(frozen=True)
class Lamps:
    """Fields of kinds whose Python type is not the field's own."""

    heat: str | None = option(None, "How hot it is.", metavar="KELVIN", convert=of_kelvin)
    glow: tuple[str, ...] = option((), "How hot each is.", metavar="KELVIN", convert=of_kelvin)
    film: str = option("auto", "Where it is written.", metavar="FILE", path=True, words=("auto",))
    mode: Literal["on", "off", "dim"] = option("on", "How it burns.")
    watts: int | Literal["auto"] | None = option(None, "How strong it is.")


def test_the_keyword_type_comes_from_the_field_and_its_converter() -> None:
    types = {name: keyword_types.keyword_type(opt) for name, opt in options_of(Lamps).items()}
    assert types == {
        "heat": "str | float | None",
        "glow": "str | float | Sequence[str | float]",
        "film": "File",
        "mode": 'Literal["on", "off", "dim"] | bool',
        "watts": 'int | Literal["auto"] | None',
    }
    assert values_from(Lamps, {"heat": 300, "glow": [1.5, "2K"]}) == {"heat": "300K", "glow": ("1.5K", "2K")}


def test_the_real_commands_and_the_plan_have_it(tmp_path: Path) -> None:
    clip, masks = write_clip(tmp_path / "clip.mp4"), write_masks(tmp_path / "masks")

    def vremove(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", WITH_ONE_MORE, *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "COLUMNS": "100", **environment},
        )  # fmt: skip

    assert "How much it shines. [3]" in vremove("erase", "--help").stdout
    assert "--shine" not in vremove("mask", "--help").stdout, "the field is not about tracking"
    refused = vremove("erase", clip, "--mask", masks, "--shine", "10")
    assert refused.returncode == 2
    assert "--shine 10 is out of range" in refused.stderr
    (tmp_path / settings.FILE).write_text("[erase]\nshine = 6\n")
    done = vremove("plan", clip, "--mask", masks, "--work", tmp_path / "w")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "w" / "plan.json").read_text())["request"]["shine"] == 6


def test_the_typed_keywords_are_those_of_the_fields(tmp_path: Path) -> None:
    stored = (ROOT / "vremove_cli" / "option_types.py").read_text(encoding="utf-8")
    made = tmp_path / "option_types.py"
    made.write_text(keyword_types.source(), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "--config", str(ROOT / "pyproject.toml"), str(made)]
    if subprocess.run([sys.executable, "-m", "ruff", "--version"], capture_output=True).returncode == 0:
        subprocess.run(ruff, check=True)
    assert made.read_text(encoding="utf-8") == stored, "run `python -m vremove_cli.job.keyword_types`"


def test_every_option_has_a_keyword_type() -> None:
    from vremove_cli import option_types

    annotated = option_types.EraseOptions.__annotations__
    assert set(annotated) == {*options_of(Request), *options_of(request.Exports)}
    assert set(option_types.MaskOptions.__annotations__) == {
        name for kind in (Request, request.Exports) for name, opt in options_of(kind).items() if opt.tracking
    }
