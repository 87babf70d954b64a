"""Machines that share a folder: processes with a host name, process numbers, mounts and a clock of their own."""

import functools
import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ENTRY = Path(__file__).with_name("machine.py")
_APART = ("unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")


@functools.cache
def _clock() -> str | None:
    """Path of libfaketime, for programs with threads."""
    found = glob.glob("/usr/lib*/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


@functools.cache
def _namespaces() -> tuple[str, ...] | None:
    """The command that begins a process in namespaces of its own; None where that is not allowed."""
    for command in (_APART, (*_APART, "--map-root-user")):
        if (
            shutil.which("unshare")
            and subprocess.run([*command, "hostname", "other"], capture_output=True).returncode == 0
        ):
            return command
    return None


def required() -> None:
    """Skip the test where there can be no machines, unless VREMOVE_MACHINES_REQUIRED is set."""
    if _clock() is None or _namespaces() is None:
        (pytest.fail if os.environ.get("VREMOVE_MACHINES_REQUIRED") else pytest.skip)(
            "machines need libfaketime and the right to make namespaces (unshare)"
        )


def start(
    name: str, log: Path, *arguments: object, host: str, ahead: int, stale: float = 60,
    slow: dict[str, float] | None = None, after: tuple[str, ...] = (),
) -> "subprocess.Popen[str]":  # fmt: skip
    """Start `vremove ARGUMENTS` on a machine.

    Args:
        name: The machine's name in the log.
        log: File that tells which leases it held.
        *arguments: The command.
        host: Its host name.
        ahead: Seconds by which its clock differs.
        stale: Seconds without a heartbeat after which a lease counts as abandoned.
        slow: Seconds by kind of task that its lease is held before the task begins.
        after: Names of machines that must have started before it takes a lease.
    """
    settings = {
        "name": name, "log": str(log), "stale": stale, "heartbeat": stale / 6, "slow": slow or {}, "after": after,
    }  # fmt: skip
    clock = {
        "LD_PRELOAD": _clock() or "", "FAKETIME": f"{ahead:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # else each wait for the interpreter returns at once, and is repeated
        "NO_FAKE_STAT": "1",  # a share dates what is written by its own clock; dates that are set are the machine's
    }  # fmt: skip
    line = ["sh", "-c", 'hostname "$0" && exec "$@"', host, sys.executable, str(_ENTRY), json.dumps(settings)]
    return subprocess.Popen(
        [*(_namespaces() or ()), *line, *map(str, arguments)],
        env={**os.environ, **clock}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
