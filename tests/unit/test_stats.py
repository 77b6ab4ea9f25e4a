"""Intervals: they cover what they say, and documents count, not targets."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from unmask.stats import figure as of_figures
from unmask.stats import mean_by_cluster


def test_an_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Clusters with an effect of their own: 95 % within three standard errors over 300 repeats."""
    random, covered = np.random.default_rng(0), 0
    for _ in range(300):
        clusters = np.repeat(np.arange(60), random.integers(1, 20, size=60))
        values = random.normal(size=60)[clusters] + random.normal(size=len(clusters))
        figure = mean_by_cluster(values, clusters)
        assert figure is not None
        covered += figure.low <= 0 <= figure.high
    assert covered / 300 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300) - 0.02


def test_repeating_every_value_narrows_nothing() -> None:
    values, clusters = np.random.default_rng(1).normal(size=50), np.arange(50)
    once = mean_by_cluster(values, clusters)
    often = mean_by_cluster(np.repeat(values, 40), np.repeat(clusters, 40))
    assert once is not None
    assert often is not None
    assert (often.low, often.high, often.n) == pytest.approx((once.low, once.high, once.n))


def test_many_documents_are_resampled_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    values, clusters = random.normal(size=900), random.integers(301, size=900)
    whole = mean_by_cluster(values, clusters)
    monkeypatch.setattr(of_figures, "_DRAWN_AT_ONCE", 1000)
    parts = mean_by_cluster(values, clusters)
    assert parts is not None
    assert whole is not None
    assert (parts.low, parts.high) == pytest.approx((whole.low, whole.high), rel=1e-12)  # sums in another order


def test_memory_does_not_grow_with_the_number_of_documents() -> None:
    tracemalloc.start()
    mean_by_cluster(np.ones(100_000), np.arange(100_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60e6  # a table of all resamples would take 800e6


def test_nothing_has_no_figure_and_one_document_no_width() -> None:
    assert mean_by_cluster(np.array([]), np.array([])) is None
    figure = mean_by_cluster(np.array([1.0, 2.0]), np.array([7, 7]))
    assert figure is not None
    assert (figure.value, figure.low, figure.high, figure.n) == (1.5, 1.5, 1.5, 1)
