"""Commands made from option dataclasses: their parameters, environment names and help come from the fields.

`command()` wraps a function that takes what it declares itself, and one argument `given`: all option values, sorted by
the dataclass that declares them. The wrapper's signature is what Typer reads.
"""

import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import OptionInfo

from vremove_cli.console import Console
from vremove_cli.errors import DoubtfulError, UsageError
from vremove_cli.options import Option, Panel, option, options_of, values_from

if TYPE_CHECKING:
    from vremove_cli.job.render import Summary

PREFIX = "VREMOVE"  # of environment variables: VREMOVE_ERASE_CRF is the --crf of `vremove erase`


@dataclass(frozen=True)
class PrintOptions:
    """Options about what a command prints."""

    json: bool = option(False, "Print JSON: one object a line.", panel=Panel.OUTPUT, tracking=True)
    progress: Literal["auto", "json", "none"] = option(
        "auto", "How progress is shown.", panel=Panel.OUTPUT, tracking=True
    )
    log: str | None = option(
        None, "Write what is shown to a file, too.", panel=Panel.OUTPUT, metavar="FILE", path=True, tracking=True
    )
    quiet: bool = option(False, "Print errors only.", panel=Panel.OUTPUT, tracking=True, short="q")
    debug: bool = option(False, "Print tracebacks.", panel=Panel.ADVANCED, tracking=True)


@dataclass(frozen=True)
class StrictOptions:
    """When a result that was written is still a failure."""

    strict: bool = option(False, "Exit with 8 if the result is doubtful.", panel=Panel.OUTPUT, tracking=True)


@dataclass(frozen=True)
class BatchOptions:
    """Options about many clips."""

    batch: str | None = option(None, "Jobs from a .csv or .jsonl.", panel=Panel.OUTPUT, metavar="FILE")
    jobs: int = option(1, "Clips at once.", panel=Panel.OUTPUT, metavar="N", minimum=1, maximum=256)
    skip_existing: bool = option(False, "Leave out clips that are done.", panel=Panel.OUTPUT)


@dataclass(frozen=True)
class RayOptions:
    """Options about a cluster that does the work."""

    ray: str | None = option(None, "Ray cluster: auto, local, address.", metavar="ADDRESS")
    ray_transfer: Literal["shared", "objects"] = option("shared", "How Ray's nodes get files.")
    ray_workers: int | None = option(None, "Ray's workers with networks.", metavar="N", minimum=1, maximum=4096)
    gpu_type: str | None = option(None, "GPU model that networks need.", metavar="NAME")


def _check_gpu_type(text: str) -> None:
    """Raise `UsageError` for a type of GPU that no scheduler can name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", text):
        raise UsageError(f"--gpu-type {text} is no type of GPU", "give it as the cluster names it, such as a100")


@dataclass(frozen=True)
class ExportOptions:
    """Options about plans that a scheduler will carry out."""

    export: Literal["openjd", "slurm"] | None = option(None, "Write the plan for a scheduler.", panel=Panel.OUTPUT)
    export_to: str | None = option(
        None, "Where: .json or .yaml; .sh of Slurm.", panel=Panel.OUTPUT, metavar="FILE", path=True
    )
    workers: int | None = option(
        None, "Workers at once. \\[what finds work]", panel=Panel.OUTPUT, metavar="N", minimum=1, maximum=8
    )
    gpu_type: str | None = option(
        None, "GPUs, as Slurm names them.", panel=Panel.OUTPUT, metavar="NAME", check=_check_gpu_type
    )


_COMMANDS: dict[str, dict[str, Option | None]] = {}


class _NoTypes:
    """Takes Python types, such as `<bool>`, out of a command's help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, flags without a metavar and arguments without a type."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if param.param_type_name == "argument":
                param.display_type = lambda _: None
            elif param.is_flag:
                param.metavar = ""
        return params


class PlainHelp(_NoTypes, TyperCommand):
    """A command whose help shows no Python types."""


class PlainGroup(_NoTypes, TyperGroup):
    """A group of commands whose help shows no Python types."""


