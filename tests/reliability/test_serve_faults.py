"""Workers are killed, stopped and poisoned, and the server is told to end: every request that was taken is answered."""

from __future__ import annotations

import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tests.published import publish, tensors_of
from tests.serving import Running

from unmask.corpus.tokenizer import load_tokenizer

pytestmark = pytest.mark.slow  # starts processes again and again

TEXT = "the small red fox sees a tree and walks home over the green hill"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    publish("modernbert", folder)
    return folder


@pytest.fixture
def server(model: Path) -> Iterator[Running]:
    with Running({"m": model}, "--workers", "2", "--deadline-ms", "8000", "--drain-seconds", "0.2") as running:
        yield running


class Load:
    """Clients that ask one thing after the other until they are told to stop."""

    def __init__(self, server: Running, clients: int = 6) -> None:
        self.codes: list[int] = []
        self.slowest = 0.0
        self._server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            start = time.monotonic()
            status, _ = self._server.post("/embed", {"inputs": TEXT[: 5 + 7 * number]})
            if status == 0:  # nobody listens any more
                return
            self.codes.append(status)
            self.slowest = max(self.slowest, time.monotonic() - start)

    def end(self) -> list[int]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.codes


def until(happens: Callable[[], bool], seconds: float) -> float:
    """Wait for something, and return how long it took."""
    start = time.monotonic()
    while not happens():
        assert time.monotonic() - start < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - start


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_stops_under_load_costs_no_request(sig: signal.Signals, server: Running) -> None:
    load = Load(server)
    until(lambda: len(load.codes) > 20, 20)
    before = server.workers()
    os.kill(before[0], sig)
    until(lambda: before[0] not in server.workers(), 10)
    until(lambda: len(server.workers()) == 2 and server.get("/readyz")[1]["workers"] == 2, 60)
    assert set(load.end()) == {200}
    assert load.slowest < 8


def test_a_server_without_a_living_worker_is_not_ready_within_two_seconds(server: Running) -> None:
    for pid in server.workers():
        os.kill(pid, signal.SIGSTOP)
    assert until(lambda: server.get("/readyz")[0] == 503, 10) < 2.5
    assert server.get("/livez")[0] == 200
    until(lambda: server.get("/readyz")[0] == 200, 60)
    assert server.post("/embed", {"inputs": TEXT})[0] == 200


def test_a_worker_that_dies_again_and_again_ends_the_server(server: Running) -> None:
    def killed() -> bool:
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        return server.process.poll() is not None

    until(killed, 120)
    code, said = server.stop()
    assert code == 1
    assert "the workers die as fast as they are started" in said


