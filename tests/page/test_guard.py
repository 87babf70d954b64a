"""Nobody but the page itself is answered: wrong tokens, hosts, origins and paths are refused."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.browser import serving
from support.clips import write_clip


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    clip = write_clip(tmp_path_factory.mktemp("guard") / "clip.mp4")
    (clip.parent / "secret.txt").write_text("secret")
    with serving(clip) as found:
        yield found


def asked(address: str, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, bytes]:
    url = urlsplit(address)
    connection = HTTPConnection(url.hostname or "", url.port, timeout=20)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body.encode())
    answer = connection.getresponse()
    return answer.status, answer.read()


def inside(address: str, path: str) -> str:
    return urlsplit(address).path + path


@pytest.mark.parametrize("path", ["", "api/clip", "api/state", "api/frame/0", "static/pick.js", "static/page.css"])
def test_the_page_is_answered(address: str, path: str) -> None:
    assert asked(address, inside(address, path))[0] == 200


@pytest.mark.parametrize("path", ["/", "/api/clip", "/wrong/api/clip", "/static/pick.js", "//api/clip", "/é/"])
def test_nothing_is_answered_without_the_token(address: str, path: str) -> None:
    status, body = asked(address, path.encode().decode("latin-1") if path.isascii() else "/%C3%A9/")
    assert (status, body) == (404, b"not found")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "[::2]"])
def test_another_host_is_refused(address: str, host: str) -> None:
    assert asked(address, inside(address, "api/clip"), Host=host)[0] in (400, 404)


@pytest.mark.parametrize("host", ["localhost:8899", "127.0.0.1:1", "[::1]:8000"])
def test_the_end_of_a_tunnel_is_answered(address: str, host: str) -> None:
    assert asked(address, inside(address, "api/clip"), Host=host)[0] == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://localhost:1"])
def test_another_origin_is_refused(address: str, origin: str) -> None:
    entry = '{"kind": "point", "object": "", "frame": 0, "at": [1, 1]}'
    assert asked(address, inside(address, "api/click"), "POST", entry, Origin=origin)[0] == 404
    assert b'"clicks":[]' in asked(address, inside(address, "api/state"))[1]


OUTSIDE = (
    "static/../pick.py", "static/..%2fpick.py", "static/%2e%2e/%2e%2e/pick.py", "static//etc/passwd", "../secret.txt",
    "api/frame/../../secret.txt", "static/secret.txt", "api/frame/-1", "api/frame/10", "api/frame/0?width=x",
    "api/frame/99999999999999999999",
)  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_else_is_served(address: str, path: str) -> None:
    status, body = asked(address, inside(address, path))
    assert status == 404
    assert b"secret" not in body


NO_CLICKS = (
    "", "[]", "{}", "x", '{"kind": "point"}', '{"kind": "box", "object": "", "frame": 0, "at": [1, 2]}',
    '{"kind": "point", "object": "", "frame": 99, "at": [1, 2]}',
    '{"kind": "point", "object": "a b", "frame": 0, "at": [1, 2]}',
    '{"kind": "point", "object": "", "frame": 0, "at": [1e400, 2]}',
    '{"kind": "key_mask", "object": "", "frame": 0, "file": "/etc/passwd"}',
)  # fmt: skip


@pytest.mark.parametrize("body", NO_CLICKS)
def test_a_click_that_is_none_is_refused_with_a_sentence(address: str, body: str) -> None:
    status, said = asked(address, inside(address, "api/click"), "POST", body)
    assert status == 409
    assert b'"error":' in said


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_usual_end(tmp_path: Path, by: signal.Signals) -> None:
    command = [sys.executable, "-m", "vremove_cli", "pick", str(write_clip(tmp_path / "a.mp4")), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(by)
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "the page is open until Ctrl+C\n")


def test_a_taken_port_is_named(address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    port = urlsplit(address).port
    clip = write_clip(tmp_path / "clip.mp4")
    with pytest.raises(AssertionError, match=f"port {port} cannot be used"), serving(clip, "--port", port):
        pass
