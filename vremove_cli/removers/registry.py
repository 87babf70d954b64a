"""Removers by name."""

from collections.abc import Callable

from vremove_cli.errors import ModelError, UsageError
from vremove_cli.removers.base import Remover, RemoverSpec, Settings
from vremove_cli.removers.minimax.remover import MiniMaxRemover
from vremove_cli.removers.plate import PlateRemover
from vremove_cli.removers.rose.remover import RoseRemover
from vremove_cli.removers.undereraser.remover import UnderEraserRemover
from vremove_cli.removers.void.remover import VoidRemover

_REMOVERS: dict[str, Callable[[Settings], Remover]] = {
    "plate": lambda _: PlateRemover(), "void": VoidRemover, "rose": RoseRemover, "undereraser": UnderEraserRemover,
    "minimax": MiniMaxRemover,
}  # fmt: skip


_TOLD = ("prompt", "second_pass", "quality", "steps", "size", "guidance", "loras", "conditioning")


def register(name: str, make: Callable[[Settings], Remover]) -> None:
    """Make a remover known under a name."""
    _REMOVERS[name] = make


def names() -> list[str]:
    """Every remover that can be asked for."""
    return sorted(_REMOVERS)


def resolve(name: str) -> tuple[str, str]:
    """A remover's name and why it was chosen; raises `ModelError` for an unknown one."""
    if name == "auto":
        return "plate", "no other was named"
    if name not in _REMOVERS:
        raise ModelError(f"there is no remover '{name}'", f"choose one of: auto, {', '.join(names())}")
    return name, "as asked"


def spec_of(name: str) -> RemoverSpec:
    """What a remover is, with all that it can run."""
    return _REMOVERS[name](Settings(second_pass="on")).spec


def make(name: str, settings: Settings) -> Remover:
    """A remover ready to work; raises `UsageError` for a setting that it would not look at."""
    made, plain = _REMOVERS[name](settings), Settings()
    for field in _TOLD:
        if getattr(settings, field) != getattr(plain, field) and field not in made.spec.accepts:
            flag = f"--{field.removesuffix('s') if field == 'loras' else field.replace('_', '-')}"
            can = [n for n in names() if field in spec_of(n).accepts]
            raise UsageError(f"{name} takes no {flag}", f"leave it out, or choose --remover {' or '.join(can)}")
    return made
