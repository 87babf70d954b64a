"""Entry points: removers and trackers that other installed packages provide."""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vremove_cli.errors import ModelError, UsageError

REMOVERS, TRACKERS = "vremove.removers", "vremove.trackers"


def names(group: str) -> list[str]:
    """Return the names in a group of entry points, sorted. Nothing is imported."""
    return sorted(_found(group))


@cache
def load(group: str, name: str) -> Any:
    """Import what an entry point refers to, once in a process.

    Args:
        group: `REMOVERS` or `TRACKERS`.
        name: One of `names(group)`.

    Raises:
        UsageError: Two packages provide this name.
        ModelError: The import fails; the sentence names the package and the exception.
    """
    points = _found(group)[name]
    if len(points) > 1:
        packages = " and ".join(sorted(_package(p) for p in points))
        raise UsageError(f"the packages {packages} both provide a {_kind(group)} '{name}'", "uninstall one of them")
    try:
        return points[0].load()
    except Exception as error:
        raise broken(group, name, f"{type(error).__name__}: {error}") from error


def broken(group: str, name: str, why: str) -> ModelError:
    """Return the error for an entry point that does not give what its group promises."""
    package = _package(_found(group)[name][0])
    return ModelError(
        f"the {_kind(group)} '{name}' of the package {package} does not load ({why})",
        "update or uninstall that package",
    )


def check_members(group: str, name: str, provided: Any, members: Iterable[str]) -> None:
    """Raise `ModelError` if what an entry point gave lacks a member of its contract, as after a change of it."""
    lacking = [member for member in members if not hasattr(provided, member)]
    if lacking:
        raise broken(group, name, f"its {_kind(group)} has no {', '.join(lacking)}")


def missing(group: str, name: str) -> ModelError:
    """Return the error for a plan made where a package was installed that is not installed here."""
    return ModelError(
        f"this plan needs the {_kind(group)} '{name}', which is not installed here",
        "install the package that provides it",
    )


def _kind(group: str) -> str:
    return "remover" if group == REMOVERS else "tracker"


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


@cache
def _found(group: str) -> dict[str, list[EntryPoint]]:
    out: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        out.setdefault(point.name, []).append(point)
    return out
