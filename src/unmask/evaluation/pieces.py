"""Documents cut into pieces that a model reads at once, between words.

What bites: each piece is read for itself, so its first words lack the context that the document would have given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer

from unmask.corpus.tokenizer import parse_tokenizer

_WORD = re.compile(r"\S+")


def pieces(tokenizer: Tokenizer, text: str, longest: int) -> list[str]:
    """Return ``text`` cut between words into pieces of at most ``longest`` tokens.

    A word that has more tokens is in none of them.
    """
    spans = [found.span() for found in _WORD.finditer(text)]
    words = tokenizer.encode_batch([text[slice(*span)] for span in spans], add_special_tokens=False)
    sizes = [len(word) for word in words]
    return [text[first:last] for first, last in _packed(spans, sizes, longest)]


def _packed(spans: Sequence[tuple[int, int]], sizes: Sequence[int], longest: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the pieces, as many neighbouring words in each as fit."""
    begin: int | None = None
    end = filled = 0
    for (start, stop), size in zip(spans, sizes, strict=True):
        if begin is not None and filled + size > longest:
            yield begin, end
            begin, filled = None, 0
        if size <= longest:
            begin = start if begin is None else begin
            end, filled = stop, filled + size
    if begin is not None:
        yield begin, end


def plain_reader(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy of ``tokenizer`` that takes text which says [MASK] for ordinary text."""
    copy = parse_tokenizer(tokenizer.to_str())
    copy.encode_special_tokens = True
    return copy
