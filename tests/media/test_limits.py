"""What is too large, or no file at all, is refused before any of it is decoded or waited for."""

import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from support.clips import write_clip
from support.command import Vremove


def gif_bomb(path: Path) -> None:
    """89 bytes that ask for 256 million pixels."""
    screen = struct.pack("<HH", 16000, 16000)
    head = b"GIF89a" + screen + b"\x80\0\0\0\0\0\xff\xff\xff"
    path.write_bytes(head + b",\0\0\0\0" + screen + b"\0\x02\x02\x44\x01\0;")


def png_bomb(path: Path) -> None:
    """A PNG file that states 225 million gray pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 15000, 15000, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * 15001 * 16)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("name", "pixels"), [("a.gif", "256 million"), ("a.png", "225 million")])
def test_a_picture_of_too_many_pixels_is_refused(vremove: Vremove, tmp_path: Path, name: str, pixels: str) -> None:
    bomb = tmp_path / name
    (gif_bomb if name == "a.gif" else png_bomb)(bomb)
    for command in (["info", bomb], ["erase", bomb, "--point", "5,5"]):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done = vremove(*command)
        assert done.status == 3
        assert f"has pictures of {pixels} pixels; 179 million are allowed" in done.stderr
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_the_limit_of_pixels_can_be_set(vremove: Vremove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    monkeypatch.setenv("VREMOVE_MAX_PIXELS", "1000")
    assert "VREMOVE_MAX_PIXELS=6144 if that is right" in vremove("info", clip).stderr
    monkeypatch.setenv("VREMOVE_MAX_PIXELS", "6144")
    assert vremove("info", clip).status == 0
    monkeypatch.setenv("VREMOVE_MAX_PIXELS", "many")
    assert vremove("info", clip).status == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
@pytest.mark.parametrize("option", ["input", "--mask", "--effects"])
def test_a_pipe_is_refused_and_not_waited_for(vremove: Vremove, tmp_path: Path, option: str) -> None:
    pipe, clip = tmp_path / "pipe.mkv", write_clip(tmp_path / "a.mp4")
    os.mkfifo(pipe)
    given = [pipe] if option == "input" else [clip, option, pipe]
    done = vremove("erase", *given, *([] if option == "--mask" else ["--point", "5,5"]), "-o", tmp_path / "out.mp4")
    assert done.status == 3
    assert "is a pipe or a device" in done.stderr


@pytest.mark.parametrize("megabytes", [300, 1000])
def test_too_little_address_space_is_said(tmp_path: Path, megabytes: int) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({megabytes << 20},) * 2);"
    limited += "from vremove_cli.__main__ import main; main()"
    command = [sys.executable, "-c", limited, "erase", str(clip), "--point", "40,24", "-o", str(tmp_path / "o.mp4")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 5
    assert "memory" in done.stderr or "address space" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_is_not_utf8_is_refused(vremove: Vremove, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4")
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/b\xff.mp4")
    os.rename(clip, odd)
    done = vremove("erase", odd, "--point", "5,5", "-o", tmp_path / "out.mp4")
    assert done.status == 2
    assert "is not valid UTF-8: rename it first" in done.stderr
