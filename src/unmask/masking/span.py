"""Spans of whole words (Joshi et al. 2020, "SpanBERT", section 3.1), without a budget.

A span begins at a word by that word's own number and is as long as another number says; a word is hidden where some
span covers it. What bites: the words before the document count as beginnings too, else its first words would be
hidden less.
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

NOWHERE = np.iinfo(np.int64).min
"""The beginning of the span of a word that none covers."""

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


def choose_spans(
    rows: Rows, seed: int, epoch: npt.NDArray[np.integer], rate: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return (R, L) which tokens a span covers, and the word at which the earliest such span begins.

    ``epoch`` (R,) and ``rate`` (R,) are those in force at each row. A beginning before the document is negative; what a
    span shows is drawn at its beginning, for the span as a whole, as in SpanBERT.
    """
    flat, length = rows.segment.ravel(), rows.segment.shape[1]
    opens = flat > 0
    opens[1:] &= (flat[1:] != flat[:-1]) | (np.arange(1, len(flat)) % length == 0)
    first = np.flatnonzero(opens)  # each window's [CLS], which is followed by at least one token
    if not len(first):
        return np.zeros(rows.segment.shape, bool), np.zeros(rows.segment.shape, np.int64)
    window = np.cumsum(opens) - 1
    size = np.bincount(window[flat > 0], minlength=len(first))
    word = rows.word.ravel().astype(np.int64)
    low, count = word[first + 1], word[first + size - 2] - word[first + 1] + LONGEST
    row = first // length
    keys = noise.document_keys(seed, epoch[row], rows.document.ravel()[first])
    begin = _begins(keys, low - (LONGEST - 1), count, start_probability(rate)[row])
    at = (np.cumsum(count) - count + LONGEST - 1 - low)[window] + word
    found = begin[np.where(rows.special.ravel(), 0, at)].reshape(rows.segment.shape)
    return (found > NOWHERE) & ~rows.special, found


def _begins(
    keys: noise.Words, low: npt.NDArray[np.int64], count: npt.NDArray[np.int64], chance: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Return, for ``count`` (W,) words from ``low`` (W,) on of W windows end to end, where the earliest span begins.

    The first LONGEST - 1 words of each window only lend their spans; what is said of them does not hold.
    """
    window = np.repeat(np.arange(len(count)), count)
    word = np.arange(len(window)) + (low - np.cumsum(count) + count)[window]
    starts = np.flatnonzero(noise.uniform(noise.words(keys[window], word, noise.HIDDEN)) < chance[window])
    length = noise.uniform(noise.words(keys[window[starts]], word[starts], noise.FREE))
    reach = np.zeros(len(word), np.int64)
    reach[starts] = 1 + np.searchsorted(UP_TO, length, side="right")
    begin = np.full(len(word), NOWHERE)
    for distance in range(LONGEST):  # farther ones overwrite nearer ones: the earliest span stays
        covered = np.flatnonzero(reach[: len(word) - distance] > distance)
        begin[covered + distance] = word[covered]
    return begin
