"""Fixtures: a console run in-process, and removers of the tests' own; how the tests are spread over processes."""

import os
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest

sys.path.insert(0, str(Path(__file__).parent))
os.environ["HF_HOME"] = str(Path(__file__).parent / "no-models")  # what this machine has must not count
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny networks: more threads are up to 20 times slower

from support.command import Install, Outcome, Vremove
from support.process import run_main

hypothesis.settings.register_profile("untimed", deadline=None)  # how fast a machine is, is never a test
hypothesis.settings.load_profile("untimed")

SLOWEST = (  # modules by the time they take, most first: the last module to end decides when all are done
    "removers/test_void.py", "page/test_pick.py", "removers/test_wan.py", "job/test_resume.py",
    "job/test_networks_cli.py", "removers/test_speed.py", "job/test_following.py", "gpu/test_removers.py",
    "page/test_screenshots.py", "masks/test_masks.py", "test_docs.py", "plate/test_carry.py", "plate/test_plate.py",
    "tracking/test_keyframes.py", "commands/test_batch.py",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False  # keep the order below, in which a worker takes the next module


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the slowest modules first where several processes share the work."""
    if hasattr(config, "workerinput"):
        rank = {Path(__file__).parent / name: place for place, name in enumerate(SLOWEST)}
        items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture
def vremove(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Vremove:
    """Runs the real command in this process: `vremove("erase", "clip.mp4", ...)`."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    return lambda *arguments: Outcome(*run_main(*arguments))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Registers a remover, made already, under its spec's name; the test's end undoes it."""
    from vremove_cli.removers import registry

    known = next(n for n in ("_REGISTERED", "_REMOVERS") if hasattr(registry, n))
    monkeypatch.setattr(registry, known, dict(getattr(registry, known)))

    def add(remover: Any) -> None:
        made = type("Made", (), {"spec": remover.spec, "__new__": lambda cls, settings: remover})
        registry.register(remover.spec.name, made)

    return add
