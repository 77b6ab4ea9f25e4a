"""Figures with their intervals: the one way in which this project states a measured number.

A figure is a function of sums over items (a mean, an F1), so resampling adds up rows of a small table. What bites:
targets of one document are not independent, so intervals resample documents, never targets; and a claim about a recipe
resamples seeds too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Combine = Callable[[Floats], Floats]
"""From sums (..., K) over items to figures (...)."""

Nested = npt.NDArray[np.floating] | list[npt.NDArray[np.floating]]
"""The table (N, K) of one seed, or those of the seeds nested in it."""

RESAMPLES = 1000
"""Resamples of a bootstrap; its own error in an interval's end is then about a twentieth of the interval's width."""
_DRAWN_AT_ONCE = 1 << 20  # numbers: bounds the memory, whatever the number of items


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value and the interval around it, from ``n`` units resampled by ``method``."""

    value: float
    low: float
    high: float
    n: int
    level: float
    method: str

    def plain(self) -> dict[str, Any]:
        """Return the figure as JSON writes it."""
        return asdict(self)


def mean_by_cluster(
    values: npt.NDArray[np.floating], clusters: npt.NDArray[Any], *, level: float = 0.95, seed: int = 0
) -> Figure | None:
    """Return the mean of ``values`` (N,) with a bootstrap interval over ``clusters`` (N,); None where there is none.

    The percentile bootstrap of a ratio of sums: clusters are drawn with replacement, each brings all of its values
    (Davison and Hinkley 1997, section 3.8). Reproducible for the same ``seed``.
    """
    if len(values) == 0:
        return None
    _, cluster = np.unique(clusters, return_inverse=True)
    counts = np.bincount(cluster).astype(np.float64)
    per_item = np.stack([np.bincount(cluster, weights=values), counts], 1)
    found = bootstrap(per_item, mean_of, level=level, seed=seed, method="bootstrap over documents")
    return Figure(float(values.mean()), found.low, found.high, found.n, level, found.method)


def mean_of(sums: Floats) -> Floats:
    """Combine (value, weight) (..., 2) into the mean (...)."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def bootstrap(
    per_item: npt.NDArray[np.floating],
    combine: Combine,
    *,
    level: float = 0.95,
    seed: int = 0,
    method: str = "bootstrap over items",
) -> Figure:
    """Return the figure of ``per_item`` (N, K) with a percentile bootstrap interval over its rows."""
    drawn = resampled_sums(per_item, np.random.Generator(np.random.Philox(seed)))
    return _figure(combine(per_item.sum(0)), combine(drawn), len(per_item), level, method)


def hierarchical(seeds: Sequence[Nested], combine: Combine, *, level: float = 0.95, seed: int = 0) -> Figure:
    """Return the mean over seeds of a figure of the same items, with an interval over seeds and items together.

    ``seeds`` is S tables (N, K) of the same N items, or S lists of such tables where seeds are nested (pre-training,
    and fine-tuning within it). The Multi-Bootstrap (Sellam et al. 2022): items are drawn once for all seeds, seeds with
    replacement at each level.
    """
    chance = np.random.Generator(np.random.Philox(seed))
    tables = [nested if isinstance(nested, list) else [nested] for nested in seeds]
    values = np.array([np.mean([combine(table.sum(0)) for table in nested]) for nested in tables])
    drawn = np.empty(RESAMPLES)
    num_items = len(tables[0][0])
    for number in range(RESAMPLES):
        weight = np.bincount(chance.integers(num_items, size=num_items), minlength=num_items)
        means = []
        for nested in (tables[outer] for outer in chance.integers(len(tables), size=len(tables))):
            inner = chance.integers(len(nested), size=len(nested))
            means.append(np.mean([combine(weight @ nested[place]) for place in inner]))
        drawn[number] = np.mean(means)
    return _figure(values.mean(), drawn, num_items, level, f"bootstrap over {len(tables)} seeds and items")


def resampled_sums(per_item: npt.NDArray[np.floating], chance: np.random.Generator) -> Floats:
    """Return (RESAMPLES, K) the sums of as many rows of ``per_item`` (N, K), drawn with replacement."""
    num_items = len(per_item)
    at_once = max(1, _DRAWN_AT_ONCE // num_items)
    sums = []
    for first in range(0, RESAMPLES, at_once):
        drawn = chance.integers(num_items, size=(min(at_once, RESAMPLES - first), num_items))
        weights = np.stack([np.bincount(row, minlength=num_items) for row in drawn]).astype(np.float64)
        sums.append(weights @ per_item)
    return np.concatenate(sums)


def interval(drawn: Floats, level: float) -> tuple[float, float]:
    """Return the ends of the middle ``level`` of ``drawn``, what is not finite left out; NaN where nothing is left."""
    finite = drawn[np.isfinite(drawn)]
    if not finite.size:
        return math.nan, math.nan
    return float(np.quantile(finite, (1 - level) / 2)), float(np.quantile(finite, (1 + level) / 2))


def _figure(value: npt.ArrayLike, drawn: Floats, n: int, level: float, method: str) -> Figure:
    low, high = interval(drawn, level)
    return Figure(float(np.asarray(value)), float(low), float(high), n, level, method)
