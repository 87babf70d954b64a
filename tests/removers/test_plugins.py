"""Removers and trackers of another package, built from docs/plugins.md, in processes of their own."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from support.clips import mask_of, planes_of, scene, write_clip, write_masks
from vremove_cli import plugins
from vremove_cli.errors import ModelError, UsageError
from vremove_cli.removers import registry
from vremove_cli.removers.base import RemoverSpec, Settings
from vremove_cli.removers.plate import PlateRemover

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def write_package(folder: Path) -> None:
    """Write the page's files, which begin with their names."""
    blocks = re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert {name for name, _ in blocks} == {"pyproject.toml", "vremove_telea.py", "vremove_colour.py"}
    for name, text in blocks:
        (folder / name).write_text(text, encoding="utf-8")


def install(source: Path, target: Path) -> None:
    """Install a package of modules into a folder: with pip, or by hand where no build backend is at hand."""
    if all(importlib.util.find_spec(name) for name in ("pip", "setuptools")):
        options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", target)
        subprocess.run([sys.executable, "-m", "pip", "install", *map(str, options), str(source)], check=True)
        return
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    write_dist(target, project["project"]["name"], project["project"]["entry-points"])
    for name in project["tool"]["setuptools"]["py-modules"]:
        (target / f"{name}.py").write_bytes((source / f"{name}.py").read_bytes())


def write_dist(target: Path, name: str, points: dict[str, dict[str, str]]) -> None:
    """Write the metadata of an installed package with entry points."""
    info = target / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in by.items()) for group, by in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))


class Shell:
    """Runs `vremove` in a process, with a folder of installed packages or without."""

    def __init__(self, home: Path, packages: Path) -> None:
        self.home, self._packages = home, str(packages)

    def __call__(self, *args: object, status: int = 0, plugin: bool = True) -> str:
        own = [self._packages] if plugin else []
        path = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")]), str(PAGE.parents[1])])
        env = {**os.environ, "PYTHONPATH": path, "XDG_CONFIG_HOME": str(self.home / "config")}
        command = [sys.executable, "-m", "vremove_cli", *map(str, args)]
        done = subprocess.run(command, cwd=self.home, env=env, capture_output=True, text=True, timeout=250)
        assert done.returncode == status, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


BROKEN = {"vremove.removers": {"broken": "no_such_module:Remover"}, "vremove.trackers": {"outdated": "operator:eq"}}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    home, source, packages = (tmp_path_factory.mktemp(name) for name in ("home", "source", "packages"))
    write_package(source)
    install(source, packages)
    write_dist(packages, "broken-package", BROKEN)
    write_clip(home / "clip.mkv", codec="ffv1", frames=6, picture=scene)
    write_masks(home / "masks", frames=6)
    return Shell(home, packages)


def changed(shell: Shell, output: str) -> None:
    """Check that the hole was filled and nothing else touched."""
    result, source = planes_of(shell.home / output)[3][0], planes_of(shell.home / "clip.mkv")[3][0]
    hole = mask_of(3, 96, 64) > 0
    assert np.abs(result[hole].astype(int) - source[hole]).mean() > 10
    assert np.array_equal(result[:6], source[:6])


ERASE = ("clip.mkv", "--mask", "masks", "--remover", "telea", "--recover", "off", "--effects", "off")


def test_a_remover_of_another_package_erases(shell: Shell) -> None:
    said = shell("erase", *ERASE, "-o", "erased.mkv")
    assert "remover: telea (by --remover)" in said
    changed(shell, "erased.mkv")


def test_a_dry_run_names_it(shell: Shell) -> None:
    said = shell("erase", *ERASE, "-o", "dry.mkv", "--dry-run")
    assert "remover: telea (by --remover)" in said
    assert "1 fill" in said


def test_a_plan_is_worked_on_elsewhere_and_needs_the_package_there(shell: Shell) -> None:
    shell("plan", *ERASE, "-o", "planned.mkv", "--work", "work")
    said = shell("work", "work", status=6, plugin=False)
    assert said.splitlines()[-1] == (
        "vremove: this plan needs the remover 'telea', which is not installed here: "
        "install the package that provides it"
    )
    shell("work", "work")
    shell("finish", "work", plugin=False)
    changed(shell, "planned.mkv")


