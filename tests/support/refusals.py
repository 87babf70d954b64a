"""What every refusal has in common, and small helpers for bad input."""

import hashlib
from pathlib import Path

from support.command import Vremove

POINT = ("--point", "10,32")


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of its bytes."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def assert_refused(vremove: Vremove, folder: Path, status: int, says: str, *arguments: object) -> None:
    """Run the command and hold it to the contract for failures."""
    before = contents(folder)
    done = vremove(*arguments)
    complaint = [line for line in done.stderr.splitlines() if line.startswith("vremove: ")]
    assert done.status == status, done.stderr
    assert len(complaint) == 1
    assert says in complaint[0]
    assert ": " in complaint[0].removeprefix("vremove: "), "what to do next is missing"
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert contents(folder) == before
    assert not [p for p in folder.rglob("*") if p.name.endswith((".vremove", ".part"))]


def touch(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path
