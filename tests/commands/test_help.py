"""The help: short, in order, with defaults and an example; completion of names and choices."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from support.command import Vremove
from vremove_cli import app
from vremove_cli.commands.signature import PrintOptions, StrictOptions, options_of_commands
from vremove_cli.job.file_options import FileOptions
from vremove_cli.job.request import Exports, Request
from vremove_cli.options import Panel, options_of

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "erase", "score", "mask", "frame", "info", "plan", "work", "finish", "doctor", "models",
    *(f"models {name}" for name in ("list", "show", "pull", "verify", "rm", "lock")),
)  # fmt: skip
FIELDS = {
    o.name: o
    for kind in (Request, Exports, FileOptions, StrictOptions, PrintOptions)
    for o in options_of(kind).values()
}


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def help_of(vremove: Vremove, command: str) -> str:
    done = vremove(*command.split(), "--help")
    assert done.status == 0
    return done.stdout


def panels_of(text: str) -> dict[str, str]:
    """Return the text of each box of a help page, by its title, in order."""
    parts = re.split(r"╭─ ([\w ]+?) ─+╮\n", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def flags_of(panel: str) -> list[str]:
    """Return the long flags that begin a row."""
    return re.findall(r"^│[ *]*(--[\w-]+)", panel, re.MULTILINE)


def entry_of(panel: str, flag: str) -> str:
    """Return the text of a flag's rows, with its spaces made single."""
    rows = re.split(r"^│[ *]*(?=--)", panel, flags=re.MULTILINE)
    (row,) = [r for r in rows if r.split()[:1] == [flag]]
    return " ".join(re.sub(r"[│╰─╯]", " ", row).split())


def test_erase_fits_and_is_in_order(vremove: Vremove) -> None:
    text = help_of(vremove, "erase")
    assert len(text.splitlines()) <= 135
    assert max(len(line) for line in text.splitlines()) <= 80
    panels = panels_of(text)
    assert list(panels) == ["Arguments", "Options", "Network removers", "Output", "Advanced"]
    assert list(panels)[1:] == [str(p) for p in Panel]
    everyday = flags_of(panels["Options"])
    assert {"--output", "--point", "--box", "--mask", "--text", "--start", "--end", "--overwrite"} <= set(everyday)
    assert len(everyday) <= 20


def test_an_option_stands_in_the_panel_of_its_field(vremove: Vremove) -> None:
    panels = panels_of(help_of(vremove, "erase"))
    for name, known in options_of_commands()["erase"].items():
        if known is not None:
            assert known.flag in flags_of(panels[known.panel]), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example_and_no_machinery(vremove: Vremove, command: str) -> None:
    text = help_of(vremove, command)
    assert not re.search(r"<\w+>|\bBOOLEAN\b|\bTEXT\.\.\.", text)
    boxes = "".join(panels_of(text).values())
    assert "VREMOVE_" not in boxes
    assert "env var" not in boxes
    examples = [line.strip() for line in text.splitlines() if line.startswith(" vremove ")]
    assert examples, "no example"
    assert all(line.startswith(f"vremove {command}") for line in examples)
    usage = next(line for line in text.splitlines() if "Usage:" in line)
    assert usage.strip().startswith(f"Usage: vremove {command}")


def test_the_first_page_shows_an_example(vremove: Vremove) -> None:
    text = vremove("--help").stdout
    assert "\n vremove erase clip.mp4 --point 320,240 " in text
    assert "<" not in text
    assert "--show-completion" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_commands_that_parse(command: str) -> None:
    root: Any = typer.main.get_command(app.app)
    found: Any = root
    for name in command.split():
        found = found.commands[name]
    examples = re.findall(r"^vremove (.+)$", found.help, re.MULTILINE)
    assert examples
    for line in examples:
        assert len(f" vremove {line}") < 80, "it would be wrapped"
        words = line.split()[len(command.split()) :]
        target = found if not hasattr(found, "commands") else root.commands["models"].commands[line.split()[1]]
        target.make_context(command, words if target is found else [], resilient_parsing=False)


def test_defaults_are_shown(vremove: Vremove) -> None:
    panels = panels_of(help_of(vremove, "erase"))
    for name, known in options_of_commands()["erase"].items():
        if known is None or known.default in (None, (), "") or known.default is False:
            continue
        assert entry_of(panels[known.panel], known.flag).endswith(f"[{known.default}]"), name
    assert entry_of(panels["Network removers"], "--seed").endswith("[0]")
    assert entry_of(panels["Options"], "--output").endswith("[{stem}.clean{ext}]")
    assert entry_of(panels_of(help_of(vremove, "mask"))["Output"], "--keep-work").endswith("[on]")
    assert entry_of(panels_of(help_of(vremove, "frame"))["Options"], "--at").endswith("[0]")


def test_help_names_the_removers_that_use_an_option(vremove: Vremove) -> None:
    networks = panels_of(help_of(vremove, "erase"))["Network removers"]
    assert "(rorem, rose, void)" in entry_of(networks, "--guidance")
    assert "(void)" in entry_of(networks, "--second-pass")
    assert "(" not in entry_of(networks, "--size"), "all networks use it"


@pytest.mark.parametrize(
    ("words", "choices"),
    [
        ("vremove erase x --quality ", ["draft", "standard", "best"]),
        ("vremove erase x --quality d", ["draft"]),
        ("vremove erase x --device c", ["cuda", "cpu"]),
        ("vremove mask x --progress ", ["auto", "json", "none"]),
        ("vremove erase x --write-m", ["--write-mask", "--write-matte"]),
        ("vremove mo", ["models"]),
    ],
)
def test_choices_are_completed(words: str, choices: list[str]) -> None:
    code = "import sys; sys.argv = ['vremove']; from vremove_cli.app import main; main()"
    asked = {"_VREMOVE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env={**os.environ, **asked}
    )
    assert done.stdout.split() == choices, done.stderr


def test_every_choice_has_a_completion() -> None:
    root: Any = typer.main.get_command(app.app)
    for command in (root.commands["erase"], root.commands["mask"], root.commands["plan"]):
        for param in command.params:
            known = FIELDS.get(param.name)
            if known is not None and known.choices:
                context = command.make_context("x", [], resilient_parsing=True)
                assert [c.value for c in param.shell_complete(context, "")] == list(known.choices)


def test_a_completion_script_is_there(vremove: Vremove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    done = vremove("--show-completion")
    assert done.status == 0
    assert "_VREMOVE_COMPLETE=complete_bash" in done.stdout
    assert done.stdout.rstrip().endswith("vremove")
