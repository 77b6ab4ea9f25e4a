"""The floor beside a masked model on sentences: three tokens in a row, counted.

Witten and Bell's interpolation (1991): what follows a context is estimated from its counts and, as often as something
new followed there, from the shorter context. What bites: it reads left to right, so its scores are logarithms of
probabilities, and those of a masked model are not. Only which of two sentences each prefers can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from unmask.corpus.directory import Corpus

Ids = npt.NDArray[np.int64]
MOST_TOKENS = 20_000_000
"""Tokens of a corpus that are counted, from its beginning: bounds the memory at about a gigabyte."""


class Trigrams:
    """Counts of three tokens in a row, and the probabilities that follow from them."""

    def __init__(self, documents: Iterable[npt.NDArray[np.integer]], vocab_size: int) -> None:
        """Count ``documents``, arrays of token ids under ``vocab_size``, none of them empty."""
        self._edge, self._base = vocab_size, vocab_size + 1  # one more token stands before and after a document
        whole = np.concatenate([self._framed(document) for document in documents])
        first, second, third = whole[:-2], whole[1:-1], whole[2:]
        inside = (third != self._edge) | (second != self._edge)  # not what begins the next document
        triples = (first[inside] * self._base + second[inside]) * self._base + third[inside]
        self._triples, self._triple_counts = np.unique(triples, return_counts=True)
        self._pairs, self._pair_counts = np.unique(triples % self._base**2, return_counts=True)
        self._singles = np.bincount(third[inside], minlength=self._base)

    def score(self, sentences: Sequence[npt.NDArray[np.integer]]) -> npt.NDArray[np.float64]:
        """Return (N,) log p of each of N sentences in nats, its end counted."""
        framed = [self._framed(sentence) for sentence in sentences]
        lengths = [len(sentence) - 2 for sentence in framed]
        first, second, third = (
            np.concatenate([sentence[place : len(sentence) - 2 + place] for sentence in framed]) for place in range(3)
        )
        logs = np.log(self._probability(first, second, third))
        sentence = np.repeat(np.arange(len(framed)), lengths)
        return np.bincount(sentence, weights=logs, minlength=len(framed)).astype(np.float64)

    def _framed(self, document: npt.NDArray[np.integer]) -> Ids:
        return np.concatenate(([self._edge, self._edge], document, [self._edge])).astype(np.int64)

    def _probability(self, first: Ids, second: Ids, third: Ids) -> npt.NDArray[np.float64]:
        singles = (self._singles[third] + 1) / (self._singles.sum() + self._base)
        pair = second * self._base + third
        pairs = _witten_bell(self._pairs, self._pair_counts, self._base, second, pair, singles)
        triple = first * self._base**2 + pair
        return _witten_bell(self._triples, self._triple_counts, self._base, first * self._base + second, triple, pairs)


def trigrams_of(corpus: Corpus) -> Trigrams:
    """Return the trigrams of the training text of ``corpus``, of its first MOST_TOKENS."""
    documents, left = [], MOST_TOKENS
    for shard in corpus.split("train").shards:
        for start, end in zip(shard.starts, islice(shard.starts, 1, None), strict=False):
            if left <= 0:
                break
            documents.append(np.asarray(shard.tokens[start:end]))
            left -= int(end - start)
    return Trigrams(documents, corpus.vocabulary.size)


def _witten_bell(
    known: Ids,
    counts: Ids,
    base: int,
    context: Ids,
    wanted: Ids,
    shorter: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return p(token | context): (count + kinds p(token | shorter context)) / (count of the context + kinds).

    ``known`` (K,) are the sequences that occur, ascending, with their ``counts``; kinds are the tokens that followed.
    """
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    count = np.where(known[place] == wanted, counts[place], 0)
    begin, end = np.searchsorted(known, context * base), np.searchsorted(known, (context + 1) * base)
    sums = np.concatenate(([0], np.cumsum(counts)))
    seen, kinds = sums[end] - sums[begin], end - begin
    mixed = (count + kinds * shorter) / np.maximum(seen + kinds, 1)
    return np.where(seen > 0, mixed, shorter)
