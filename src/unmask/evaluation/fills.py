"""Examples that a person reads: held-out sentences with a word hidden, and what the model expects there.

What bites: the choice of sentences must not depend on the model, or examples flatter it. It hangs on the text alone,
and goes by a hash, since neighbouring documents tell of the same thing.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

Fill = Callable[..., list[Any]]
"""Predictor.fill: texts, and ``targets`` to choose among."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[^\Wa-z\d_])")
_WORD = re.compile(r"(?<= )[^\W\d_]{4,}\b")
_ENDS = (".", "!", "?")
_LENGTHS = range(8, 25)
_SHORT_LINE = 40
"""Characters under which a line ends its paragraph: a heading, an item or an empty line, no line that was wrapped."""
_DOCUMENTS = 10_000
"""Held-out documents that sentences are taken from, at most."""
_CANDIDATES = 20
"""Sentences that are looked at for each that is shown: not all have a word that can be hidden."""


def example_fills(
    fill: Fill, mask_token: str, tokenizer: Tokenizer, texts: Iterable[str], count: int
) -> list[dict[str, Any]]:
    """Return up to ``count`` sentences of ``texts`` with one word of one token hidden, and the model's five best.

    Each is ``{"pieces": [{"text", "hidden"}, {"text", "hidden", "probability", "predictions": [{"token",
    "probability"}]}, ...]}``; ``probability`` of a piece is what the model gave to the word that was there.
    """
    chosen = list(islice(_chosen(tokenizer, texts, count * _CANDIDATES), count))
    masked = [f"{before}{mask_token}{after}" for before, _, after in chosen]
    answers = fill(masked)
    truths = [fill([text], targets=[f" {word}"])[0] for text, (_, word, _) in zip(masked, chosen, strict=True)]
    return [
        {
            "pieces": [
                {"text": before, "hidden": False},
                {
                    "text": word,
                    "hidden": True,
                    "probability": truth[0]["score"],
                    "predictions": [{"token": best["token_str"], "probability": best["score"]} for best in answer],
                },
                {"text": after, "hidden": False},
            ]
        }
        for (before, word, after), answer, truth in zip(chosen, answers, truths, strict=True)
    ]


def _chosen(tokenizer: Tokenizer, texts: Iterable[str], candidates: int) -> Iterator[tuple[str, str, str]]:
    """Yield (before, word, after) of the sentences with the smallest hashes, the word by the hash too."""
    hashed = {sentence: _hash(sentence) for text in islice(texts, _DOCUMENTS) for sentence in _sentences(text)}
    for sentence in heapq.nsmallest(candidates, hashed, key=hashed.__getitem__):
        words = [word for word in _WORD.finditer(sentence) if _can_be_hidden(word[0], tokenizer)]
        if words:
            word = words[hashed[sentence] % len(words)]
            yield sentence[: word.start()], word[0], sentence[word.end() :]


def _sentences(text: str) -> list[str]:
    """Return the sentences of a length that is read at a glance."""
    found = (sentence for paragraph in _paragraphs(text) for sentence in _SENTENCE.split(paragraph))
    return [sentence for sentence in found if len(sentence.split()) in _LENGTHS and sentence.endswith(_ENDS)]


def _paragraphs(text: str) -> list[str]:
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        paragraphs[-1] += line.split()
        if len(line) < _SHORT_LINE:
            paragraphs.append([])
    return [" ".join(words) for words in paragraphs]


def _can_be_hidden(word: str, tokenizer: Tokenizer) -> bool:
    """Say whether ``word`` is no name and, with the space before it, one token that the tokenizer knows."""
    tokens = tokenizer.encode(f" {word}", add_special_tokens=False).ids
    return word == word.lower() and len(tokens) == 1 and tokenizer.decode(tokens).strip() == word


def _hash(sentence: str) -> int:
    return int.from_bytes(blake2b(sentence.encode(), digest_size=8).digest(), "little")
