"""A server of ours as a process of its own, over small models of every task."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.published import fine_tuned, publish

from unmask import files
from unmask.cli.export import export, model_manifest
from unmask.exporting.hugging_face import write_hugging_face
from unmask.inference.model_directory import NAME

READY_SECONDS = 90


def write_models(folder: Path, *, graphs: Sequence[str] = ()) -> dict[str, Path]:
    """Return model directories of every task by its name; the one that fills has ``graphs`` too."""
    models = {}
    for task in ("classify", "tag", "answer", "embed"):
        (folder / task).mkdir(parents=True)
        found, models[task] = fine_tuned("modernbert", task, folder / task), folder / task / "out"
        models[task].mkdir()
        write_hugging_face(found, models[task])
        files.write_json(models[task] / NAME, model_manifest(found, models[task], {}).plain())
    (folder / "published").mkdir()
    publish("modernbert", folder / "published")
    models["fill"] = folder / "fill"
    export(folder / "published", models["fill"], ["huggingface", *graphs], progress=False)
    return models


class Running:
    """A server while it runs."""

    def __init__(
        self,
        models: Mapping[str, Path],
        *options: str,
        environment: Mapping[str, str] | None = None,
        python: str | Path = sys.executable,
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.said = ""
        words = [f"{name}={where}" for name, where in models.items()]
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # as long as the server
        self.process = subprocess.Popen(
            [str(python), "-m", "unmask", "serve", *words, "--port", str(self.port), *options],
            stderr=self._said,
            env={**os.environ, **(environment or {})},
        )

    def __enter__(self) -> Self:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            if self.get("/readyz")[0] == 200:
                return self
            time.sleep(0.1)
        self.process.kill()
        raise AssertionError(f"the server did not come up: {self.stop()[1][-2000:]}")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, sig: int = signal.SIGTERM) -> tuple[int, str]:
        """End it and return its exit code and what it has logged."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(60)
        if not self._said.closed:
            with self._said:
                self._said.seek(0)
                self.said = self._said.read()
        return code, self.said

    def workers(self) -> list[int]:
        """Return the process ids of its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        if not children.exists():
            return []
        found = [int(pid) for path in children.parent.parent.glob("*/children") for pid in path.read_text().split()]
        return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def resident(self) -> list[float]:
        """Return the megabytes that it and each of its workers hold."""
        pages = [Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in (self.process.pid, *self.workers())]
        return [int(count) * os.sysconf("SC_PAGE_SIZE") / 1e6 for count in pages]

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", **{key.replace("_", "-"): value for key, value in headers.items()}}
        return self._ask(urllib.request.Request(self.url + path, data, named))

    def _ask(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0, None

    def counted(self, name: str) -> float:
        """Return the sum over labels of a counter."""
        text = self.get("/metrics")[1]
        return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
