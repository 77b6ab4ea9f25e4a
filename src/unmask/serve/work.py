"""The worker: a process of its own that holds the networks and answers batches, one after the other.

What bites: it is killed, stopped and starved in the worst moments. It holds nothing that is not elsewhere, and its
heart beats from a thread of its own, so that a batch that takes long is not taken for a death.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

from unmask.inference.asks import answers
from unmask.inference.loading import engine_of
from unmask.inference.resolve import resolve

BEAT_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Failed:
    """In place of an answer: why there is none."""

    why: str


@dataclass(frozen=True, slots=True)
class Loading:
    """What a worker has to load."""

    models: Mapping[str, tuple[str, str]]
    """Where each model is and the engine that runs it, by its name."""
    threads: int


Reply = tuple[list[Any], float]
"""The answers to a batch, and the seconds that they took."""


def work(pipe: Connection, beat: Any, loading: Loading) -> None:
    """Load, say so, and answer batches (model, asks) from ``pipe`` until it closes; ``beat`` shows the time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the front process decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    networks = {name: _network(*model, loading.threads) for name, model in loading.models.items()}
    threading.Thread(target=_beat, args=(beat,), daemon=True).start()  # while libraries load, no thread gets its turn
    pipe.send(sorted(networks))
    while True:
        try:
            name, asks = pipe.recv()
        except (EOFError, ConnectionError):
            return
        start = time.perf_counter()
        pipe.send((networks[name](asks), time.perf_counter() - start))


def _network(where: str, engine_name: str, threads: int) -> Callable[[Sequence[Any]], list[Any]]:
    found = resolve(Path(where))
    engine, ordinary = engine_of(found, engine_name, threads), found.vocabulary.ordinary_ids

    def answer(asks: Sequence[Any]) -> list[Any]:
        try:
            return [_checked(one) for one in answers(engine, asks, ordinary)]
        except Exception as error:  # noqa: BLE001  # the edge of a process: those who wait must hear of it, whatever it is
            why, is_starved = f"{type(error).__name__}: {error}", _is_starved(error)
        if not is_starved:
            return [Failed(why)] * len(asks)
        if len(asks) == 1:
            sys.exit(f"no memory is left to answer one text in; another process takes its place ({why})")
        return [answer([ask])[0] for ask in asks]

    return answer


def _is_starved(error: Exception) -> bool:
    """Say whether memory ran out; torch and onnxruntime have no class of error for that, and all of them say alloc.

    A window alone is bounded, so it is this process that has no room left, and not the text that is too large.
    """
    return isinstance(error, MemoryError) or "alloc" in str(error)


def _checked(answer: Any) -> Any:
    """Return ``answer``, or Failed where a number in it is not finite."""
    numbers = answer[1] if isinstance(answer, tuple) else answer
    return answer if np.isfinite(numbers).all() else Failed("the network answered with numbers that are not finite")


def _beat(beat: Any) -> None:
    while True:
        beat.value = time.monotonic()
        time.sleep(BEAT_SECONDS)
