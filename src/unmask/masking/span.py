"""Spans of whole words (Joshi et al. 2020, "SpanBERT", section 3.1), without a budget.

A span begins at a word by that word's own number and is as long as another number says; a word is hidden where some span
covers it. What bites: the words before the document count as beginnings too, else its first words would be hidden less.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows
from unmask.masking import noise

LONGEST = 10
"""Words in the longest span."""

GEOMETRIC = 0.2
"""SpanBERT's parameter: lengths have a mean of 3.8 words."""

_WEIGHTS = GEOMETRIC * (1 - GEOMETRIC) ** np.arange(LONGEST)
UP_TO = np.cumsum(_WEIGHTS) / _WEIGHTS.sum()
"""(LONGEST,) chance of a length of at most 1, 2, ... words."""

LONGER = np.concatenate(([1.0], 1 - UP_TO[:-1]))
"""(LONGEST,) chance of a length above 0, 1, ... words."""

_HALVINGS = 50


def start_probability(rate: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (N,) the chance of a span's beginning at a word that hides a share ``rate`` (N,) of the words.

    A word escapes if none of the last LONGEST words begins a span that reaches it: solves
    1 - prod_d (1 - q LONGER[d]) = rate for q by bisection.
    """
    low, high = np.zeros_like(rate), np.ones_like(rate)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        hides_more = 1 - np.prod(1 - middle[:, None] * LONGER, axis=1) > rate
        low, high = np.where(hides_more, low, middle), np.where(hides_more, middle, high)
    return np.asarray((low + high) / 2)


def span_of(
    rows: Rows, seed: int, epoch: npt.NDArray[np.integer], rate: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return (R, L) which tokens a span covers, and the word at which the earliest such span begins.

    ``epoch`` (R,) and ``rate`` (R,) are those in force at each row. A beginning before the document is negative.
    """
    flat, length = rows.segment.ravel(), rows.segment.shape[1]
    opens = flat > 0
    opens[1:] &= (flat[1:] != flat[:-1]) | (np.arange(1, len(flat)) % length == 0)
    first = np.flatnonzero(opens)  # each window's [CLS]
    if not len(first):
        return np.zeros(rows.segment.shape, bool), np.zeros(rows.segment.shape, np.int64)
    window = np.cumsum(opens) - 1
    size = np.bincount(window[flat > 0], minlength=len(first))
    words = rows.word.ravel().astype(np.int64)
    low, high = words[np.minimum(first + 1, len(flat) - 1)], words[first + np.maximum(size - 2, 0)]

    # The words of each window and the LONGEST - 1 before them, end to end.
    before = LONGEST - 1
    count = high - low + 1 + before
    ends = np.cumsum(count)
    of = np.repeat(np.arange(len(first)), count)
    word = np.arange(ends[-1]) - (ends - count)[of] + (low - before)[of]
    row = first // length
    keys = noise.document_keys(seed, epoch[row], rows.document.ravel()[first + 1 if length > 1 else first])[of]
    starts = noise.uniform(noise.words(keys, word, noise.HIDDEN)) < start_probability(rate)[row][of]
    reach = np.zeros(len(word), np.int64)
    where = np.flatnonzero(starts)
    reach[where] = 1 + np.searchsorted(
        UP_TO, noise.uniform(noise.words(keys[where], word[where], noise.FREE)), side="right"
    )

    begin = np.full(len(word), np.iinfo(np.int64).min)
    for distance in range(LONGEST):  # farther ones overwrite nearer ones: the earliest span stays
        covered = reach[: len(word) - distance] > distance
        begin[distance:][covered] = word[: len(word) - distance][covered]
    at = (ends - count)[window] + before + words - low[window]
    at = np.where(rows.special.ravel() | (flat == 0), 0, at)
    found = begin[at].reshape(rows.segment.shape)
    return (found > np.iinfo(np.int64).min) & ~rows.special, found
