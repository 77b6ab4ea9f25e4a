"""The order of rows: a permutation every epoch of every source, exact shares, a place is one number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.corpus.order import LONGEST_PATTERN, RowOrder, mixture_pattern, pattern_counts, rows_at

MIXTURES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=2, max_size=5)
"""How many rows a source has, and how many a pattern takes of it."""


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


@pytest.mark.parametrize(
    ("weights", "counts"),
    [
        ([0.9, 0.1], [9, 1]),
        ([3.0, 1.0, 2.0], [3, 1, 2]),
        ([0.2, 0.2], [1, 1]),
        ([0.333, 0.333, 0.334], [333, 333, 334]),
        ([1.0, 2.0**0.5], [4142, 5858]),
        ([1.0, 1e-4], [9999, 1]),
        ([1.0, 1e-5], [10_000, 0]),
    ],
)
def test_a_pattern_is_the_shortest_that_has_the_shares(weights: list[float], counts: list[int]) -> None:
    assert pattern_counts(weights).tolist() == counts


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_any_weights_have_a_pattern_that_is_near_them(weights: list[float]) -> None:
    counts = pattern_counts(weights)
    assert 1 <= counts.sum() <= LONGEST_PATTERN
    np.testing.assert_allclose(counts / counts.sum(), np.array(weights) / sum(weights), atol=1 / LONGEST_PATTERN)


def test_a_pattern_spreads_its_sources() -> None:
    pattern, before = mixture_pattern(np.array([5, 1, 3]))
    assert pattern.tolist() == [0, 2, 0, 0, 1, 2, 0, 2, 0]
    assert before.tolist() == [0, 0, 1, 2, 0, 1, 3, 2, 4]


@given(MIXTURES, st.integers(0, 2**64 - 1), st.integers(0, 1000))
def test_each_pattern_has_the_exact_shares(mixture: list[tuple[int, int]], seed: int, number: int) -> None:
    sizes, weights = map(list, zip(*mixture, strict=True))
    order = RowOrder(sizes, weights)
    length = int(pattern_counts(weights).sum())
    rows, _ = order.at(np.arange(number * length, (number + 1) * length), seed)
    source = np.searchsorted(np.cumsum(sizes), rows, side="right")
    np.testing.assert_array_equal(np.bincount(source, minlength=len(sizes)), pattern_counts(weights))
    np.testing.assert_allclose(order.shares, np.array(weights) / sum(weights))


@settings(max_examples=40)
@given(MIXTURES, st.integers(0, 2**64 - 1))
def test_every_row_of_a_source_comes_once_in_each_epoch_of_it(mixture: list[tuple[int, int]], seed: int) -> None:
    sizes, weights = map(list, zip(*mixture, strict=True))
    rows, epochs = RowOrder(sizes, weights).at(np.arange(2000), seed)
    ends = np.cumsum(sizes)
    for source, (first, end) in enumerate(zip(ends - sizes, ends, strict=True)):
        mine = (rows >= first) & (rows < end)
        assert (np.diff(epochs[mine]) >= 0).all()
        for epoch in range(int(epochs[mine][-1])):
            np.testing.assert_array_equal(np.sort(rows[mine & (epochs == epoch)]), np.arange(first, end))
        assert mine.sum() * sum(weights) / 2000 == pytest.approx(weights[source], rel=0.2)


@given(MIXTURES, st.integers(0, 2**63), st.integers(0, 10**12), st.integers(1, 5))
def test_a_place_of_a_mixture_needs_no_history(
    mixture: list[tuple[int, int]], seed: int, place: int, stride: int
) -> None:
    order = RowOrder(*map(list, zip(*mixture, strict=True)))
    among = np.arange(place, place + 20 * stride, stride)
    rows, epochs = order.at(among, seed)
    alone = [order.at(among[number : number + 1], seed) for number in range(20)]
    assert rows.tolist() == [int(row[0]) for row, _ in alone]
    assert epochs.tolist() == [int(epoch[0]) for _, epoch in alone]


def test_sources_of_one_size_are_not_in_step() -> None:
    rows, epochs = RowOrder([500, 500], [1, 1]).at(np.arange(4000), 3)
    first, second = rows[rows < 500], rows[rows >= 500] - 500
    for one in (first[:500], first[500:1000]):
        for other in (second[:500], second[500:1000]):
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.15
    assert epochs.max() == 3


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4).filter(sum), st.integers(0, 2**63), st.integers(0, 10**9))
def test_without_weights_all_rows_are_one_pool(sizes: list[int], seed: int, place: int) -> None:
    order, places = RowOrder(sizes, None), np.arange(place, place + 60)
    rows, epochs = order.at(places, seed)
    np.testing.assert_array_equal(rows, rows_at(places, sum(sizes), seed))
    np.testing.assert_array_equal(epochs, places // sum(sizes))
