"""The servers that `serve.py` measures, ours and others, each as a process of its own while it is asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

OURS = {"unmask onnx": "onnx", "unmask int8": "onnx-int8", "unmask torch": "torch"}
PEERS = ("naive", "well-set", "litserve")
START_SECONDS = 120


def route(server: str, task: str) -> str:
    """Return the path under which ``server`` answers ``task``."""
    return f"/{task}" if server in OURS else "/predict"


@contextmanager
def started(server: str, model: Path, task: str, litserve: Path | None, options: Sequence[str]) -> Iterator[int]:
    """Run ``server`` over ``model`` and yield its port once it answers; ``litserve`` is the python that has it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if server in OURS:
        words = [sys.executable, "-m", "unmask", "serve", f"m={model}", "--engine", OURS[server], "--port", str(port)]
    elif server == "litserve":
        words = [str(litserve), str(Path(__file__).with_name("serve_litserve.py")), str(model), task, str(port)]
    else:
        words = [sys.executable, str(Path(__file__).with_name("serve_peers.py")), server, str(model), task, str(port)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([*words, *options], stdout=said, stderr=said, start_new_session=True)
        try:
            _wait_for(process, port, route(server, task), said)
            yield port
        finally:
            _end(process)


def _wait_for(process: subprocess.Popen[bytes], port: int, path: str, said: Any) -> None:
    """Wait until a request is answered."""
    body = json.dumps({"inputs": "the [MASK] of the list"}).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"content-type": "application/json"})
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(asked, timeout=30).close()
            return
        time.sleep(0.1)
    said.seek(0)
    raise SystemExit(f"a server did not come up: {said.read()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and whom it has started
    process.wait()
