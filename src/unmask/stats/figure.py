"""Figures with their intervals: the one way in which this project states a measured number.

A figure is a function of sums over items (a mean, an F1), so resampling adds up rows of a small table. What bites:
targets of one document are not independent, so intervals resample documents, never targets; and a claim about a recipe
resamples seeds too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Combine = Callable[[Floats], Floats]
"""From sums (..., K) over items to figures (...)."""

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
    """Combine (value, weight) (..., 2) into the mean (...), NaN of nothing."""
    nothing = np.full(sums.shape[:-1], np.nan)
    return np.asarray(np.divide(sums[..., 0], sums[..., 1], out=nothing, where=sums[..., 1] > 0))


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
    low, high = interval(combine(drawn), level)
    return Figure(float(combine(per_item.sum(0))), low, high, len(per_item), level, method)


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
