"""Signals of traffic that never was: days of requests, with rhythm, with vectors, with a share of other texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unmask.watch.keys import hash_of
from unmask.watch.store import Captured, append, connect
from unmask.watch.window import CLASSES, NUMBERS, Window

MONDAY = 4 * 86_400.0 + 52 * 7 * 86_400.0
"""A Monday at midnight UTC, in unix seconds."""
DAY = 86_400.0
LABELS = np.array(["books", "music", "tools"])


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What requests are drawn from."""

    rows: int = 200
    weekend: float = 0.0
    """By how much Saturdays and Sundays differ, in standard deviations."""
    daily: float = 0.0
    """Standard deviation of what all requests of a day share."""
    vectors: int = 0
    """Width of embeddings; 0 is none."""
    strange: float = 0.0
    """Share of the requests that are of another kind."""

    def days(self, chance: np.random.Generator, days: int, first: int = 0, start: float = MONDAY) -> Window:
        """Return the requests of ``days``, the first of which is the ``first`` after ``start``."""
        count = days * self.rows
        day = first + np.arange(days)
        moved = self.weekend * (day % 7 >= 5) + self.daily * chance.standard_normal(days)
        level = np.repeat(moved, self.rows)
        strange = chance.random(count) < self.strange
        numbers = {name: np.full(count, np.nan) for name in NUMBERS}
        sure = 1 + level + chance.standard_normal(count) - 1.5 * strange
        numbers["confidence"] = 1 / (1 + np.exp(-sure))
        numbers["tokens"] = np.floor(np.exp(3 + 0.5 * (level + chance.standard_normal(count)) + 0.8 * strange))
        numbers["truncated"] = (numbers["tokens"] > 60).astype(np.float64)
        numbers["latency_ms"] = 5 * np.exp(2 * chance.standard_normal(count))
        label = np.where(strange, 2, (chance.random(count) * 2.5).astype(np.int64).clip(0, 2))
        classes = {name: np.full(count, "") for name in CLASSES} | {"prediction": LABELS[label]}
        embedding = None
        if self.vectors:
            embedding = chance.standard_normal((count, self.vectors)).astype(np.float32)
            embedding[:, 0] += 2 * strange
        time = (start + DAY * day)[:, None] + np.linspace(0, DAY - 1, self.rows)
        return Window(time=time.ravel(), numbers=numbers, classes=classes, embedding=embedding)


def stored(folder: Path, window: Window, model: str = "tickets") -> None:
    """Write ``window`` to the store in ``folder``, as a server does."""
    key = np.array([hash_of(str(place), b"key") for place in range(len(window))])
    kept = Window(time=window.time, numbers=window.numbers, classes=window.classes, embedding=window.embedding, key=key)
    connection = connect(folder, 5.0)
    append(connection, [Captured(model, "classify", kept)])
    connection.close()
