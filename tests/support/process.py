"""The real command with its own cache of models and its own settings: in this process, or in one of its own."""

import contextlib
import io
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from support import hub as fake

_READERS = ("huggingface_hub", "diffusers.utils", "transformers.utils")  # packages that copy constants of the Hub
_UNSET = object()


class Cli:
    """Runs `vremove` with a Hub of the tests'.

    Attributes:
        home: Folder that commands run in; it also holds the cache of models and the settings.
        env: Environment variables of every command.
    """

    def __init__(self, hub: fake.Hub, home: Path, *command: str) -> None:
        self.home, self._command = home, command
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "VREMOVE_"))}
        own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "hf"), "XDG_CONFIG_HOME": str(home / "config")}
        self.env = {**inherited, **own}

    def start(self, *args: object, **env: str) -> "subprocess.Popen[str]":
        """Start the command in a process of its own, for tests of kills and of signals."""
        return subprocess.Popen(
            [sys.executable, "-m", "vremove_cli", *self._command, *map(str, args)],
            env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.home,
        )  # fmt: skip

    def __call__(self, *args: object, status: int = 0, **env: str) -> tuple[str, str]:
        """Run the command in this process, as a new process would.

        Args:
            *args: Arguments after `vremove`.
            status: Exit status that the command must have.
            **env: Environment variables on top of `env`.

        Returns:
            What the command printed on stdout and on stderr; a traceback fails the test.
        """
        with as_in_a_new_process({**self.env, **env}, self.home):
            end, out, err = run_main(*self._command, *args)
        assert end == status, (out, err)
        assert "Traceback" not in err
        return out, err

    def fails(self, *args: object, **env: str) -> str:
        """The one sentence of a failure with exit code 6."""
        _, err = self(*args, status=6, **env)
        (line,) = [line for line in err.splitlines() if line.startswith("vremove: ")]
        return line

    @property
    def lock(self) -> dict[str, Any]:
        """What models are held to."""
        found: dict[str, Any] = json.loads((self.home / "config/vremove/models.lock.json").read_text())["models"]
        return found

    def row(self, name: str, **env: str) -> dict[str, Any]:
        """A model as `vremove models list` shows it."""
        rows = json.loads(self("list", "--json", status=0, **env)[0])["models"]
        return next(r for r in rows if r["name"] == name)


def run_main(*args: object) -> tuple[int, str, str]:
    """Run the command's entry point in this process; gives its exit status, stdout and stderr."""
    from vremove_cli import app

    out, err = io.StringIO(), io.StringIO()
    argv = mock.patch.object(sys, "argv", ["vremove", *map(str, args)])
    with argv, _signal_handlers_kept(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app.main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
    return status, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def as_in_a_new_process(env: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Give a block the environment, the folder and the empty caches that a new process would have.

    Constants that huggingface_hub reads from the environment at import are read again from `env`, wherever a loaded
    module holds a copy, and the old values come back at the end.
    """
    release_networks()
    with contextlib.chdir(folder), mock.patch.dict(os.environ, env, clear=True), _hub_constants():
        _close_connections()
        try:
            yield
        finally:
            _close_connections()
            release_networks()


def release_networks() -> None:
    """Drop the loaded networks that this process keeps for the next job."""
    pools = sys.modules.get("vremove_cli.networks.model_pool")
    if pools is not None:
        pools.pool.release_all()
    for name, module in list(sys.modules.items()):
        if name.startswith("vremove_cli."):
            for value in list(vars(module).values()):
                clear: Callable[[], None] | None = getattr(value, "cache_clear", None)
                if clear is not None and getattr(value, "__module__", "").startswith("vremove_cli."):
                    clear()


@contextlib.contextmanager
def _hub_constants() -> Iterator[None]:
    from huggingface_hub import constants

    new = runpy.run_path(str(constants.__file__))
    old = {
        name: value
        for name, value in vars(constants).items()
        if name.isupper() and isinstance(value, str | bool | int) and new.get(name, _UNSET) != value
    }
    _replace_constants(old, new)
    try:
        yield
    finally:  # also in modules that were loaded meanwhile
        _replace_constants({name: new[name] for name in old}, old)


def _replace_constants(known: Mapping[str, object], by: Mapping[str, object]) -> None:
    for module in [m for n, m in list(sys.modules.items()) if n.startswith(_READERS)]:
        for name, value in known.items():
            if vars(module).get(name, _UNSET) == value:
                setattr(module, name, by[name])


@contextlib.contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def _close_connections() -> None:
    from huggingface_hub import close_session

    close_session()
