"""What a predictor wants to know of the network, as values that any engine can be handed, here or in another process.

A question is put as a generator: it yields what it asks, window by window, is sent what was answered, and returns the
answer for people. What bites: whoever runs the network may lay the windows of many questions into one batch; no answer
may depend on what else is in it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from unmask.inference.encoding import Window

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Engine(Protocol):
    """What runs the network of a language model."""

    hidden_size: int
    max_length: int

    def logits(self, windows: Sequence[Ids], asked: Sequence[int]) -> Floats:
        """Return (N, V) logits at one place of each window."""

    def logits_at(self, windows: Sequence[Ids], asked: Sequence[Ids]) -> list[Floats]:
        """Return (A, V) logits at the places of each window, which ascend."""

    def states(self, windows: Sequence[Ids]) -> list[Floats]:
        """Return the last states (L, D) of each window."""


class TaskEngine(Protocol):
    """What runs the network of a task."""

    def scores(self, windows: Sequence[Window]) -> list[Floats]:
        """Return the scores of each window: classify (C,), tag (A, C), answer (L, 2), embed (D,)."""


@dataclass(frozen=True, slots=True)
class Likeliest:
    """Which tokens of ``choice`` are likeliest at a place: answered by ids and log-probabilities, ``top_k`` of each."""

    window: Ids
    place: int
    choice: Ids | None
    """None for all that are ordinary."""
    top_k: int


@dataclass(frozen=True, slots=True)
class Chance:
    """How likely a token is at a place: answered by its log-probability."""

    window: Ids
    place: int
    token: int


@dataclass(frozen=True, slots=True)
class Chances:
    """How likely tokens are at their places, all in one pass: answered by (A,) log-probabilities."""

    window: Ids
    places: Ids
    """(A,) ascending."""
    tokens: Ids


@dataclass(frozen=True, slots=True)
class Mean:
    """What stands for a text: answered by the mean of the last states (D,) over its window, special tokens included."""

    window: Ids


@dataclass(frozen=True, slots=True)
class Score:
    """What a task's network says of a window."""

    window: Window


Ask = Likeliest | Chance | Chances | Mean | Score
Answer = TypeVar("Answer")
Question = Generator[Sequence[Ask], list[Any], Answer]


def length_of(ask: Ask) -> int:
    """Return how many tokens the network reads for ``ask``."""
    return len(ask.window.input_ids) if isinstance(ask, Score) else len(ask.window)


def answers(engine: Any, asks: Sequence[Any], ordinary: Ids) -> list[Any]:
    """Return what ``engine``, an Engine or a TaskEngine, answers to each of ``asks``.

    ``ordinary`` are the ids of all tokens that a mask may stand for.
    """
    found: list[Any] = [None] * len(asks)
    in_words: list[int] = [n for n, ask in enumerate(asks) if isinstance(ask, Likeliest | Chance)]
    in_passes = [n for n, ask in enumerate(asks) if isinstance(ask, Chances)]
    as_means = [n for n, ask in enumerate(asks) if isinstance(ask, Mean)]
    as_scores = [n for n, ask in enumerate(asks) if isinstance(ask, Score)]
    if in_words:
        logits = engine.logits([asks[n].window for n in in_words], [asks[n].place for n in in_words])
        for n, row in zip(in_words, logits, strict=True):
            found[n] = _in_words(asks[n], row, ordinary)
    if in_passes:
        at_places = engine.logits_at([asks[n].window for n in in_passes], [asks[n].places for n in in_passes])
        for n, rows in zip(in_passes, at_places, strict=True):
            found[n] = _log_chances(rows)[np.arange(len(rows)), asks[n].tokens]
    if as_means:
        for n, states in zip(as_means, engine.states([asks[n].window for n in as_means]), strict=True):
            found[n] = states.mean(0)
    if as_scores:
        for n, scores in zip(as_scores, engine.scores([asks[n].window for n in as_scores]), strict=True):
            found[n] = scores
    return found


def answered(question: Question[Answer], engine: Any, ordinary: Ids) -> Answer:
    """Return the answer to ``question``, whatever it asks answered by ``engine``."""
    try:
        asks = next(question)
        while True:
            asks = question.send(answers(engine, asks, ordinary))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # an Answer, by the type of the generator


def _in_words(ask: Any, logits: Floats, ordinary: Ids) -> Any:
    """Return what ``logits`` (V,) say of the tokens that are asked for."""
    chances = _log_chances(logits)
    if isinstance(ask, Chance):
        return float(chances[ask.token])
    choice = ordinary if ask.choice is None else ask.choice
    best = _best(chances[choice], ask.top_k)
    return choice[best], chances[choice[best]]


def _log_chances(logits: Floats) -> npt.NDArray[np.float64]:
    """Return the log-probabilities that ``logits`` (..., V) stand for."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def _best(scores: npt.NDArray[np.float64], top_k: int) -> npt.NDArray[np.int64]:
    """Return the places of the ``top_k`` highest scores, the first of equals first."""
    candidates = np.arange(len(scores))
    if top_k < len(scores):
        candidates = np.flatnonzero(scores >= np.partition(scores, -top_k)[-top_k])
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top_k]
