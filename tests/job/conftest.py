"""A fixture that makes a test's own remover known, for that test alone."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from vremove_cli.removers import registry


@pytest.fixture
def install() -> Iterator[Callable[[Any], None]]:
    """Registers a remover, made already, under its spec's name."""
    with ExitStack() as undo:

        def add(remover: Any) -> None:
            made = type("Made", (), {"spec": remover.spec, "__new__": lambda cls, settings: remover})
            undo.callback(registry.register(remover.spec.name, made))

        yield add
