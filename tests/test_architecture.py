"""Rooms of the package import downwards only, heavy libraries stay where they belong, and the help loads none."""

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "vremove_cli"
ROOT = Path(__file__).parents[1] / PACKAGE

# Lowest first. A room is a module or a folder at the top of the package; rooms of one line do not import each other.
ORDER = (
    ("errors", "frame_ranges", "geometry", "option_types"),
    ("arrays", "atomic", "options", "plugins", "threads"),
    ("settings",),
    ("media", "motion", "weights"),
    ("compose", "networks", "preview", "prompts"),
    ("masks",),
    ("plate", "quality", "removers", "tracking"),
    ("detection",),
    ("job",),
    (PACKAGE,),  # the package's own `__init__`: the public functions
    ("live_bars", "logbook"),
    ("console",),
    ("batch", "page"),
    ("farm",),
    ("commands",),
    ("app",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

# Arrows (importing module, imported module) that point upwards for now. It is to become empty.
EXCEPTIONS: frozenset[tuple[str, str]] = frozenset()

LIBRARIES = ("torch", "diffusers", "transformers", "huggingface_hub", "safetensors", "av", "cv2", "numpy", "PIL")
INSIDE_FUNCTIONS = ("torch", "diffusers", "transformers", "huggingface_hub", "safetensors", "accelerate")


@dataclass(frozen=True)
class Import:
    """A module named in an import statement of another; `typing_only` under `if TYPE_CHECKING`, `top` on the
    module's level."""

    by: str
    of: str
    typing_only: bool
    top: bool


def name_of(path: Path) -> str:
    """A file's module without the package's name; the package itself is `vremove_cli`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts) or PACKAGE


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that a statement imports; `from package import module` names the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        base = str(node.module)
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner.removeprefix(f"{PACKAGE}.") in MODULES else base


def imports_of(module: str) -> list[Import]:
    """All imports in a module, also those in functions."""
    found: list[Import] = []

    def visit(node: ast.AST, *, typing_only: bool, top: bool) -> None:
        found.extend(Import(module, name, typing_only, top) for name in imported(node))
        inside = typing_only or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        below = top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, typing_only=inside, top=below)

    visit(ast.parse(MODULES[module].read_text(encoding="utf-8")), typing_only=False, top=True)
    return found


IMPORTS = [one for module in MODULES for one in imports_of(module)]


def own(one: Import) -> str | None:
    """The imported module of this package, None for a library's, and for `__version__` that all may take."""
    if one.of == PACKAGE:
        return None
    return one.of.removeprefix(f"{PACKAGE}.") if one.of.startswith(f"{PACKAGE}.") else None


def room(module: str) -> str:
    return module.partition(".")[0]


def test_every_room_has_its_place_in_the_order() -> None:
    assert {room(module) for module in MODULES} - set(LEVEL) == set()


def test_rooms_import_only_what_lies_below_them() -> None:
    upwards = {
        (one.by, to)
        for one in IMPORTS
        if (to := own(one)) is not None and room(to) != room(one.by) and LEVEL[room(to)] >= LEVEL[room(one.by)]
    }
    assert sorted(upwards - EXCEPTIONS) == []


def test_of_the_package_itself_only_the_version_is_imported() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
                names = {a.name for a in node.names}
                assert all(n in MODULES or n == "__version__" for n in names), (module, names)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for type checkers alone do not count."""
    below: dict[str, set[str]] = {module: set() for module in MODULES}
    for one in IMPORTS:
        to = own(one)
        if to is not None and not one.typing_only:
            assert to in MODULES, f"{one.by} imports {to}, which is not there"
            below[one.by].add(to)
    finished: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in finished:
            for to in sorted(below[module]):
                walk(to, (*path, module))
            finished.add(module)

    for module in MODULES:
        walk(module, ())


def test_pyav_is_used_in_the_media_room_alone() -> None:
    assert {room(one.by) for one in IMPORTS if one.of.partition(".")[0] == "av"} == {"media"}


def test_libraries_of_networks_are_imported_inside_functions() -> None:
    early = [
        (one.by, one.of)
        for one in IMPORTS
        if one.of.partition(".")[0] in INSIDE_FUNCTIONS and one.top and not one.typing_only
    ]
    assert early == []


HELP = f"""
import sys
sys.argv = ["vremove", "--help"]
from vremove_cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code
loaded = {{name.partition(".")[0] for name in sys.modules}} & set({LIBRARIES!r})
rooms = {{name.split(".")[1] for name in sys.modules if name.startswith("vremove_cli.")}}
print(sorted(loaded), *sorted(rooms))
"""


def test_the_help_loads_no_heavy_library_and_no_heavy_room(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    spent = time.perf_counter() - began
    libraries, *rooms = done.stdout.strip().splitlines()[-1].split()
    assert libraries == "[]"
    heavy = {
        "media",
        "motion",
        "networks",
        "masks",
        "plate",
        "quality",
        "removers",
        "tracking",
        "detection",
        "affected",
        "compose",
    }
    assert heavy & set(rooms) == set()
    with capsys.disabled():
        print(f"\n[vremove --help in a new process: {spent:.2f} s; the aim is 0.3 s]", end="")
