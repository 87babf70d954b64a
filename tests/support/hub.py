"""A server that speaks the Hub's protocol: model info, trees, files with ranges, gates, and faults when asked."""

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 1024  # bytes from which a file is "LFS": named by its SHA-256 and sent by another address


@dataclass
class Repo:
    """One repository: files by path. `gated` wants the token; `commit` follows from the content."""

    files: dict[str, bytes]
    gated: bool = False
    history: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        digest = hashlib.sha1()
        for path, content in sorted(self.files.items()):
            digest.update(path.encode() + content)
        return digest.hexdigest()

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files of a revision."""
        if revision in ("main", self.commit):
            return self.files
        return self.history.get(revision)

    def change(self, path: str, content: bytes) -> None:
        """A new commit; the one before stays."""
        self.history[self.commit] = dict(self.files)
        self.files[path] = content


@dataclass
class Hub:
    """The server's state: repositories by name, faults, and every request that came."""

    repos: dict[str, Repo] = field(default_factory=dict)
    url: str = ""
    token: str = "hf_good"
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    cut_after: int | None = None  # bytes of a large file after which the connection breaks
    cuts: int = 10**9  # how many times
    stall_after: int | None = None  # bytes of a large file after which nothing more comes
    corrupt: bool = False
    status: int | None = None  # answer every request with this
    listing: Callable[[dict[str, Any]], None] | None = None  # changes what is said of a repository

    @property
    def elsewhere(self) -> str:
        """The same server under another name, as large files lie on another host."""
        return self.url.replace("127.0.0.1", "localhost")

    def fetched(self, path: str) -> list[str]:
        """The ranges asked for of a file's content ("" for all of it)."""
        return [r for method, p, r in self.requests if method == "GET" and p.endswith(path)]


def git_hash(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def etag_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if len(content) >= LARGE else git_hash(content)


@contextmanager
def serving(repos: dict[str, Repo]) -> Iterator[Hub]:
    """A running server on a free port of this machine."""
    hub = Hub(repos)

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append((self.command, path, self.headers.get("Range", "")))
        if self.state.status is not None:
            return self._send(self.state.status, b"trouble", body=body)
        if path.startswith("/cdn/"):
            return self._cdn(path.removeprefix("/cdn/"), body=body)
        parts = path.removeprefix("/api/models/").strip("/").split("/")
        name = "/".join(parts[:2])
        repo = self.state.repos.get(name)
        if repo is None:
            return self._send(401, b"", {"X-Error-Code": "RepoNotFound"}, body=body)
        if path.startswith("/api/models/"):
            kind, revision = (parts[2], parts[3]) if len(parts) > 3 else ("revision", "main")
            return self._api(name, repo, kind, revision, body=body)
        return self._resolve(repo, parts[3], "/".join(parts[4:]), body=body)

    def _api(self, name: str, repo: Repo, kind: str, revision: str, *, body: bool) -> None:
        files = repo.at(revision)
        if files is None:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        commit = repo.commit if revision == "main" else revision
        if kind == "tree":
            data: Any = [
                {"type": "file", "path": p, "oid": git_hash(c), "size": len(c), **_lfs(c)} for p, c in files.items()
            ]
        else:
            siblings = [{"rfilename": p, "size": len(c), "blobId": git_hash(c), **_lfs(c)} for p, c in files.items()]
            data = {"id": name, "modelId": name, "sha": commit, "gated": repo.gated, "siblings": siblings}
            if self.state.listing:
                self.state.listing(data)
        return self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"}, body=body)

    def _resolve(self, repo: Repo, revision: str, path: str, *, body: bool) -> None:
        if repo.gated and self.headers.get("Authorization") != f"Bearer {self.state.token}":
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"}, body=body)
        files = repo.at(revision)
        if files is None:
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        if path not in files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
        content = files[path]
        commit = repo.commit if revision == "main" else revision
        head = {"X-Repo-Commit": commit, "ETag": f'"{etag_of(content)}"'}
        if len(content) < LARGE:
            return self._send(200, content, head, body=body)
        head |= {"X-Linked-Etag": f'"{etag_of(content)}"', "X-Linked-Size": str(len(content))}
        return self._send(
            302, b"", {**head, "Location": f"{self.state.elsewhere}/cdn/{etag_of(content)}/{path}"}, body=body
        )

    def _cdn(self, path: str, *, body: bool) -> None:
        wanted = path.split("/", maxsplit=1)[0]
        every = [f for r in self.state.repos.values() for f in (r.files, *r.history.values())]
        content = next(c for files in every for c in files.values() if etag_of(c) == wanted)
        if self.state.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").split("-")[0])
        head = {"ETag": f'"{wanted}"', "Accept-Ranges": "bytes"}
        if start:
            head["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, content[start:], head, body=body, may_break=True)

    def _send(
        self, status: int, content: bytes, head: dict[str, str] | None = None, *, body: bool, may_break: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in (head or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not body:
            return
        limit = self.state.cut_after
        if may_break and limit is not None and len(content) > limit and self.state.cuts > 0:
            self.state.cuts -= 1
            self.wfile.write(content[:limit])
            self.close_connection = True
            self.connection.close()
            return
        stall = self.state.stall_after if may_break else None
        self.wfile.write(content[:stall])
        while stall is not None and self.state.stall_after is not None:
            time.sleep(0.02)


def _lfs(content: bytes) -> dict[str, Any]:
    if len(content) < LARGE:
        return {}
    digest = hashlib.sha256(content).hexdigest()
    return {"lfs": {"oid": digest, "sha256": digest, "size": len(content), "pointerSize": 134}}
