"""The command line: wires the commands, nothing else."""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from vremove_cli import __version__, settings
from vremove_cli.commands.erase import erase
from vremove_cli.commands.look import doctor, frame, info
from vremove_cli.commands.mask import mask
from vremove_cli.commands.steps import finish, plan, work
from vremove_cli.console import Console
from vremove_cli.errors import VremoveError

app = typer.Typer(
    name="vremove",
    help="Erase an object from a video and get the same video back, with nothing else touched.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "VREMOVE"},
)
for command in (erase, mask, frame, info, plan, work, finish, doctor):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def _terminated(signum: int, where: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the `vremove` command."""
    for name in ("SIGTERM", "SIGHUP"):  # there is no SIGHUP on Windows
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _terminated)
    try:
        defaults = settings.load()
    except VremoveError as error:
        sys.exit(int(Console().fail(error)))
    try:
        app(default_map=defaults)
    except KeyboardInterrupt as error:
        sys.exit(int(Console().fail(error)))


if __name__ == "__main__":
    main()
