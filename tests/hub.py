"""A stand-in for the hub: the part of its HTTP interface through which a model is made and filled, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

LARGE = (".safetensors", ".onnx")


@dataclass
class Hub:
    """What a hub knows, and how it misbehaves: ``failing`` maps the beginning of a path to a status, 0 hangs up."""

    address: str = ""
    failing: dict[str, int] = field(default_factory=dict)
    says: str = ""
    """What it says of a failure."""
    private: dict[str, bool] = field(default_factory=dict)
    """Whether each model that was made is private."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files by their digest."""
    commits: list[dict[str, tuple[str, bytes]]] = field(default_factory=list)
    """Each commit's files by path: how they came (file or lfsFile), and what is in them."""
    tokens: set[str | None] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Yield a hub that answers while the block runs."""
    hub = Hub()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = hub
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    hub: Hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        hub, body, path = self.server.hub, self._body(), self.path.partition("?")[0]
        hub.asked.append(f"{self.command} {path}")
        for begin, status in hub.failing.items():
            if path.startswith(begin):
                self._fail(status)
                return
        if not path.startswith("/store/"):
            hub.tokens.add(self.headers.get("authorization"))
            hub.agents.add(self.headers.get("user-agent", ""))
        for part, answer in _ANSWERS.items():
            if part in path:
                self._send(*answer(hub, path, body))
                return
        self._send(404, {"error": "not found"})

    do_GET = do_PUT = do_POST  # noqa: N815  # the library's names

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _fail(self, status: int) -> None:
        if status:
            self._send(status, {"error": self.server.hub.says})
        else:
            self.close_connection = True
            self.connection.close()

    def _send(self, status: int, answer: object) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _create(hub: Hub, _: str, body: bytes) -> tuple[int, Any]:
    asked = json.loads(body)
    name = f"{asked['organization']}/{asked['name']}"
    status = 409 if name in hub.private else 200
    hub.private.setdefault(name, asked.get("visibility") == "private" or asked.get("private") is True)
    return status, {"url": f"{hub.address}/{name}", "name": name}


def _sort(_: Hub, __: str, body: bytes) -> tuple[int, Any]:
    names = [one["path"] for one in json.loads(body)["files"]]
    modes = [(name, "lfs" if name.endswith(LARGE) else "regular") for name in names]
    return 200, {"files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes]}


def _place(hub: Hub, _: str, body: bytes) -> tuple[int, Any]:
    def placed(one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "actions": {"upload": {"href": f"{hub.address}/store/{one['oid']}", "header": {}}}}

    return 200, {"objects": list(map(placed, json.loads(body)["objects"]))}


def _store(hub: Hub, path: str, body: bytes) -> tuple[int, Any]:
    digest = path.rpartition("/")[2]
    hub.stored[digest] = body
    return (200 if hashlib.sha256(body).hexdigest() == digest else 400), {}


def _commit(hub: Hub, path: str, body: bytes) -> tuple[int, Any]:
    def committed(line: bytes) -> tuple[str, tuple[str, bytes]]:
        kind, value = (json.loads(line)[key] for key in ("key", "value"))
        data = base64.b64decode(value["content"]) if kind == "file" else hub.stored[value["oid"]]
        return value["path"], (kind, data)

    hub.commits.append(dict(map(committed, body.splitlines()[1:])))
    name = path.removeprefix("/api/models/").partition("/commit/")[0]
    return 200, {"commitUrl": f"{hub.address}/{name}/commit/{'1' * 40}", "commitOid": "1" * 40}


def _info(hub: Hub, path: str, _: bytes) -> tuple[int, Any]:
    name = path.removeprefix("/api/models/")
    if name not in hub.private:
        return 404, {"error": "not found"}
    return 200, {"id": name, "private": hub.private[name], "sha": "1" * 40}


_ANSWERS: dict[str, Callable[[Hub, str, bytes], tuple[int, Any]]] = {
    "/api/repos/create": _create,
    "/api/validate-yaml": lambda *_: (200, {"errors": [], "warnings": []}),
    "/preupload/": _sort,
    "/info/lfs/objects/batch": _place,
    "/store/": _store,
    "/commit/": _commit,
    "/api/models/": _info,
}
"""What answers, by what stands in the path; the first that fits."""
