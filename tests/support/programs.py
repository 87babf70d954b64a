"""Programs on the disk, for tests of scripts that start them."""

import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def program(folder: Path, name: str = "vremove", module: str = "vremove_cli") -> Path:
    """Write a program that runs a module of this project; returns its path."""
    path = folder / name
    paths = shlex.quote(f"{ROOT}:{ROOT / 'tests'}")
    path.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {shlex.quote(sys.executable)} -m {module} "$@"\n')
    path.chmod(0o755)
    return path
