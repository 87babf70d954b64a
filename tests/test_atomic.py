"""A reader finds the old file, the new file or none; a failed writer leaves nothing behind."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from vremove_cli import atomic
from vremove_cli.errors import UsageError

GONE = 999_999_999  # no process has this number


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def break_off(block: Any, file: str | None, error: type[BaseException]) -> None:
    """Write half of a file in a block, then fail."""
    with block as hidden:
        (hidden / file if file else hidden).write_bytes(b"half")
        raise error


def test_a_file_appears_when_its_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "result.bin"
    with atomic.replace_file(target) as hidden:
        hidden.write_bytes(b"all of it")
        assert not target.exists()
        assert hidden.parent == tmp_path
        assert hidden.name.startswith(".result.bin.")
    assert target.read_bytes() == b"all of it"
    assert names(tmp_path) == ["result.bin"]


@pytest.mark.parametrize("keep_suffix", [False, True])
def test_a_failing_writer_leaves_nothing(tmp_path: Path, keep_suffix: Any) -> None:
    with pytest.raises(RuntimeError):
        break_off(atomic.replace_file(tmp_path / "a.mp4", keep_suffix=keep_suffix), None, RuntimeError)
    assert names(tmp_path) == []


def test_an_existing_file_survives_a_failure(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    atomic.write_text(target, "old")
    with pytest.raises(KeyboardInterrupt):
        break_off(atomic.replace_file(target), None, KeyboardInterrupt)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["plan.json"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic.replace_file(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []


def test_a_full_disk_at_the_flush_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def full(descriptor: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_two_threads_write_the_same_file(tmp_path: Path) -> None:
    """Both hold a hidden file at once; what a reader finds at any time is one of the whole texts."""
    target = tmp_path / "a.json"
    texts = {letter * 100_000 for letter in "ab"}
    both = threading.Barrier(2, timeout=60)
    errors = []

    def write(text: Any) -> Any:
        try:
            for _ in range(20):
                with atomic.replace_file(target) as hidden:
                    hidden.write_text(text)
                    both.wait()
        except BaseException as error:
            errors.append(error)
            both.abort()

    threads = [threading.Thread(target=write, args=(t,)) for t in texts]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        assert not target.exists() or target.read_text() in texts
    assert errors == []
    assert target.read_text() in texts
    assert names(tmp_path) == ["a.json"]


def test_two_threads_write_the_same_folder(tmp_path: Path) -> None:
    target = tmp_path / "shot"
    target.mkdir()
    both = threading.Barrier(2, timeout=60)
    errors = []

    def write(name: Any) -> Any:
        try:
            with atomic.replace_folder(target) as hidden:
                both.wait()
                (hidden / name).write_text(name)
        except BaseException as error:
            errors.append(error)
            both.abort()

    threads = [threading.Thread(target=write, args=(name,)) for name in ("0.png", "1.png")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(target) == ["0.png", "1.png"]


def test_a_new_folder_appears_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "above" / "shot"
    with atomic.replace_folder(target) as hidden:
        (hidden / "0.png").write_bytes(b"0")
        assert hidden.parent == target.parent
        assert not target.exists()
    assert names(target) == ["0.png"]
    assert names(target.parent) == ["shot"]


def test_an_existing_folder_keeps_its_other_files(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"old")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    with atomic.replace_folder(tmp_path) as hidden:
        (hidden / "0.png").write_bytes(b"new")
        assert (tmp_path / "0.png").read_bytes() == b"old"
    assert names(tmp_path) == ["0.png", "notes.txt"]
    assert (tmp_path / "0.png").read_bytes() == b"new"


def test_an_existing_folder_survives_a_failure(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"old")
    with pytest.raises(RuntimeError):
        break_off(atomic.replace_folder(tmp_path), "0.png", RuntimeError)
    assert names(tmp_path) == ["0.png"]
    assert (tmp_path / "0.png").read_bytes() == b"old"


def test_leftovers_of_dead_processes_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    (tmp_path / f".a.{GONE}.3.part.mp4").write_bytes(b"left")
    (tmp_path / f".a.{GONE}.7.part.mp4").write_bytes(b"left")
    (tmp_path / f".a.{os.getppid()}.7.part.mp4").write_bytes(b"at work")
    (tmp_path / f".a.b.{GONE}.7.part.mp4").write_bytes(b"another target's")
    with atomic.replace_file(target, keep_suffix=True) as hidden:
        hidden.write_bytes(b"mine")
        atomic.remove_leftovers(target, keep_suffix=True)
    assert names(tmp_path) == sorted([f".a.{os.getppid()}.7.part.mp4", f".a.b.{GONE}.7.part.mp4", "a.mp4"])


def test_what_exists_is_refused_and_the_option_is_named(tmp_path: Path) -> None:
    atomic.refuse_existing(tmp_path / "free", overwrite=False)
    atomic.refuse_existing(tmp_path, overwrite=True)
    with pytest.raises(UsageError) as refusal:
        atomic.refuse_existing(str(tmp_path), overwrite=False, option="--write-preview")
    assert refusal.value.problem == f"{tmp_path} exists already"
    assert "--overwrite" in refusal.value.advice
    assert "--write-preview" in refusal.value.advice
