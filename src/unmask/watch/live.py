"""Captures the traffic of a server from beside it: hears of answers, makes signals of them, writes them.

What bites: whatever happens here, no answer may be later or other for it. :meth:`Live.heard` only lays a request into a
list of bounded size; the rest is done by two threads, and what they can not keep up with is dropped and counted. A text
is held for some two seconds, those of the sample until they are measured.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from unmask.inference.asks import Ask
from unmask.watch.answers import Answer
from unmask.watch.keys import key_in
from unmask.watch.looking import glance
from unmask.watch.sample import Asked, Sampler
from unmask.watch.settings import WatchSettings
from unmask.watch.signals import Reader, Seen, signals_of
from unmask.watch.store import Captured
from unmask.watch.window import Which, Window, joined
from unmask.watch.writer import Writer

EVERY_SECONDS: Final = 2.0
"""How often what was heard is worked on: ten requests at once cost a third of what they cost one by one."""

MOST_CHARACTERS: Final = 1 << 24
"""Characters of texts that may wait to be worked on."""

MOST_SAMPLED: Final = 64
"""Texts that may wait to be measured."""

MOST_RECENT: Final = 1_000
"""Texts of each model that :meth:`Live.look` looks at, at least, where there were so many."""

LAST_SECONDS: Final = 8.0
"""How long the end waits for what is still under way."""

Asking = Callable[[str, Sequence[Ask]], list[Any] | None]
"""Has the network of a model, by its name, asked while nobody else asks; None where it had no time."""


class _Heard(NamedTuple):
    """A request that was answered."""

    request_id: str
    model: str
    task: str
    time: float
    seconds: float
    texts: Sequence[str]
    answers: Sequence[Answer | None]


class _Waiting(NamedTuple):
    """A text of the sample, and its signals so far."""

    captured: Captured
    text: str


@dataclass(slots=True)
class _Recent:
    """The last windows of a model, and how many texts are in them."""

    windows: deque[Window] = field(default_factory=deque)
    count: int = 0


class Live:
    """The one that listens."""

    def __init__(
        self,
        folder: Path,
        readers: Mapping[str, Reader],
        settings: WatchSettings,
        *,
        base: str | None = None,
        say: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """Listen for the models of ``readers``, by name; ``base`` is the one of them that is the frozen one.

        ``say`` hears where writing fails and where it works again. Raises UserError where ``folder`` can not be used.
        """
        self._readers, self._settings, self._base, self._say = dict(readers), settings, base, say
        self._key = key_in(folder)
        self._writer = Writer(folder, settings, self._key)
        self._samplers: dict[str, Sampler] = {}
        self._lock = threading.Lock()
        self._heard: list[_Heard] = []
        self._characters = self._unheard = self._measured = self._unmeasured = 0
        self._recent: dict[str, _Recent] = {}
        self._to_measure: queue.Queue[_Waiting | None] = queue.Queue(MOST_SAMPLED)
        self._done: queue.SimpleQueue[Captured] = queue.SimpleQueue()
        self._is_ending = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("watch", self._work), ("watch sample", self._measure))
        ]

    def heard(
        self,
        *,
        request_id: str,
        model: str,
        task: str,
        time: float,
        seconds: float,
        texts: Sequence[str],
        answers: Sequence[Answer | None],
    ) -> None:
        """Take note of a request that ``model`` answered at ``time`` (unix), after ``seconds``; returns at once.

        Each of ``texts`` has its answer, or None.
        """
        size = sum(map(len, texts))
        with self._lock:
            if self._characters + size > MOST_CHARACTERS:
                self._unheard += len(texts)
                return
            self._heard.append(_Heard(request_id, model, task, time, seconds, texts, answers))
            self._characters += size

    def start(self, ask: Asking) -> None:
        """Start to work; ``ask`` has networks asked and is called from another thread."""
        base = None if self._base is None else Asked(self._readers[self._base], partial(ask, self._base))
        for name, reader in self._readers.items():
            self._samplers[name] = Sampler(Asked(reader, partial(ask, name)), base)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Write what was heard, if it is taken in time, and end."""
        with suppress(queue.Full):
            self._to_measure.put(None, timeout=LAST_SECONDS / 4)
        self._threads[1].join(LAST_SECONDS / 2)
        self._is_ending.set()
        self._threads[0].join(LAST_SECONDS / 2)

    def figures(self) -> dict[str, float]:
        """Return what is counted: texts that were captured, dropped and measured, and when something was written."""
        return {
            "captured": self._writer.written,
            "dropped_unread": self._unheard,
            "dropped_unwritten": self._writer.dropped,
            "sample_measured": self._measured,
            "sample_dropped": self._unmeasured,
            "last_write": self._writer.last_write,
        }

    def look(self) -> dict[str, Any]:
        """Return the figures and a glance at the last texts of each model, from memory."""
        with self._lock:
            recent = {name: list(kept.windows) for name, kept in self._recent.items()}
        return {
            "figures": self.figures(),
            "trouble": self._writer.trouble,
            "models": {name: glance(joined(windows)) for name, windows in recent.items()},
        }

    def _work(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._is_ending.wait(EVERY_SECONDS)
            trouble = self._writer.trouble
            self._drain()
            if self._writer.trouble != trouble:
                self._say({"watch": self._writer.trouble or "writes again", "dropped": self._writer.dropped})
        with suppress(queue.Empty):  # of the sample, and too late for it
            while True:
                if (one := self._to_measure.get_nowait()) is not None:
                    self._count_unmeasured()
                    self._writer.put(one.captured)
        self._writer.write()
        self._writer.abandon()

    def _drain(self) -> None:
        """Make signals of what was heard and write them, with what was measured since."""
        with self._lock:
            heard, self._heard, self._characters = self._heard, [], 0
        groups: dict[tuple[str, str], list[_Heard]] = {}
        for one in heard:
            groups.setdefault((one.model, one.task), []).append(one)
        for (model, task), requests in groups.items():
            self._capture(model, task, requests)
        with suppress(queue.Empty):
            while True:
                self._keep(self._done.get_nowait())
        self._writer.write()

    def _capture(self, model: str, task: str, requests: Sequence[_Heard]) -> None:
        """Have the signals of ``requests`` written, those of the sample once they are measured."""
        texts = [text for one in requests for text in one.texts]
        counts = [len(one.texts) for one in requests]
        seen = Seen(
            texts=texts,
            answers=[answer for one in requests for answer in one.answers],
            time=np.repeat([one.time for one in requests], counts),
            latency_ms=np.repeat([1000 * one.seconds for one in requests], counts),
        )
        window = signals_of(self._readers[model], seen, self._key)
        names = [(one.request_id, place) for one in requests for place in range(len(one.texts))]
        is_sampled = np.zeros(len(texts), bool)
        for n in self._sampled(model, names):
            captured = self._captured(model, task, window, texts, np.array([n]))
            try:
                self._to_measure.put_nowait(_Waiting(captured, texts[n]))
            except queue.Full:
                self._count_unmeasured()
            else:
                is_sampled[n] = True
        rest: Which = slice(None) if not is_sampled.any() else np.flatnonzero(~is_sampled)
        self._keep(self._captured(model, task, window, texts, rest))

    def _captured(self, model: str, task: str, window: Window, texts: Sequence[str], index: Which) -> Captured:
        """Return the rows ``index`` as they are to be written."""
        kept = np.array(texts, dtype=object)[index].tolist() if self._settings.texts else None
        return Captured(model, task, window.rows(index), kept)

    def _count_unmeasured(self) -> None:
        with self._lock:
            self._unmeasured += 1

    def _sampled(self, model: str, names: Sequence[tuple[str, int]]) -> list[int]:
        """Return which of the texts that ``names`` stand for are measured: by the request's id alone."""
        share = self._settings.sample
        if not share or not self._samplers[model].measures:
            return []
        return [n for n, name in enumerate(names) if _chance(*name) < share]

    def _keep(self, captured: Captured) -> None:
        """Have ``captured`` written, and remember it for a look."""
        self._writer.put(captured)
        with self._lock:
            recent = self._recent.setdefault(captured.model, _Recent())
            recent.windows.append(captured.window)
            recent.count += len(captured.window)
            while recent.count - len(recent.windows[0]) >= MOST_RECENT:
                recent.count -= len(recent.windows.popleft())

    def _measure(self) -> None:
        while (one := self._to_measure.get()) is not None:
            captured = one.captured
            found = self._samplers[captured.model].measure([one.text])
            if found is None:
                self._count_unmeasured()
            else:
                self._measured += 1
                bits = {"live_bits": found.live_bits, "base_bits": found.base_bits}
                numbers = {**captured.window.numbers, **bits}
                captured = replace(
                    captured, window=replace(captured.window, numbers=numbers, embedding=found.embedding)
                )
            self._done.put(captured)


def _chance(request_id: str, place: int) -> float:
    """Return a number from 0 to 1 that stands for text ``place`` of a request."""
    name = f"{request_id} {place}".encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "big") / 2.0**64
