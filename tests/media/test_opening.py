"""FFmpeg opens the file that was named, and nothing that the file names."""

import shutil
import struct
import subprocess
import sys
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from support.clips import write_clip
from support.command import Vremove
from vremove_cli.errors import MediaError
from vremove_cli.media.container import open_input, read_image


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "a.mp4", codec="libx264", pix_fmt="yuv420p", size=(64, 48), frames=4)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("parts.mp4", "ffconcat version 1.0\nfile a.mp4\n"),
        ("bom.mp4", "\ufeffffconcat version 1.0\nfile a.mp4\n"),
        ("live.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n"),
        ("dash.mpd", '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>\n'),
    ],
)
@pytest.mark.parametrize("command", ["info", "erase"])
def test_a_list_of_other_files_is_refused(
    clip: Path, vremove: Vremove, tmp_path: Path, command: str, name: str, text: str
) -> None:
    listed = tmp_path / name
    listed.write_text(text.format(clip=clip))
    asked = [command, listed] if command == "info" else [command, listed, "--point", "20,20", "-o", tmp_path / "o.mp4"]
    done = vremove(*asked)
    assert done.status == 3
    assert "is a playlist: it names other files" in done.stderr


def test_no_list_is_opened_where_no_head_shows_it(clip: Path, tmp_path: Path) -> None:
    listed = tmp_path / "late.m3u8"
    listed.write_text("\n" * 600 + f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError):
        open_input(str(listed))


def test_an_address_is_refused_and_not_asked(vremove: Vremove) -> None:
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for address in (f"http://127.0.0.1:{server.server_port}/x.mp4", f"http:/127.0.0.1:{server.server_port}/x.mp4"):
            picture = address.replace(".mp4", ".png")
            for command in (["info", address], ["info", picture], ["erase", address, "--point", "9,9"]):
                done = vremove(*command)
                assert done.status == 3
                assert "is an address, and these are not read: download the file" in done.stderr
        server.shutdown()
    assert not asked


@pytest.mark.parametrize("name", ["12:30.mp4", "Mission: x.mp4", "file:x.mp4", "-x.mp4", "50%d.mp4", "a|b.mp4"])
def test_a_name_is_a_name(clip: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / name
    shutil.copy(clip, target)
    with open_input(str(target)) as container:
        assert container.streams.video[0].width == 64


@pytest.mark.parametrize("name", ["m%d.png", "s%03d.png"])
def test_an_image_with_a_pattern_for_a_name_is_itself(tmp_path: Path, name: str) -> None:
    for file, level in ((name, 200), ("m1.png", 10), ("s001.png", 10)):
        cv2.imwrite(str(tmp_path / file), np.full((16, 16, 3), level, np.uint8))
    assert read_image(tmp_path / name).to_ndarray(format="rgb24").mean() == 200


def png_with_profile(path: Path) -> None:
    """A picture of 16x16 with a colour profile that has a name."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    profile = struct.pack(">I4xI4s4s4s12x4s88xI", 132, 2 << 24, b"mntr", b"RGB ", b"XYZ ", b"acsp", 0)
    rows = b"".join(b"\0" + bytes([120, 60, 30]) * 16 for _ in range(16))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
        + chunk(b"iCCP", b"named\0\0" + zlib.compress(profile))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_a_picture_with_a_colour_profile_is_read(tmp_path: Path) -> None:
    png_with_profile(tmp_path / "p.png")
    command = [sys.executable, "-m", "vremove_cli", "info", str(tmp_path / "p.png")]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
