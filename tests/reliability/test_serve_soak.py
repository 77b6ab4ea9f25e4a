"""Ten minutes of everything at once: no error of ours, and memory that does not grow."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress
from scipy.stats import t as students
from tests.made_text import sentences
from tests.serving import Running, write_models

SECONDS, LOOK_EVERY, BLOCKS = 600, 2.0, 9
CLIENTS = 6
MOST_GROWTH = 4.0
"""Megabytes by which memory may grow for certain in ten minutes; what is kept of each request would be hundreds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 300)]


class Client:
    """Asks whatever comes to its mind until it is told to stop."""

    def __init__(self, server: Running, number: int, end: float) -> None:
        self.codes: Counter[int] = Counter()
        self._server, self._chance, self._end = server, random.Random(number), end
        self._texts = [" ".join(one) for one in _runs_of(sentences(200))]
        self.thread = threading.Thread(target=self._ask)
        self.thread.start()

    def _ask(self) -> None:
        kinds = [self._fill, self._plain, self._answer, self._compare, self._openai, self._hostile, self._hang_up]
        while time.monotonic() < self._end:
            kind: Callable[[], int] = self._chance.choices(kinds, weights=[8, 8, 3, 3, 3, 2, 2])[0]
            self.codes[kind()] += 1

    def _some(self) -> list[str]:
        many = 300 if self._chance.random() < 0.02 else self._chance.randint(1, 8)
        return self._chance.choices(self._texts, k=many)

    def _fill(self) -> int:
        targets = {"targets": ["tree", "house"]} if self._chance.random() < 0.3 else {}
        masked = [f"{text} [MASK]" for text in self._some()]
        return self._post("/fill", {"model": "fill", "inputs": masked, "parameters": targets})

    def _plain(self) -> int:
        task = self._chance.choice(["classify", "tag", "embed", "score", "tokenize"])
        model = "fill" if task in ("score", "tokenize") else task
        return self._post(f"/{task}", {"model": model, "inputs": self._some()})

    def _answer(self) -> int:
        asked = [{"question": "who walks ?", "context": text * self._chance.randint(1, 9)} for text in self._some()[:4]]
        return self._post("/answer", {"model": "answer", "inputs": asked})

    def _compare(self) -> int:
        text, *others = [*self._some(), "a house"]
        return self._post("/models/embed/pipeline/sentence-similarity", {"source_sentence": text, "sentences": others})

    def _openai(self) -> int:
        form = self._chance.choice(["float", "base64"])
        return self._post("/v1/embeddings", {"model": "embed", "input": self._some(), "encoding_format": form})

    def _hostile(self) -> int:
        bodies = [b"", b"[" * 9000, b'{"inputs": 1e400}', b'{"inputs": "' + b"a" * 3_000_000 + b'"}', b"\xff" * 5000]
        return self._post("/embed", self._chance.choice(bodies))

    def _hang_up(self) -> int:
        body = json.dumps({"model": "fill", "inputs": self._some()}).encode()
        head = (
            f"POST /score HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", self._server.port)) as link:
            link.sendall(head.encode() + body[: self._chance.randint(1, len(body))])
        return 499

    def _post(self, path: str, body: Any) -> int:
        return self._server.post(path, body)[0]


def _runs_of(words: Any) -> list[list[str]]:
    """Return texts of one sentence to six."""
    texts = list(words)
    return [texts[at : at + 1 + at % 6] for at in range(len(texts) - 6)]


def certain_growth(seconds: list[float], megabytes: list[float]) -> float:
    """Return by how much memory grows in ten minutes for certain: the low end of a 99 % interval on the slope.

    Neighbouring looks are alike, so the line is drawn through the means of BLOCKS stretches.
    """
    at, level = (np.array([part.mean() for part in np.array_split(values, BLOCKS)]) for values in (seconds, megabytes))
    line = linregress(at, level)
    return float((line.slope - students.ppf(0.995, BLOCKS - 2) * line.stderr) * 600)


def test_memory_does_not_grow_under_ten_minutes_of_mixed_load(tmp_path: Path) -> None:
    models = write_models(tmp_path, graphs=["onnx"])
    bounds = ("--workers", "2", "--queue-tokens", "4096", "--deadline-ms", "5000", "--too-long", "stride")
    with Running(models, *bounds) as running:
        start = time.monotonic()
        clients = [Client(running, number, start + SECONDS) for number in range(CLIENTS)]
        looks: list[tuple[float, list[float]]] = []
        while (now := time.monotonic()) < start + SECONDS:
            if now > start + SECONDS / 5:  # by then every kind of request has been there often
                looks.append((now, running.resident()))
            time.sleep(LOOK_EVERY)
        for client in clients:
            client.thread.join()
        codes = sum((client.codes for client in clients), Counter[int]())
        assert running.counted("unmask_worker_restarts_total") == 0
        assert set(codes) <= {200, 400, 413, 422, 429, 499, 504}
        assert codes[200] > 5 * SECONDS
        at = [when for when, _ in looks]
        grown = [certain_growth(at, list(held)) for held in zip(*(held for _, held in looks), strict=True)]
        assert max(grown) < MOST_GROWTH, grown
        assert running.stop()[0] == 0
