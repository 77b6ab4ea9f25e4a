"""Examples that a person reads: held-out sentences with a word hidden, and what the model expects there.

What bites: the choice of sentences must not depend on the model, or examples flatter it. It hangs on the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

Fill = Callable[[list[str]], list[Any]]

_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"\b[a-z]{4,}\b")
_LENGTHS = range(8, 25)


def example_fills(
    fill: Fill, mask_token: str, tokenizer: Tokenizer, texts: Iterable[str], count: int
) -> list[dict[str, Any]]:
    """Return up to ``count`` sentences of ``texts`` with one word of one token hidden, and the model's five best.

    Each is ``{"pieces": [{"text", "hidden"}, {"text", "hidden", "predictions": [{"token", "probability"}]}, ...]}``.
    """
    chosen = list(islice(_chosen(tokenizer, texts), count))
    answers = fill([f"{before}{mask_token}{after}" for before, _, after in chosen])
    return [
        {
            "pieces": [
                {"text": before, "hidden": False},
                {
                    "text": word,
                    "hidden": True,
                    "predictions": [{"token": best["token_str"], "probability": best["score"]} for best in answer],
                },
                {"text": after, "hidden": False},
            ]
        }
        for (before, word, after), answer in zip(chosen, answers, strict=True)
    ]


def _chosen(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    """Yield (before, word, after) of one sentence a text at most, the word by a hash of the sentence."""
    for text in texts:
        for sentence in _SENTENCE.split(" ".join(text.split())):
            if len(sentence.split()) not in _LENGTHS or not sentence.endswith("."):
                continue
            words = [
                word
                for word in _WORD.finditer(sentence)
                if len(tokenizer.encode(word[0], add_special_tokens=False)) == 1
            ]
            if words:
                number = int.from_bytes(blake2b(sentence.encode(), digest_size=4).digest(), "little")
                word = words[number % len(words)]
                yield sentence[: word.start()], word[0], sentence[word.end() :]
                break
