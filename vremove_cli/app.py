"""The command line: wires the commands, nothing else."""

import os
import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from vremove_cli import __version__, settings
from vremove_cli.commands.doctor import doctor
from vremove_cli.commands.erase import erase
from vremove_cli.commands.finish import finish
from vremove_cli.commands.frame import frame
from vremove_cli.commands.info import info
from vremove_cli.commands.mask import mask
from vremove_cli.commands.models import models
from vremove_cli.commands.pick import pick
from vremove_cli.commands.plan import plan
from vremove_cli.commands.review import review
from vremove_cli.commands.score import score
from vremove_cli.commands.signature import PlainGroup, PlainHelp, options_of_commands
from vremove_cli.commands.work import work
from vremove_cli.console import Console
from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.options import nearest

_NO_COMMAND = re.compile(r"No such command '([^']*)'.*")

app = typer.Typer(
    name="vremove",
    cls=PlainGroup,
    help="Erase an object from a video and get the same video back, with nothing else touched.\n\n"
    "vremove erase clip.mp4 --point 320,240",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (erase, pick, review, score, mask, frame, info, plan, work, finish, doctor):
    app.command(cls=PlainHelp)(command)
app.add_typer(models, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the `vremove` command."""
    sys.argv[1:] = sys.argv[1:] or ["--help"]
    console = Console(as_json="--json" in sys.argv, progress="json" if _wants_json_progress() else "auto")
    try:
        status = app(prog_name="vremove", default_map=_settings(), standalone_mode=False)
    except (VremoveError, KeyboardInterrupt) as error:
        sys.exit(int(console.fail(error)))
    except Exception as error:
        sys.exit(int(console.fail(_as_usage_error(error))))
    sys.exit(status if isinstance(status, int) else 0)


def _wants_json_progress() -> bool:
    """Return whether the command line, which may not parse, asks for --progress json."""
    return "--progress=json" in sys.argv or ("--progress", "json") in pairwise(sys.argv)


def _settings() -> dict[str, Any]:
    """Return the settings of vremove.toml; none for help and `doctor`, which a broken file must not prevent."""
    if {"-h", "--help", "--version"} & set(sys.argv) or sys.argv[1] == "doctor":
        return {}
    return settings.load(options_of_commands())


def _as_usage_error(error: Exception) -> Exception:
    """Return the parser's own complaint as a `UsageError`; any other exception as it is."""
    message = getattr(error, "format_message", None)  # Typer brings its own copy of Click, or uses the one installed
    if message is None:
        return error
    text = str(message()).rstrip(".")
    if (unknown := _NO_COMMAND.fullmatch(text)) is not None:
        return UsageError(f"there is no command '{unknown[1]}'", _command_meant(unknown[1]))
    param = getattr(error, "param", None)
    if getattr(param, "is_flag", False):  # the parser reads the value of a flag from the environment only
        name = next((name for name in [*(getattr(param, "envvar", None) or ())] if name in os.environ), "")
        if name:
            return UsageError(f"{name}={os.environ[name]} is neither true nor false", "set it to 1 or 0")
    command = getattr(getattr(error, "ctx", None), "command_path", "vremove")
    return UsageError(text, f"`{command} --help` lists the options")


def _command_meant(word: str) -> str:
    """Return advice for what stands where a command should: a clip, or another word."""
    if Path(word).exists() or Path(word).suffix:
        return f"did you mean `vremove erase {word}`?"
    return nearest(word, [*options_of_commands(), "models"])
