"""The split of a document: the shares asked for, and no movement when a corpus grows."""

from __future__ import annotations

import random

import numpy as np
from scipy import stats

from unmask.corpus.split import TEST, TRAIN, VALIDATION, split_of

CLUSTERS = [random.Random(number).randbytes(16) for number in range(20_000)]


def test_shares_are_those_asked_for() -> None:
    counts = np.bincount(split_of(CLUSTERS, 0.05, 0.1))
    assert stats.chisquare(counts, [17_000, 1_000, 2_000]).pvalue > 1e-3


def test_a_growing_corpus_keeps_its_splits() -> None:
    before, after = split_of(CLUSTERS[5_000:6_000], 0.05, 0.05), split_of(CLUSTERS, 0.05, 0.05)
    np.testing.assert_array_equal(before, after[5_000:6_000])


def test_a_larger_share_only_takes_from_train() -> None:
    small, large = split_of(CLUSTERS, 0.05, 0.05), split_of(CLUSTERS, 0.2, 0.05)
    assert (large[small == VALIDATION] == VALIDATION).all()
    np.testing.assert_array_equal(small == TEST, large == TEST)


def test_the_split_of_an_id_is_pinned() -> None:
    ids = [bytes([number]) * 16 for number in range(40)]
    split = split_of(ids, 0.2, 0.2)
    assert [number for number in range(40) if split[number] == VALIDATION] == [9, 12, 14, 17, 30, 36, 39]
    assert [number for number in range(40) if split[number] == TEST] == [1, 6, 11, 16, 20, 25, 26, 28, 29, 31]
    assert set(split.tolist()) == {TRAIN, VALIDATION, TEST}
