"""Commands made from option dataclasses: their parameters, environment names and help come from the fields.

`command()` wraps a function that takes what it declares itself, and one argument `given`: all option values, sorted by
the dataclass that declares them. The wrapper's signature is what Typer reads.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from vremove_cli.console import Console
from vremove_cli.job.options import Option, Panel, option, options_of, values_from

PREFIX = "VREMOVE"  # of environment variables: VREMOVE_ERASE_CRF is the --crf of `vremove erase`


@dataclass(frozen=True)
class Running:
    """Options about files of a run, not about the picture."""

    overwrite: bool = option(False, "Replace an existing output.", panel=Panel.EVERYDAY, tracking=True)
    work: str | None = option(
        None, "Folder for work files.", panel=Panel.OUTPUT, metavar="DIR", path=True, tracking=True
    )
    keep_work: bool = option(False, "Keep the work files.", panel=Panel.OUTPUT)


@dataclass(frozen=True)
class Talking:
    """Options about what a command prints."""

    json: bool = option(False, "Print one JSON object.", panel=Panel.OUTPUT, tracking=True)
    progress: Literal["auto", "json", "none"] = option(
        "auto", "How progress is shown.", panel=Panel.OUTPUT, tracking=True
    )
    quiet: bool = option(False, "Print errors only.", panel=Panel.OUTPUT, tracking=True, short="q")
    debug: bool = option(False, "Print tracebacks.", panel=Panel.ADVANCED, tracking=True)


_COMMANDS: dict[str, dict[str, Option]] = {}


class PlainHelp(TyperCommand):
    """A command whose help shows no Python types, such as `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, with the types taken out of what help shows."""
        params: list[Any] = super().get_params(ctx)
        for param in params:
            if param.param_type_name == "argument":
                param.display_type = lambda ctx: None
            elif param.name == "help":
                param.metavar = ""
        return params


def options_of_commands() -> dict[str, dict[str, Option]]:
    """Return the options of each command that is made from option dataclasses, by name."""
    return _COMMANDS


@dataclass(frozen=True)
class Given:
    """Option values of one call, as text, numbers and booleans.

    Attributes:
        by_kind: Values by option name, sorted by the dataclass that declares them; options that nobody gave are left
            out.
    """

    by_kind: dict[type, dict[str, Any]]

    def of(self, kind: type) -> dict[str, Any]:
        """Return the values of one dataclass's options."""
        return self.by_kind[kind]

    def read(self, kind: type) -> Any:
        """Return one dataclass with checked values."""
        return kind(**values_from(kind, self.of(kind)))


def command(
    *kinds: type,
    name: str,
    settings_of: str = "",
    only: Callable[[Option], bool] = lambda _: True,
    defaults: dict[str, Any] | None = None,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command the options of some dataclasses.

    Args:
        *kinds: The dataclasses; `Talking` is always among them.
        name: Name of the command, for the environment variables.
        settings_of: Another command whose environment variables count here, too.
        only: Which options the command has.
        defaults: Other defaults than the fields', by option name.
    """
    groups = {kind: [o for o in options_of(kind).values() if only(o)] for kind in (*kinds, Talking)}
    order = list(Panel)
    listed = sorted((o for group in groups.values() for o in group), key=lambda o: order.index(o.panel))
    prefixes = [name, *filter(None, [settings_of])]
    _COMMANDS[name] = {o.name: o for o in listed}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "given"]

        @functools.wraps(function)
        def wrapper(**values: Any) -> None:
            by_kind = {
                kind: {o.name: values[o.name] for o in group if values[o.name] not in (None, [])}
                for kind, group in groups.items()
            }
            explicit = {p.name: values[p.name] for p in own}
            function(**explicit, given=Given(by_kind))

        parameters = [*own, *(_parameter(o, prefixes, (defaults or {}).get(o.name, o.default)) for o in listed)]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {}
        return wrapper

    return decorate


def _parameter(opt: Option, prefixes: list[str], default: Any) -> inspect.Parameter:
    """Return an option as a parameter for Typer; values are checked later, by the option itself."""
    flags = [opt.flag, *([f"-{opt.short}"] if opt.short else [])]
    if opt.item is bool and default is True:
        flags = [f"{opt.flag}/--no-{opt.name.replace('_', '-')}"]
    annotation: Any = bool if opt.item is bool else str | None
    if opt.repeats:
        annotation, default = list[str] | None, None
    elif opt.item is not bool:
        default = None
    info = typer.Option(
        *flags,
        help=_help(opt),
        metavar=opt.metavar if opt.item is not bool else "",
        envvar=environment_names(opt, prefixes),
        show_envvar=False,
        show_default=False,
        rich_help_panel=None if opt.panel is Panel.EVERYDAY else str(opt.panel),
        autocompletion=(lambda: list(opt.choices)) if opt.choices else None,
    )
    return inspect.Parameter(
        opt.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, info]
    )


def environment_names(opt: Option, commands: list[str]) -> list[str]:
    """Return the environment variables that set an option of some commands, the first of which counts."""
    own = [f"{PREFIX}_{command.upper()}_{opt.name.upper()}" for command in commands]
    return [*own, f"{PREFIX}_{opt.name.upper()}"] if opt.everywhere else own


def _help(opt: Option) -> str:
    """Return an option's phrase with its default and the removers that use it."""
    users = f" ({', '.join(opt.removers)})" if 0 < len(opt.removers) < 4 else ""
    default = f" \\[{opt.default}]" if opt.default not in (None, (), "", False) else ""
    return f"{opt.help}{users}{default}"


@contextmanager
def reporting(given: Given) -> Iterator[Console]:
    """Yield a console, and turn any failure inside into its sentence and exit status."""
    values = given.of(Talking)
    console = Console(
        as_json=bool(values.get("json")), quiet=bool(values.get("quiet")), debug=bool(values.get("debug"))
    )
    try:
        console.use_progress(given.read(Talking).progress)
        yield console
    except typer.Exit:
        raise
    except BaseException as error:
        raise typer.Exit(int(console.fail(error))) from None
