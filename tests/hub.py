"""A stand-in for the hub: the part of its HTTP interface through which a model is made and filled, on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
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
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:  # noqa: N802  # the library's name
            self._answer()

        def do_POST(self) -> None:  # noqa: N802
            self._answer()

        def do_PUT(self) -> None:  # noqa: N802
            self._answer()

        def _answer(self) -> None:
            body, path = self._body(), self.path.partition("?")[0]
            hub.asked.append(f"{self.command} {path}")
            for begin, status in hub.failing.items():
                if path.startswith(begin):
                    self._fail(status)
                    return
            if not path.startswith("/store/"):
                hub.tokens.add(self.headers.get("authorization"))
                hub.agents.add(self.headers.get("user-agent", ""))
            status, answer = self._handled(path, body)
            self._send(status, answer)

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
            if not status:
                self.close_connection = True
                self.connection.close()
                return
            self._send(status, {"error": hub.says} if hub.says else {})

        def _send(self, status: int, answer: object) -> None:
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def _handled(self, path: str, body: bytes) -> tuple[int, object]:
            if path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                is_new = name not in hub.private
                hub.private.setdefault(name, asked.get("visibility") == "private" or asked.get("private") is True)
                return (200 if is_new else 409), {"url": f"{hub.address}/{name}", "name": name}
            if path == "/api/validate-yaml":
                return 200, {"errors": [], "warnings": []}
            if path.startswith("/store/"):
                digest = path.rpartition("/")[2]
                assert hashlib.sha256(body).hexdigest() == digest
                hub.stored[digest] = body
                return 200, {}
            if path.endswith("/info/lfs/objects/batch"):
                return 200, {"objects": [self._place(one) for one in json.loads(body)["objects"]]}
            if "/preupload/" in path:
                files = [one["path"] for one in json.loads(body)["files"]]
                modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in files}
                return 200, {
                    "files": [{"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in modes.items()]
                }
            if "/commit/" in path:
                hub.commits.append(dict(map(self._committed, body.splitlines()[1:])))
                return 200, {"commitUrl": f"{hub.address}/commit/1", "commitOid": "1" * 40, "success": True}
            if path.removeprefix("/api/models/") in hub.private:
                name = path.removeprefix("/api/models/")
                return 200, {"id": name, "private": hub.private[name], "sha": "1" * 40}
            return 404, {"error": "not found"}

        def _place(self, one: dict[str, Any]) -> dict[str, Any]:
            return {**one, "actions": {"upload": {"href": f"{hub.address}/store/{one['oid']}", "header": {}}}}

        def _committed(self, line: bytes) -> tuple[str, tuple[str, bytes]]:
            kind, value = (json.loads(line)[key] for key in ("key", "value"))
            data = base64.b64decode(value["content"]) if kind == "file" else hub.stored[value["oid"]]
            return value["path"], (kind, data)

    return Handler
