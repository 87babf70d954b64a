"""How one dataclass field becomes one option: its command-line name, help, type and check, all read from the field.

`option()` declares a field. `options_of()` lists what a dataclass declares. `checked()` turns a value from the command
line, the environment, vremove.toml or the Python API into the field's own type, or raises `UsageError`.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from functools import cache
from math import isfinite
from numbers import Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from vremove_cli.errors import UsageError


class Panel(StrEnum):
    """The groups of `--help`, in the order in which they are shown."""

    EVERYDAY = "Options"
    NETWORKS = "Network removers"
    OUTPUT = "Output"
    ADVANCED = "Advanced"


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: Name of the dataclass field and of the Python keyword, such as `not_point`.
        type: Resolved type annotation of the field.
        default: Value when nobody gives one.
        help: One phrase for `--help`.
        panel: Group of `--help` it is listed in.
        metavar: Form of the value as `--help` shows it.
        minimum: Smallest number allowed.
        maximum: Largest number allowed.
        path: Whether the value names a file or folder; it is made absolute, unless it is one of `words`.
        words: Words that are allowed beside a path.
        convert: Turns a Python value (a pair of numbers, say) into the text that the command line takes; raises
            `TypeError` or `ValueError` for a wrong one. The Python API's type is that of its argument `value`.
        check: Raises `UsageError` for a value that has the right type and is still wrong.
        removers: Removers that use it; empty: it is not about removers.
        tracking: Whether `vremove mask` has it too.
        short: One-letter flag.
        everywhere: Whether one environment variable sets it for all commands.
    """

    name: str
    type: Any
    default: Any
    help: str
    panel: Panel
    metavar: str
    minimum: float | None
    maximum: float | None
    path: bool
    words: tuple[str, ...]
    convert: Callable[[Any], str] | None
    check: Callable[[Any], None] | None
    removers: tuple[str, ...]
    tracking: bool
    short: str
    everywhere: bool

    @property
    def flag(self) -> str:
        """The command-line name, such as `--not-point`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def repeats(self) -> bool:
        """Whether it can be given several times."""
        return get_origin(self.type) is tuple

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that are allowed, if only some are."""
        members = get_args(self.type) if get_origin(self.type) in (Union, UnionType) else (self.type,)
        literals = [m for m in members if get_origin(m) is Literal]
        return get_args(literals[0]) if literals else ()

    @property
    def converted_type(self) -> Any:
        """The Python type that `convert` takes beside text; None without a converter."""
        return get_type_hints(self.convert)["value"] if self.convert is not None else None

    @property
    def item(self) -> type:
        """The plain type of one value: bool, int, float or str."""
        inner = get_args(self.type)[0] if self.repeats else self.type
        members = set(get_args(inner)) - {NoneType} if get_origin(inner) in (Union, UnionType) else {inner}
        return next((t for t in (bool, int, float) if t in members), str)


def option(
    default: Any,
    help: str,
    *,
    panel: Panel = Panel.ADVANCED,
    metavar: str = "",
    minimum: float | None = None,
    maximum: float | None = None,
    path: bool = False,
    words: tuple[str, ...] = (),
    convert: Callable[[Any], str] | None = None,
    check: Callable[[Any], None] | None = None,
    removers: tuple[str, ...] = (),
    tracking: bool = False,
    short: str = "",
    everywhere: bool = False,
) -> Any:
    """Declare a dataclass field that is an option; see `Option` for the arguments."""
    facts = {
        "help": help,
        "panel": panel,
        "metavar": metavar,
        "minimum": minimum,
        "maximum": maximum,
        "path": path,
        "words": words,
        "convert": convert,
        "check": check,
        "removers": removers,
        "tracking": tracking,
        "short": short,
        "everywhere": everywhere,
    }
    return field(default=default, metadata={"option": facts})


@cache
def options_of(kind: type) -> dict[str, Option]:
    """Return the options that a dataclass declares, by name, in the order of its fields."""
    hints = get_type_hints(kind)
    return {f.name: _option(f, hints[f.name]) for f in fields(kind) if "option" in f.metadata}


def _option(declared: Field[Any], hint: Any) -> Option:
    default = None if declared.default is MISSING else declared.default
    made = Option(name=declared.name, type=hint, default=default, **declared.metadata["option"])
    return made if made.metavar or not made.choices else Option(**{**vars(made), "metavar": "|".join(made.choices)})


