"""Worker processes, each driven by a thread: started, watched, killed and started again.

What bites: a process can be gone, stopped, or busy for ever, and only the last of these looks alive from outside. So
its heart is listened to while it works and while it rests, and what it works on has a time by which it is done.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final

from unmask.serve.work import Failed, Loading, work

SILENT_SECONDS: Final = 1.5
"""A heart that has not beaten for so long has stopped."""

LOADING_SECONDS: Final = 600.0
"""By when a worker has loaded its models."""

LOOK_EVERY: Final = 0.1
MOST_DEATHS: Final = 5
DEATHS_SECONDS: Final = 60.0
"""A worker that dies so often in so many seconds is not started again: the server ends."""

_SPAWN = multiprocessing.get_context("spawn")

Answered = Callable[[int, list[Any], float], None]
"""Told by a worker's thread: which worker, the answers to what it was given, the seconds that they took."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker is to answer, and by when it has to be done."""

    model: str
    asks: Sequence[Any]
    seconds: float


class Worker:
    """One process and the thread that drives it."""

    def __init__(
        self,
        number: int,
        loading: Loading,
        *,
        ready: Callable[[int], None],
        answered: Answered,
        gone: Callable[[int], None],
        lost: Callable[[], None],
    ) -> None:
        """Start both. The thread calls ``ready``, ``answered``, ``gone`` (it died) and ``lost`` (it dies too often)."""
        self.number = number
        self._loading, self._ready, self._answered, self._gone, self._lost = loading, ready, answered, gone, lost
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._deaths: list[float] = []
        self._is_ending = threading.Event()
        self._process: Any = None
        self._thread = threading.Thread(target=self._drive, name=f"worker {number}", daemon=True)
        self._thread.start()

    def give(self, batch: Batch) -> None:
        """Hand over a batch; its answers are told to ``answered``."""
        self._batches.put(batch)

    def stop(self) -> None:
        """End thread and process, once what was given is answered."""
        self._is_ending.set()
        self._batches.put(None)
        self._thread.join()

    def kill(self) -> None:
        """End the process now, whatever it works on: it heeds no other signal, and Python waits for it at its end."""
        self._is_ending.set()
        if self._process is not None:
            self._process.kill()

    def _drive(self) -> None:
        while True:
            process, pipe, beat = self._start()
            self._process = process
            try:
                if not self._serve(process, pipe, beat):
                    return
            finally:
                process.kill()
                process.join()
                pipe.close()
            self._gone(self.number)
            if self._is_ending.is_set():
                return
            now = time.monotonic()
            self._deaths = [at for at in self._deaths if at > now - DEATHS_SECONDS] + [now]
            if len(self._deaths) >= MOST_DEATHS:
                self._lost()
                return

    def _start(self) -> tuple[Any, Connection, Any]:
        ours, theirs = _SPAWN.Pipe()
        beat = _SPAWN.Value("d", time.monotonic() + LOADING_SECONDS, lock=False)
        process = _SPAWN.Process(
            target=work, args=(theirs, beat, self._loading), name=f"unmask {self.number}", daemon=True
        )
        process.start()
        theirs.close()
        return process, ours, beat

    def _serve(self, process: Any, pipe: Connection, beat: Any) -> bool:
        """Hand batches over and answers back until the process has to be replaced (True) or is to end (False)."""
        if self._reply(process, pipe, beat, LOADING_SECONDS, until=self._is_ending) is None:
            return True
        while not self._batches.empty():  # given to the one before, and given to others since
            if self._batches.get() is None:
                return False
        self._ready(self.number)
        while True:
            try:
                batch = self._batches.get(timeout=LOOK_EVERY)
            except queue.Empty:
                if _is_alive(process, beat):
                    continue
                return True
            if batch is None:
                return False
            try:
                pipe.send((batch.model, batch.asks))
                reply = self._reply(process, pipe, beat, batch.seconds)
            except (OSError, EOFError):
                reply = None
            if reply is None:
                return True
            self._answered(self.number, *reply)

    def _reply(
        self, process: Any, pipe: Connection, beat: Any, seconds: float, until: threading.Event | None = None
    ) -> Any:
        """Return what the process sends, or None where it dies, stops, takes longer than ``seconds``, or ``until``."""
        end = time.monotonic() + seconds
        try:
            while not pipe.poll(LOOK_EVERY):
                is_late = time.monotonic() > end or (until is not None and until.is_set())
                if is_late or not _is_alive(process, beat):
                    return None
            return pipe.recv()
        except (OSError, EOFError):
            return None


def _is_alive(process: Any, beat: Any) -> bool:
    return bool(process.is_alive() and time.monotonic() - beat.value < SILENT_SECONDS)


def is_failure(answer: Any) -> bool:
    """Say whether a worker has given a reason in place of an answer."""
    return isinstance(answer, Failed)
