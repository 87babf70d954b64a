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
from vremove_cli.commands.models import models
from vremove_cli.commands.steps import finish, plan, work
from vremove_cli.console import Console
from vremove_cli.errors import UsageError, VremoveError

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
app.add_typer(models, name="models")


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
    sys.argv[1:] = sys.argv[1:] or ["--help"]
    talk = Console(as_json="--json" in sys.argv)
    try:
        status = app(default_map=settings.load(), standalone_mode=False)
    except (VremoveError, KeyboardInterrupt) as error:
        sys.exit(int(talk.fail(error)))
    except Exception as error:
        sys.exit(int(talk.fail(_told_by_the_parser(error))))
    sys.exit(status if isinstance(status, int) else 0)


def _told_by_the_parser(error: Exception) -> Exception:
    """The command line parser's own complaint as one of ours; any other exception as it is."""
    message = getattr(error, "format_message", None)  # Typer brings its own copy of Click, or uses the one installed
    if message is None:
        return error
    command = getattr(getattr(error, "ctx", None), "command_path", "vremove")
    return UsageError(str(message()).rstrip("."), f"`{command} --help` says what there is")


if __name__ == "__main__":
    main()
