"""How expected texts are: the pseudo-log-likelihood of documents in bits per character.

What bites: every token is predicted from all others, so this is no probability of the text, it lies far above one even
for a perfect model, and it is never to be put beside a causal model's perplexity or bits per character.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from unmask.stats.figure import Floats, bootstrap, mean_of

Method = Literal["pll", "word_l2r"]
METHODS: Final[tuple[Method, ...]] = ("pll", "word_l2r")
Score = Callable[[Sequence[str], Method], list[dict[str, float]]]
"""Predictor.score."""
Told = Callable[[int, int], None]
"""Hears how many of how many texts are done."""

AT_ONCE = 32


def part_of(told: Told, number: int, parts: int) -> Told:
    """Return who hears of part ``number`` of several that are as long as each other, and tells of the whole."""
    return lambda done, total: told(number * total + done, parts * total)


def scored(score: Score, texts: Sequence[str], method: Method, told: Told) -> list[dict[str, float]]:
    """Return what ``score`` says of ``texts``, a few at a time."""
    found: list[dict[str, float]] = []
    for first in range(0, len(texts), AT_ONCE):
        found += score(texts[first : first + AT_ONCE], method)
        told(len(found), len(texts))
    return found


def likelihood(score: Score, documents: Sequence[Sequence[str]], told: Told) -> dict[str, Any]:
    """Return bits per character and nats per token of ``documents``, each given as its pieces, by both methods.

    Intervals are over documents.
    """
    texts = [piece for document in documents for piece in document]
    document = np.repeat(np.arange(len(documents)), [len(parts) for parts in documents])
    characters = np.array([len(piece) for piece in texts])
    found: dict[str, Any] = {"documents": len(documents), "characters": int(characters.sum())}
    for number, method in enumerate(METHODS):
        answers = scored(score, texts, method, part_of(told, number, len(METHODS)))
        nats, tokens = (np.array([answer[name] for answer in answers]) for name in ("score", "tokens"))
        found["tokens"] = int(tokens.sum())
        found[method] = {
            "bits_per_character": _ratio(-nats / math.log(2), characters, document),
            "nats_per_token": _ratio(-nats, tokens, document),
        }
    return found


def _ratio(above: Floats, below: npt.NDArray[Any], document: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return the ratio of the sums of ``above`` and ``below`` (N,), with an interval over documents."""
    per_document = np.stack([np.bincount(document, part) for part in (above, below)], 1).astype(np.float64)
    return bootstrap(per_document, mean_of, method="bootstrap over documents").plain()