def test_one_poisoned_text_fails_alone(tmp_path: Path) -> None:
    """Its embedding is so large that the network answers with NaN."""
    publish("modernbert", tmp_path)
    tensors = tensors_of(tmp_path)
    [poison] = load_tokenizer(tmp_path).encode("q", add_special_tokens=False).ids
    tensors["model.embeddings.tok_embeddings.weight"][poison] = torch.finfo(torch.float32).max
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with Running({"m": tmp_path}, "--workers", "1") as running:
        codes: dict[str, list[int]] = {"q": [], TEXT: []}
        threads = [
            threading.Thread(target=lambda text=text: codes[text].append(running.post("/embed", {"inputs": text})[0]))
            for text in ("q", TEXT) * 8
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert codes == {"q": [500] * 8, TEXT: [200] * 8}
        assert running.counted("unmask_worker_restarts_total") == 0


def test_a_worker_that_has_no_memory_left_is_replaced_and_costs_no_request(tmp_path: Path) -> None:
    """It may not take a page more; a text that is longer than all before it needs many."""
    publish("modernbert", tmp_path, max_position_embeddings=2048)
    with Running({"m": tmp_path}, "--workers", "1", "--engine", "torch", "--deadline-ms", "60000") as running:
        load = Load(running)
        until(lambda: len(load.codes) > 20, 20)
        [worker] = running.workers()
        size = int(Path(f"/proc/{worker}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(worker, resource.RLIMIT_AS, (size, size))
        assert running.post("/embed", {"inputs": [f"{TEXT} " * 50] * 2})[0] == 200
        assert worker not in running.workers()
        assert set(load.end()) == {200}
        assert "no memory is left" in running.stop()[1]


def test_a_sigterm_under_load_loses_no_request(server: Running) -> None:
    load = Load(server)
    until(lambda: len(load.codes) > 20, 20)
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.get("/readyz")[0] in (503, 0), 5)
    assert server.process.wait(20) == 0
    assert set(load.end()) <= {200}


def test_who_is_told_twice_ends_at_once(server: Running) -> None:
    server.process.send_signal(signal.SIGTERM)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
    assert server.workers() == []


@contextmanager
def few_files(soft: int) -> Iterator[None]:
    """Let what is started here open ``soft`` files by itself, as systemd does, and this process as many as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def link_to(server: Running, said: bytes = b"") -> socket.socket:
    """Return a connection on which ``said`` was sent."""
    link = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    link.sendall(said)
    return link


def test_a_thousand_silent_and_half_sent_requests_keep_nobody_waiting(model: Path) -> None:
    head = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99\r\n"
    whole = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    with few_files(512):
        running = Running({"m": model}, "--workers", "1")
    with running as server:
        before = server.resident()[0]
        silent = [link_to(server) for _ in range(1000)]
        bodies, heads = ([link_to(server, said) for _ in range(50)] for said in (head + b"\r\n{", head))
        again = link_to(server, whole)
        assert b" 200 " in again.recv(1000)
        again.sendall(head)  # a second request, of which the head does not end
        assert server.post("/embed", {"inputs": TEXT})[0] == 200
        assert b" 408 " in bodies[0].recv(200)
        assert [link.recv(10) for link in (silent[0], silent[-1], heads[0], again)] == [b""] * 4
        for link in (*silent, *bodies, *heads, again):
            link.close()
        assert server.post("/embed", {"inputs": TEXT})[0] == 200
        assert server.resident()[0] < before + 20


def test_a_head_without_an_end_is_refused(server: Running) -> None:
    before = server.resident()[0]
    for said in (b"GET / HTTP/1.1\r\nx: ", b"GET /"):
        link = link_to(server, said)
        with suppress(ConnectionError):
            for _ in range(200):
                link.sendall(b"a" * 1_000_000)
        with suppress(ConnectionError):
            assert link.recv(100)[:13] in (b"", b"HTTP/1.1 400 ")
        link.close()
    assert server.resident()[0] < before + 20
    assert server.post("/embed", {"inputs": TEXT})[0] == 200


HOSTILE: list[bytes] = [
    b"",
    b"\x00" * 100,
    b'{"inputs": "\x00"}',
    b'{"inputs": "\\ud800"}',
    b'{"inputs": 1e400}',
    b'{"inputs": ' + b"9" * 5000 + b"}",
    b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"inputs": "' + b"\\" * 5001 + b'"}',
    b'{"inputs": {"a": ' * 1000,
    b'{"inputs": "' + "\u202e\u0000\ufeff\U0010ffff".encode() * 100 + b'"}',
    b'{"inputs": ["' + b"a" * 20_000_000 + b'"]}',
    b'{"inputs": ["' + b'","'.join([b"a"] * 100_000) + b'"]}',
    b'{"inputs": null, "parameters": null}',
    b'{"inputs": "a", "inputs": "b"}',
    b'\xef\xbb\xbf{"inputs": "a"}',
]


def test_no_body_is_answered_with_an_error_of_ours(server: Running) -> None:
    assert server.post("/fill", {"inputs": "a [MASK]"})[0] == 200
    codes: list[Any] = []
    for path in ("/fill", "/embed", "/score", "/tokenize", "/similarity", "/", "/models/m", "/v1/embeddings"):
        codes += [server.post(path, body)[0] for body in HOSTILE]
    before = server.resident()[0]
    for path in ("/fill", "/embed", "/", "/v1/embeddings"):
        codes += [server.post(path, body)[0] for body in HOSTILE]
    assert set(codes) <= {200, 400, 413, 422}
    assert server.resident()[0] < before + 60
    assert server.post("/embed", {"inputs": TEXT})[0] == 200
