"""Figures over several seeds, and differences of two arms under the same seeds, with their intervals.

What bites: few seeds know little of how far seeds differ. A plain bootstrap of three covers the truth three times in
four where it says nineteen in twenty, so the share of the seeds in an interval is widened as Student's t widens it; two
seeds leave nearly all open. One seed says nothing of others: its interval is over items alone, and its method says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unmask.stats.figure import RESAMPLES, Combine, Figure, Floats, interval, resampled_sums

Nested = npt.NDArray[np.floating] | list[npt.NDArray[np.floating]]
"""The table (N, K) of one seed, or those of the seeds nested in it."""


def hierarchical(seeds: Sequence[Nested], combine: Combine, *, level: float = 0.95, seed: int = 0) -> Figure:
    """Return the mean over seeds of a figure of the same items, with an interval over seeds and items together.

    ``seeds`` is S tables (N, K) of the same N items, or S lists of such tables where seeds are nested (pre-training,
    and fine-tuning within it; their numbers may differ). The Multi-Bootstrap (Sellam et al. 2022): items are drawn once
    for all seeds, seeds with replacement at each level.
    """
    tables, sizes = _flat(seeds)
    chance = np.random.Generator(np.random.Philox(seed))
    values, drawn = _by_seed(tables, combine, chance)
    low, high = _interval(drawn, sizes, level, chance)
    return Figure(float(values @ _shares(sizes)), low, high, len(tables[0]), level, f"bootstrap over {_what(sizes)}")


def paired_difference(
    ours: Sequence[Nested], theirs: Sequence[Nested], combine: Combine, *, level: float = 0.95, seed: int = 0
) -> Figure:
    """Return the mean difference of a figure, ours minus theirs, with an interval over seeds and items together.

    Both are as ``hierarchical`` takes them, of the same items, the s-th of each from the same seed; a draw takes the
    same seeds and the same items of both.
    """
    (tables, sizes), (others, other_sizes) = _flat(ours), _flat(theirs)
    assert sizes == other_sizes, "arms that are paired have the same seeds"
    chance = np.random.Generator(np.random.Philox(seed))
    values, drawn = _by_seed([*tables, *others], combine, chance)
    half = len(tables)
    low, high = _interval(drawn[:, :half] - drawn[:, half:], sizes, level, chance)
    value = (values[:half] - values[half:]) @ _shares(sizes)
    return Figure(float(value), low, high, len(tables[0]), level, f"paired bootstrap over {_what(sizes)}")


def _flat(seeds: Sequence[Nested]) -> tuple[list[npt.NDArray[np.floating]], list[int]]:
    """Return all tables in a row, and how many belong to each outer seed.

    Seeds that are all nested in one are the outer ones: they are what varies.
    """
    nested = [one if isinstance(one, list) else [one] for one in seeds]
    sizes = [len(one) for one in nested]
    return [table for one in nested for table in one], [1] * sizes[0] if len(sizes) == 1 else sizes


def _by_seed(
    tables: Sequence[npt.NDArray[np.floating]], combine: Combine, chance: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the figure of each of T tables (T,) and under items drawn once for all of them (RESAMPLES, T)."""
    beside = np.stack(tables, 1)  # (N, T, K)
    drawn = resampled_sums(beside.reshape(len(beside), -1), chance)
    return combine(beside.sum(0)), combine(drawn.reshape(RESAMPLES, *beside.shape[1:]))


def _shares(sizes: Sequence[int]) -> Floats:
    """Return (T,) what each table weighs in a mean of means."""
    return np.repeat([1 / (len(sizes) * size) for size in sizes], sizes)


def _interval(drawn: Floats, sizes: Sequence[int], level: float, chance: np.random.Generator) -> tuple[float, float]:
    """Return the interval of a mean over seeds, of ``drawn`` (RESAMPLES, T) in which items alone are drawn so far."""
    by_items = drawn @ _shares(sizes)
    by_both = (drawn * _drawn_shares(sizes, chance)).sum(1)
    return interval(by_items + _widening(len(sizes), level) * (by_both - by_items), level)


def _drawn_shares(sizes: Sequence[int], chance: np.random.Generator) -> Floats:
    """Return (RESAMPLES, T) what each table weighs where seeds are drawn with replacement at both levels."""
    shares, size, first = _shares(sizes), np.array(sizes), np.cumsum([0, *sizes[:-1]])
    outer = chance.integers(len(sizes), size=(RESAMPLES, len(sizes), 1))
    inner = (chance.random((RESAMPLES, len(sizes), max(sizes))) * size[outer]).astype(int)
    chosen = first[outer] + inner
    counted = np.arange(max(sizes)) < size[outer]  # as many as the outer seed has
    found = np.zeros((RESAMPLES, len(shares)))
    np.add.at(found, (np.arange(RESAMPLES)[:, None, None], chosen), np.where(counted, shares[chosen], 0.0))
    return found


def _widening(seeds: int, level: float) -> float:
    """Return by how much a bootstrap of so few is too narrow.

    Its variance lacks a part in ``seeds``, and its quantiles are a normal's where Student's t is due: the expanded
    percentile interval (Hesterberg 2015, What Teachers Should Know About the Bootstrap).
    """
    from scipy.stats import norm, t

    if seeds == 1:
        return 1.0
    end = (1 + level) / 2
    return float(t.ppf(end, seeds - 1) / norm.ppf(end) * np.sqrt(seeds / (seeds - 1)))


def _what(sizes: Sequence[int]) -> str:
    return "items, of one seed" if len(sizes) == 1 else f"{len(sizes)} seeds and items, widened for few seeds"