def test_a_tracker_of_another_package_follows(shell: Shell) -> None:
    x, y = np.argwhere(mask_of(0, 96, 64) > 0).mean(axis=0).astype(int)[::-1]
    asked = ("clip.mkv", "--point", f"{x},{y}", "--tracker", "colour")
    said = shell("mask", *asked, "-o", "found.mkv")
    assert re.search(r"tracker: colour \(.*; on cpu", said)
    found = planes_of(shell.home / "found.mkv")[3][0] > 127
    truth = mask_of(3, 96, 64) > 0
    assert np.count_nonzero(found & truth) > 0.9 * np.count_nonzero(found)
    assert np.count_nonzero(found & truth) > 0.6 * np.count_nonzero(truth)  # the square has stripes of another colour
    shell("plan", *asked, "-o", "tracked.mkv", "--work", "tracked")
    line = shell("work", "tracked", status=6, plugin=False).splitlines()[-1]
    assert "this plan needs the tracker 'colour', which is not installed here: install the package" in line
    shell("work", "tracked")
    assert "the tracker colour tracks every frame" in shell("mask", *asked, "--track-every", 5, "-o", "x.mkv", status=2)


def test_a_broken_package_is_one_sentence_and_only_when_its_remover_is_chosen(shell: Shell) -> None:
    args = ("erase", "clip.mkv", "--mask", "masks", "-o", "broken.mkv", "--dry-run", "--remover")
    said = shell(*args, "broken", status=6)
    assert "the remover 'broken' of the package broken-package does not load (ModuleNotFoundError" in said
    shell(*args, "plate")
    listed = shell(*args, "nothing", status=2)
    assert (
        "there is no remover 'nothing': choose one of: auto, broken, minimax, plate, rorem, rose, telea, under"
        in listed
    )
    shell("models", "list")
    assert "or --remover" not in shell(*args, "telea", "--lora", "clip.mkv", status=2)


def test_a_tracker_that_lacks_a_member_of_the_contract_is_one_sentence(shell: Shell) -> None:
    said = shell("mask", "clip.mkv", "--point", "11,31", "--tracker", "outdated", "-o", "outdated.mkv", status=6)
    assert said.splitlines()[-1] == (
        "vremove: the tracker 'outdated' of the package broken-package does not load (its tracker has no name, "
        "input_size, begin, correct, adopt, propagate): update or uninstall that package"
    )


def test_names_import_no_package(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(shell._packages))
    plugins._found.cache_clear()
    try:
        assert {"broken", "telea", "void"} <= set(registry.names())
        assert "vremove_telea" not in sys.modules
        assert "broken" not in registry.specs()
        assert registry.spec_of("telea").context == 32
    finally:
        plugins._found.cache_clear()


def test_two_packages_with_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        write_dist(tmp_path, name, {"vremove.removers": {"same": "json:loads"}})
    write_dist(tmp_path, "three", {"vremove.removers": {"strange": "json:loads"}})
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins._found.cache_clear()
    try:
        with pytest.raises(UsageError, match="the packages one and two both provide a remover 'same'"):
            registry.make("same", Settings())
        with pytest.raises(ModelError, match="its `spec` is not a RemoverSpec"):
            registry.make("strange", Settings())
    finally:
        plugins._found.cache_clear()


def test_a_registration_is_undone() -> None:
    class Mine(PlateRemover):
        spec = RemoverSpec("plate", "MIT", "crop", accepts=("prompt",))

        def __init__(self, settings: Settings) -> None:
            self.settings = settings

    plain = registry.spec_of("plate")
    undo = [registry.register("plate", Mine), registry.register("mine", Mine)]
    assert registry.spec_of("mine") == registry.spec_of("plate") != plain
    assert vars(registry.make("mine", Settings(prompt="x")))["settings"].prompt == "x"
    for one in reversed(undo):
        one()
    assert registry.spec_of("plate") is plain
    assert "mine" not in registry.names()
    with pytest.raises(ModelError, match="this plan needs the remover 'mine', which is not installed here"):
        registry.spec_of("mine")


def test_models_of_the_second_pass_are_run_by_it_alone() -> None:
    spec = registry.spec_of("void")
    assert spec.models_for(Settings()) == ("cogvideox-fun-5b", "void-pass1")
    assert spec.models_for(Settings(second_pass="on")) == spec.all_models
    assert spec.all_models == ("cogvideox-fun-5b", "void-pass1", "void-pass2")
