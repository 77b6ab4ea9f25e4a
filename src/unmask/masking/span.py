"""Spans of whole words (Joshi et al. 2020, "SpanBERT", section 3.1), without a budget.

A span begins at a word by that word's own number and is as long as another number says; a word is hidden where some
span covers it. What bites: the words before the document count as beginnings too, else its first words would be
hidden less.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows, runs_of
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

TOGETHER = float((2 * np.arange(LONGEST) + 1) @ LONGER / LONGER.sum())
"""Words in the span of a hidden word, itself counted, on average: long spans hold more of the words."""

NOWHERE = np.iinfo(np.int64).min
"""The beginning of the span of a word that none covers."""

_HALVINGS, _STEPS = 10, 5
"""Bisections that come near the root, and Newton's steps that then double the digits each time."""


def start_probability(rate: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return (N,) the chance of a span's beginning at a word that hides a share ``rate`` (N,) of the words.

    A word escapes if none of the last LONGEST words begins a span that reaches it: solves
    1 - prod_d (1 - q LONGER[d]) = rate for q.
    """
    wanted, back = np.unique(rate, return_inverse=True)
    low, high = np.zeros_like(wanted), np.ones_like(wanted)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        hides_more = 1 - np.prod(1 - middle[:, None] * LONGER, axis=1) > wanted
        low, high = np.where(hides_more, low, middle), np.where(hides_more, middle, high)
    chance = (low + high) / 2
    for _ in range(_STEPS):  # the factor that vanishes at 1 stays away from 0
        escapes = 1 - np.minimum(chance, 1 - 2**-40)[:, None] * LONGER
        product = np.prod(escapes, axis=1)
        chance = np.clip(chance - (1 - product - wanted) / (product * (LONGER / escapes).sum(1)), 0, 1)
    return np.asarray(np.where(wanted < 1, chance, 1.0)[back])


def choose_spans(
    rows: Rows, seed: int, epoch: npt.NDArray[np.integer], rate: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return (R, L) which tokens a span covers, and the word at which the earliest such span begins.

    ``epoch`` (R,) and ``rate`` (R,) are those in force at each row. A beginning before the document is negative; what a
    span shows is drawn at its beginning, for the span as a whole, as in SpanBERT.
    """
    run, run_size = runs_of(rows.segment)  # windows, each from its [CLS] on, and runs of padding
    is_window = rows.segment.ravel()[run] > 0
    first, size = run[is_window], run_size[is_window]
    if not len(first):
        return np.zeros(rows.segment.shape, bool), np.zeros(rows.segment.shape, np.int64)
    word = rows.word.ravel()
    low = word[first + 1].astype(np.int64)  # a window holds at least one token of text
    count = word[first + size - 2] - low + LONGEST
    row = first // rows.segment.shape[1]
    keys = noise.document_keys(seed, epoch[row], rows.document.ravel()[first])
    begin = _begins(keys, low - (LONGEST - 1), count, start_probability(rate)[row])
    shift = np.zeros(len(run), np.int64)
    shift[is_window] = np.cumsum(count) - count + LONGEST - 1 - low
    at = np.repeat(shift, run_size) + word
    found = begin.take(at, mode="clip").reshape(rows.segment.shape)  # of special tokens it says nothing
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