def options_of_commands() -> dict[str, dict[str, Option | None]]:
    """Return the options that vremove.toml may set, by command and name; None for one that its command declares."""
    return {name: known for name, known in _COMMANDS.items() if not name.startswith("models_")}


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
        *kinds: The dataclasses; `PrintOptions` is always among them.
        name: Name of the command, for the environment variables.
        settings_of: Another command whose environment variables count here, too.
        only: Which options the command has.
        defaults: Other defaults than the fields', by option name.
    """
    groups = {kind: [o for o in options_of(kind).values() if only(o)] for kind in (*kinds, PrintOptions)}
    default_of = {o.name: o.default for group in groups.values() for o in group} | (defaults or {})
    order = list(Panel)
    listed = sorted((o for group in groups.values() for o in group), key=lambda o: order.index(o.panel))
    prefixes = [name, *filter(None, [settings_of])]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "given"]
        _COMMANDS[name] = {**dict.fromkeys(p.name for p in own if _is_option(p)), **{o.name: o for o in listed}}

        @functools.wraps(function)
        def wrapper(**values: Any) -> None:
            by_kind = {
                kind: {o.name: values[o.name] for o in group if values[o.name] not in (None, [], default_of[o.name])}
                for kind, group in groups.items()
            }
            explicit = {p.name: values[p.name] for p in own}
            function(**explicit, given=Given(by_kind))

        parameters = [*own, *(_parameter(o, prefixes, default_of[o.name]) for o in listed)]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {}
        return wrapper

    return decorate


def _is_option(parameter: inspect.Parameter) -> bool:
    """Return whether a command's own parameter is an option, and not an argument."""
    return any(isinstance(fact, OptionInfo) for fact in getattr(parameter.annotation, "__metadata__", ()))


def _parameter(opt: Option, prefixes: list[str], default: Any) -> inspect.Parameter:
    """Return an option as a parameter for Typer; values are checked later, by the option itself."""
    flags = [opt.flag, *([f"-{opt.short}"] if opt.short else [])]
    if opt.item is bool and default is True:
        flags = [f"{opt.flag}/--no-{opt.name.replace('_', '-')}"]
    annotation: Any = bool if opt.item is bool else str | None
    shown = default
    if opt.repeats:
        annotation, default = list[str] | None, None
    elif opt.item is not bool:
        default = None
    info = typer.Option(
        *flags,
        help=_help(opt, shown),
        metavar=opt.metavar or None,
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


def _help(opt: Option, default: Any) -> str:
    """Return an option's phrase with its default and the removers that use it."""
    users = f" ({', '.join(opt.removers)})" if 0 < len(opt.removers) < 4 else ""
    if default in (None, (), "") or default is False:
        return f"{opt.help}{users}"
    return f"{opt.help}{users} \\[{'on' if default is True else default}]"


@contextmanager
def reporting(given: Given, source: str | None = None) -> Iterator[Console]:
    """Yield a console, and turn any failure inside into its sentence and exit status.

    Args:
        given: The option values of the call.
        source: The clip that a failure is about.
    """
    values = given.of(PrintOptions)
    console = Console(
        as_json=bool(values.get("json")), quiet=bool(values.get("quiet")), debug=bool(values.get("debug"))
    )
    console.input = source
    try:
        options = given.read(PrintOptions)
        console.use_progress(options.progress)
        if options.log:
            from vremove_cli.logbook import Logbook

            console.use_log(Logbook(options.log))
        yield console
    except typer.Exit:
        raise
    except BaseException as error:
        raise typer.Exit(int(console.complain(error))) from None


def tell_doubts(console: Console, given: Given, summary: "Summary", name: str) -> str:
    """Tell why the result of one of several jobs is doubtful, as `refuse_doubtful` does; return it, or ""."""
    try:
        refuse_doubtful(given, summary)
    except DoubtfulError as error:
        console.complain(error, name)
        return error.problem
    return ""


def refuse_doubtful(given: Given, summary: "Summary") -> None:
    """Raise `DoubtfulError` with --strict for a result that is written and doubtful."""
    if summary.doubts and given.read(StrictOptions).strict:
        reasons = "; ".join(note.text for note in summary.doubts)
        problem = f"{summary.output} is written and doubtful, since {reasons}"
        raise DoubtfulError(problem, "look at these frames, and correct the mask there with a point or a box")
