"""Shifts that are put into healthy traffic, to see whether they are noticed: of texts, and of signals alone.

What bites: what texts are changed into must pass through the same model and tokenizer as the traffic did, so shifts of
texts need texts; without them only the mix of what was captured can be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from unmask.evaluation.corruption import corrupted
from unmask.watch.waves import sampled
from unmask.watch.window import OF_SAMPLE, Window

TYPOS = 0.1
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_TURNED = str.maketrans(
    _ALPHABET + _ALPHABET.upper(),
    _ALPHABET[13:] + _ALPHABET[:13] + _ALPHABET[13:].upper() + _ALPHABET[:13].upper(),
)

TEXT_SHIFTS: Final[Mapping[str, Callable[[str], str]]] = {
    "typos, 10% of letters": lambda text: "".join(corrupted(text, "typos", TYPOS)),
    "all capitals": str.upper,
    "words of no known language": lambda text: text.translate(_TURNED),
    "cut off after a third": lambda text: text[: max(1, len(text) // 3)],
    "spaces lost": lambda text: text.replace(" ", "") or text,
}
"""What is done to each text."""

TOPIC_SHARE = 0.05
_LEAST_ROWS = 30


@dataclass(frozen=True, slots=True)
class Injection:
    """A shift: rows as they are, and rows as they become; ``paired`` where row n is the same text in both."""

    name: str
    healthy: Window
    shifted: Window
    paired: bool = False


def signal_injections(reference: Window, seed: int = 0) -> Iterator[Injection]:
    """Yield the shifts that can be made of ``reference`` alone: more of one class, of one topic, more cut off."""
    chance = np.random.Generator(np.random.Philox(seed))
    labels, counts = np.unique(
        reference.classes["prediction"][reference.classes["prediction"] != ""], return_counts=True
    )
    if len(labels) > 1:
        second = labels[np.argsort(-counts, kind="stable")[1]]
        rows = np.flatnonzero(reference.classes["prediction"] == second)
        if len(rows) >= _LEAST_ROWS:
            yield Injection(f"more of the class {second}", reference, reference.rows(rows))
    places = np.flatnonzero(sampled(reference.embedding, len(reference)))
    if reference.embedding is not None and len(places) >= _LEAST_ROWS / TOPIC_SHARE:
        vectors = reference.embedding[places]
        middle = vectors[chance.integers(len(vectors))]
        near = np.argsort(((vectors - middle) ** 2).sum(1), kind="stable")[: int(TOPIC_SHARE * len(vectors))]
        yield Injection("more of one topic", reference, reference.rows(places[near]))
    if np.isfinite(reference.numbers["truncated"]).any():
        numbers = {**reference.numbers, "truncated": np.where(np.isnan(reference.numbers["truncated"]), np.nan, 1.0)}
        yield Injection("texts that are too long", reference, replace(reference, numbers=numbers), paired=True)


def thinned(window: Window, like: Window) -> Window:
    """Return ``window`` with vectors and sampled numbers in as small a share of its rows as ``like`` has them."""
    share = sampled(like.embedding, len(like)).mean()
    if window.embedding is None or share >= 1:
        return window
    dropped = np.arange(len(window)) % max(1, round(1 / max(share, 1e-9))) != 0
    embedding = np.where(dropped[:, None], np.nan, window.embedding).astype(np.float32)
    numbers = {
        name: np.where(dropped, np.nan, column) if name in OF_SAMPLE else column
        for name, column in window.numbers.items()
    }
    return replace(window, embedding=embedding, numbers=numbers)
