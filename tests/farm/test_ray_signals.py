"""Signals while a cluster of Ray is in use."""

import signal
import types
from collections.abc import Iterator

import pytest

from vremove_cli.errors import Interrupted
from vremove_cli.farm.ray_signals import Signals


def interrupt(_number: int, _frame: types.FrameType | None) -> None:
    raise Interrupted


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        made = Signals()
        made.note()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Ray sets its own
        made.take()
        yield made
    finally:
        signal.signal(signal.SIGTERM, before)


def module(name: str) -> types.ModuleType:
    """A module that raises a signal, as a signal comes while code of that module runs."""
    made = types.ModuleType(name)
    exec("import signal\ndef wait():\n    signal.raise_signal(signal.SIGTERM)\n", made.__dict__)
    return made


def test_a_signal_that_comes_inside_ray_is_only_noted(signals: Signals) -> None:
    module("ray._private.worker").wait()
    assert signals.ended.is_set()


def test_a_signal_that_comes_elsewhere_ends_the_command(signals: Signals) -> None:
    with pytest.raises(Interrupted):
        module("rays").wait()
    assert signals.ended.is_set()


def test_handlers_are_given_back(signals: Signals) -> None:
    signals.give_back()
    assert signal.getsignal(signal.SIGTERM) is interrupt
