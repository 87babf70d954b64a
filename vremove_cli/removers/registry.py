"""Removers by name: the built-in ones, those of installed packages, and those that a program registers.

A package provides a remover by an entry point in the group `vremove.removers`; see docs/plugins.md.
"""

from collections.abc import Callable
from dataclasses import fields

from vremove_cli import plugins
from vremove_cli.errors import UsageError, VremoveError
from vremove_cli.removers.base import Remover, RemoverSpec, Settings
from vremove_cli.removers.minimax.remover import MiniMaxRemover
from vremove_cli.removers.plate import PlateRemover
from vremove_cli.removers.rorem.remover import RoremRemover
from vremove_cli.removers.rose.remover import RoseRemover
from vremove_cli.removers.undereraser.remover import UnderEraserRemover
from vremove_cli.removers.void.remover import VoidRemover

_BUILT_IN: tuple[type[Remover], ...] = (
    PlateRemover, VoidRemover, RoseRemover, UnderEraserRemover, MiniMaxRemover, RoremRemover,
)  # fmt: skip
_REGISTERED: dict[str, type[Remover]] = {remover.spec.name: remover for remover in _BUILT_IN}

_FOR_ALL = ("seed", "device", "arithmetic", "memory", "deep", "checkpoints")  # fields that every remover gets
_OPTIONAL = tuple(f.name for f in fields(Settings) if f.name not in _FOR_ALL)


def register(name: str, remover: type[Remover]) -> Callable[[], None]:
    """Make a remover known in this process.

    Args:
        name: The value of `--remover`; a remover of that name is replaced.
        remover: A class that satisfies `Remover`.

    Returns:
        A function that undoes the registration.
    """
    before = _REGISTERED.get(name)
    _REGISTERED[name] = remover

    def undo() -> None:
        if before is None:
            del _REGISTERED[name]
        else:
            _REGISTERED[name] = before

    return undo


def names() -> list[str]:
    """Return the names of all removers, sorted. No package is imported."""
    return sorted({*_REGISTERED, *plugins.names(plugins.REMOVERS)})


def check_name(name: str) -> str:
    """Return the name of a remover that is known.

    Raises:
        UsageError: There is no remover of this name.
    """
    if name not in names():
        raise UsageError(f"there is no remover '{name}'", f"choose one of: auto, {', '.join(names())}")
    return name


def spec_of(name: str) -> RemoverSpec:
    """Return a remover's properties.

    Raises:
        ModelError: The remover is not installed, or its package does not load.
    """
    return _find(name).spec


def specs() -> dict[str, RemoverSpec]:
    """Return the properties of all removers by name, without those whose package does not load."""
    out = {}
    for name in names():
        try:
            out[name] = spec_of(name)
        except VremoveError:
            continue
    return out


def make(name: str, settings: Settings) -> Remover:
    """Return a remover that is ready to work.

    Raises:
        UsageError: A setting differs from its default and the remover does not read it.
        ModelError: The remover is not installed, or its package does not load.
    """
    remover, default = _find(name), Settings()
    for field in _OPTIONAL:
        if getattr(settings, field) != getattr(default, field) and field not in remover.spec.accepts:
            flag = f"--{field.removesuffix('s') if field == 'loras' else field.replace('_', '-')}"
            able = [n for n, spec in specs().items() if field in spec.accepts]
            raise UsageError(f"{name} takes no {flag}", f"leave it out, or choose --remover {' or '.join(able)}")
    return remover(settings)


def _find(name: str) -> type[Remover]:
    """Return a remover's class: a registered one wins over a package's."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name not in plugins.names(plugins.REMOVERS):
        raise plugins.missing(plugins.REMOVERS, name)
    remover: type[Remover] = plugins.load(plugins.REMOVERS, name)
    spec = getattr(remover, "spec", None)
    if not isinstance(spec, RemoverSpec) or spec.name != name:
        raise plugins.broken(plugins.REMOVERS, name, f"its `spec` is not a RemoverSpec of the name '{name}'")
    plugins.check_members(plugins.REMOVERS, name, remover, ("stages", "size", "run"))
    return remover
