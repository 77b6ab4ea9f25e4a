"""The order of rows: a permutation every epoch, a place is one number."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.corpus.order import rows_at


@settings(max_examples=60)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1), st.integers(0, 10**6))
def test_every_epoch_shows_each_row_once(num_rows: int, seed: int, epoch: int) -> None:
    rows = rows_at(np.arange(epoch * num_rows, (epoch + 1) * num_rows), num_rows, seed)
    assert np.array_equal(np.sort(rows), np.arange(num_rows))


@given(st.integers(1, 10**9), st.integers(0, 2**63), st.integers(0, 10**15))
def test_a_place_needs_no_history(num_rows: int, seed: int, place: int) -> None:
    alone = rows_at(np.array([place]), num_rows, seed)[0]
    among = rows_at(np.arange(max(0, place - 3), place + 4), num_rows, seed)
    assert among[min(place, 3)] == alone
    assert 0 <= alone < num_rows


def test_epochs_seeds_and_neighbours_look_unrelated() -> None:
    num_rows = 10_007
    first = rows_at(np.arange(num_rows), num_rows, 1)
    for other in (rows_at(np.arange(num_rows, 2 * num_rows), num_rows, 1), rows_at(np.arange(num_rows), num_rows, 2)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.05
        assert (first == other).sum() < 12  # about 1 is expected
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.05
    assert abs(np.corrcoef(first, np.arange(num_rows))[0, 1]) < 0.05