def checked(opt: Option, value: Any) -> Any:
    """Return a value in the option's own type.

    Args:
        opt: The option.
        value: What was given: text, a number, a path, or a list of those where the option repeats.

    Returns:
        The value as the dataclass field holds it; a tuple where the option repeats.

    Raises:
        UsageError: The value is of another type, out of range, or none of the allowed words.
    """
    if value is None:
        return opt.default
    if not opt.repeats:
        return _checked_item(opt, value)
    return tuple(_checked_item(opt, v) for v in _several(opt, value))


def _several(opt: Option, value: Any) -> list[Any]:
    """Return the values of an option that repeats; one pair of numbers is one value where values are pairs."""
    if isinstance(value, str | bytes | os.PathLike | Mapping) or not isinstance(value, Iterable):
        return [value]
    values = list(value)
    is_one = get_origin(opt.converted_type) is tuple and values and isinstance(values[0], Real)
    return [values] if is_one else values


def _checked_item(opt: Option, value: Any) -> Any:
    """Return one value in the option's plain type."""
    if opt.convert is not None and not isinstance(value, str):
        try:
            value = opt.convert(value)
        except (TypeError, ValueError, OverflowError):
            problem = f"{opt.flag} {value!r} is not {opt.metavar}"
            raise UsageError(problem, f"give {opt.metavar} as text or as numbers") from None
    if opt.choices:
        value = _chosen(opt, value)
    elif opt.item is bool:
        value = _boolean(opt, value)
    elif opt.item in (int, float):
        value = _number(opt, value)
    else:
        value = _text(opt, value)
    if opt.check is not None and value is not None:
        opt.check(value)
    return value


def _chosen(opt: Option, value: Any) -> Any:
    """Return one of the allowed words, or a number where the option takes one beside them."""
    if isinstance(value, bool) and "off" in opt.choices:  # recover=False is recover="off"
        value = "on" if value else "off"
    if isinstance(value, str) and value in opt.choices:
        return value
    if opt.item in (int, float):
        return _number(opt, value, f", or {' or '.join(opt.choices)}")
    raise UsageError(f"{opt.flag} {value} is unknown", f"choose one of {', '.join(opt.choices)}")


def _boolean(opt: Option, value: Any) -> bool:
    words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise UsageError(f"{opt.flag} {value} is neither true nor false", "write true or false")
    return found


def _number(opt: Option, value: Any, beside: str = "") -> int | float:
    """Return a finite number within the option's range."""
    whole = opt.item is int
    kind = "a whole number" if whole else "a number"
    try:
        number: int | float = int(value) if whole else float(value)
        if isinstance(value, bool) or not isfinite(number) or (whole and float(value) != number):
            raise ValueError(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{opt.flag} {value} is not {kind}", f"give {kind}{beside}") from None
    low, high = opt.minimum, opt.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        limits = [f"of at least {low:g}"] if low is not None else []
        limits += [f"of at most {high:g}"] if high is not None else []
        raise UsageError(f"{opt.flag} {value} is out of range", f"give {kind} {' and '.join(limits)}{beside}")
    return number


def _text(opt: Option, value: Any) -> str | None:
    """Return text, or an absolute path."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise UsageError(f"{opt.flag} {value!r} is not a text", f"give {opt.metavar or 'a text'}")
    refuse_odd_name(value)
    if opt.path and value and value not in opt.words:
        return str(Path(value).absolute())
    return value


def refuse_odd_name(name: str) -> None:
    """Raise `UsageError` for a name whose bytes are not UTF-8: plans and reports could not hold it."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="backslashreplace").decode()
        raise UsageError(f"the name {shown} is not valid UTF-8", "rename it first") from None


def values_from(kind: type, given: dict[str, Any]) -> dict[str, Any]:
    """Check all options of a dataclass at once.

    Args:
        kind: Dataclass that declares the options.
        given: Values by option name; what is missing gets its default.

    Returns:
        Checked values of all options that were given.

    Raises:
        UsageError: A value is wrong, or a name is not an option.
    """
    known = options_of(kind)
    refuse_unknown(given, known)
    return {name: checked(known[name], value) for name, value in given.items()}


def refuse_unknown(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `UsageError` for the first given name that is not a known option."""
    names = list(known)
    for name in given:
        if name not in names:
            raise UsageError(f"there is no option '{name}'", nearest(name, names))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return advice that names the known word most like `name`."""
    from difflib import get_close_matches

    words = list(known)
    close = get_close_matches(name, words, 1, 0.5)
    return f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(words)}"
