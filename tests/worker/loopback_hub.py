"""A hub of our own on 127.0.0.1: as much of its API as the installed client asks for, with a connection that can fail.

Point ``HF_ENDPOINT`` at `LoopbackHub.url`. It lives in a thread of the test, so it survives every process under test.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = "someone/tiny-ace-step"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LFS_BYTES = 100_000
"""Files from this size on are stored as large ones, named by their SHA-256."""

_BLOCK_BYTES = 1 << 14


@dataclass(frozen=True)
class Sent:
    """One answered GET of a file: from where, and how many bytes went out."""

    path: str
    start: int
    num_bytes: int


@dataclass
class LoopbackHub:
    """Serves a folder as a repository.

    Attributes:
        root: The folder.
        name: The repository's.
        sent: What was sent of files, in order.
        cut_after: By path: after so many bytes the connection is closed, once.
        bytes_per_s: How fast files are sent; None = as fast as they go.
        gated: Files are refused until the terms are accepted.
        is_down: Every connection is closed without an answer.
        corrupt: By path: how many times its bytes are spoilt on the way.
    """

    root: Path
    name: str = NAME
    sent: list[Sent] = field(default_factory=list)
    cut_after: dict[str, int] = field(default_factory=dict)
    bytes_per_s: float | None = None
    gated: bool = False
    is_down: bool = False
    corrupt: dict[str, int] = field(default_factory=dict)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, home: Path) -> dict[str, str]:
        """What a process needs to use this hub and a cache of its own."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def files(self) -> dict[str, Path]:
        return {path.relative_to(self.root).as_posix(): path for path in sorted(self.root.rglob("*")) if path.is_file()}

    def num_bytes(self, path: str) -> int:
        """Bytes of a file that were sent, over all requests."""
        return sum(sent.num_bytes for sent in self.sent if sent.path == path)

    def starts(self, path: str) -> list[int]:
        """Where each request for a file began."""
        return [sent.start for sent in self.sent if sent.path == path]


@contextlib.contextmanager
def serving(root: Path, name: str = NAME) -> Iterator[LoopbackHub]:
    """A hub for the block."""
    hub = LoopbackHub(root, name)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


class _Handler(BaseHTTPRequestHandler):
    hub: LoopbackHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """No words on stderr."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        if self.hub.is_down:
            self.close_connection = True
            self.connection.close()
            return
        path = unquote(urlsplit(self.path).path)
        if match := re.fullmatch(rf"/api/(?:models|datasets)/{self.hub.name}(?:/revision/(.+))?", path):
            self._info(match[1])
        elif match := re.fullmatch(rf"/(?:datasets/)?{self.hub.name}/resolve/([^/]+)/(.+)", path):
            self._file(match[1], match[2], with_body=with_body)
        else:
            self._refuse(404, "RepoNotFound")

    def _info(self, revision: str | None) -> None:
        if revision not in (None, "main", COMMIT):
            self._refuse(404, "RevisionNotFound")
            return
        siblings = []
        for name, path in self.hub.files().items():
            content = path.read_bytes()
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": _blob_id(content)}
            if len(content) >= LFS_BYTES:
                entry["lfs"] = {"sha256": _etag(content), "size": len(content), "pointerSize": 134}
            siblings.append(entry)
        info = {
            "id": self.hub.name,
            "modelId": self.hub.name,
            "sha": COMMIT,
            "private": False,
            "tags": [],
            "siblings": siblings,
        }
        self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _file(self, revision: str, name: str, *, with_body: bool) -> None:
        if self.hub.gated:
            self._refuse(403, "GatedRepo")
            return
        path = self.hub.files().get(name)
        if path is None or revision not in ("main", COMMIT):
            self._refuse(404, "EntryNotFound")
            return
        content = path.read_bytes()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_etag(content)}"', "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        if asked:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if not with_body:
            self._send(200, b"", {**headers, "Content-Length": str(len(content))})
            return
        if self.hub.corrupt.get(name, 0) > 0:
            self.hub.corrupt[name] -= 1
            content = bytes(len(content))
        self.send_response(206 if asked else 200)
        for key, value in {**headers, "Content-Length": str(len(content) - start)}.items():
            self.send_header(key, value)
        self.end_headers()
        self._stream(name, content, start)

    def _stream(self, name: str, content: bytes, start: int) -> None:
        """Send the bytes at the hub's pace; note what went out, also when the other side is gone."""
        end = len(content)
        if name in self.hub.cut_after:
            end = min(end, start + self.hub.cut_after.pop(name))
        place = start
        try:
            while place < end:
                block = content[place : min(place + _BLOCK_BYTES, end)]
                self.wfile.write(block)
                place += len(block)
                if self.hub.bytes_per_s:
                    time.sleep(len(block) / self.hub.bytes_per_s)
        except OSError:
            self.close_connection = True
        finally:
            self.hub.sent.append(Sent(name, start, place - start))
        if end < len(content):
            self.close_connection = True
            self.connection.close()

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


def _etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if len(content) >= LFS_BYTES else _blob_id(content)
