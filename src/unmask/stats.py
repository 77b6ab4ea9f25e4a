"""Figures with their intervals: the one way in which this project states a measured number.

What bites: targets of one document are not independent, so intervals resample documents, never targets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
"""Resamples of a bootstrap; its own error in an interval's end is then about a twentieth of the interval's width."""
_DRAWN_AT_ONCE = 1 << 20  # of clusters: bounds the memory, whatever the number of documents


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
    sums, counts = np.bincount(cluster, weights=values), np.bincount(cluster)
    means = _resampled_means(sums, counts, np.random.Generator(np.random.Philox(seed)))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Figure(float(values.mean()), float(low), float(high), len(counts), level, "bootstrap over documents")


def _resampled_means(
    sums: npt.NDArray[Any], counts: npt.NDArray[np.integer], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return (RESAMPLES,) the mean of each resample of clusters with ``sums`` (C,) and ``counts`` (C,) of values."""
    at_once = max(1, _DRAWN_AT_ONCE // len(counts))
    means: list[npt.NDArray[np.float64]] = []
    for first in range(0, RESAMPLES, at_once):
        drawn = random.integers(len(counts), size=(min(at_once, RESAMPLES - first), len(counts)))
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)
