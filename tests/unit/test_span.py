"""Spans: a slow twin word by word, the exact rate at the edges, and independence of how documents are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_mask import pack
from tests.unit.test_noise import slow_word

from unmask.batch import Rows
from unmask.masking.span import LONGER, LONGEST, UP_TO, choose_spans, start_probability


def spans(rows: Rows, rate: float = 0.15, *, seed: int = 1, epoch: int = 0) -> tuple[np.ndarray, np.ndarray]:
    count = len(rows.input_ids)
    return choose_spans(rows, seed, np.full(count, epoch), np.full(count, rate))


def slow_begin(seed: int, epoch: int, document: int, word: int, chance: float) -> int | None:
    """Return the earliest beginning that covers ``word``, by looking at every word that could."""
    for begin in range(word - LONGEST + 1, word + 1):
        place = begin % (1 << 62)  # the counter wraps in 64 bits after it was multiplied by 4
        starts = (slow_word(seed, epoch, document, place, 0) >> 40) * 2.0**-24 < chance
        number = (slow_word(seed, epoch, document, place, 3) >> 40) * 2.0**-24
        if starts and begin + 1 + int(np.searchsorted(UP_TO, number, side="right")) > word:
            return begin
    return None


def test_a_slow_twin_finds_the_same_spans() -> None:
    rows = pack([(n * 977 + 3, 0, 40) for n in range(5)], 96)
    hidden, begin = spans(rows, 0.3, seed=4, epoch=2)
    chance = float(start_probability(np.array([0.3]))[0])
    for at in zip(*np.nonzero(~rows.special), strict=True):
        expected = slow_begin(4, 2, int(rows.document[at]), int(rows.word[at]), chance)
        assert hidden[at] == (expected is not None)
        if expected is not None:
            assert begin[at] == expected
    assert not hidden[rows.special].any()


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(4, 30), st.integers(4, 30), st.integers(0, 2**63)
)
def test_cutting_and_packing_change_no_span(lengths: list[int], one: int, other: int, seed: int) -> None:
    def found(width: int, across: int) -> dict[tuple[int, int], int]:
        windows = [
            (number, first, min(width - 2, length - first))
            for number, length in enumerate(lengths)
            for first in range(0, length, width - 2)
        ]
        rows = pack(windows, across * width)
        hidden, begin = spans(rows, 0.4, seed=seed)
        where = np.nonzero(hidden)
        keys = zip(rows.document[where].tolist(), rows.offset[where].tolist(), strict=True)
        return dict(zip(keys, begin[where].tolist(), strict=True))

    assert found(one, 1) == found(other, 2)


def test_the_rate_is_exact_at_every_place_of_a_document() -> None:
    """4,000 documents of 30 words: no place differs, not even the first or the last (false alarm 1 in 500)."""
    rows = pack([(n * 7919 + 1, 0, 30) for n in range(4_000)], 32)
    hidden, _ = spans(rows, 0.15)
    share = hidden[:, 1:31].mean(0)
    assert np.abs(share - 0.15).max() < 4.2 * np.sqrt(0.15 * 0.85 / 4_000)


@pytest.mark.parametrize("rate", [0.0, 1e-6, 0.15, 0.5, 0.99, 1.0])
def test_the_chance_of_a_beginning_gives_the_rate(rate: float) -> None:
    chance = start_probability(np.array([rate]))
    assert 1 - np.prod(1 - chance * LONGER) == pytest.approx(rate, abs=1e-9)


def test_lengths_are_those_of_the_paper() -> None:
    weights = 0.2 * 0.8 ** np.arange(10)
    assert np.diff(UP_TO, prepend=0) == pytest.approx(weights / weights.sum())
    assert LONGER.sum() == pytest.approx(3.797, abs=1e-3)  # the mean; SpanBERT says 3.8


def test_rows_that_hold_nothing_hide_nothing() -> None:
    rows = pack([(1, 0, 1)], 8)
    empty = Rows(**{name: np.zeros_like(getattr(rows, name)) for name in Rows.__slots__})
    special = Rows(**{**{name: getattr(empty, name) for name in Rows.__slots__}, "special": np.ones((1, 8), bool)})
    assert not spans(special, 0.9)[0].any()
