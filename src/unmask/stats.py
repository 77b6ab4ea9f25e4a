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
    draws = np.random.Generator(np.random.Philox(seed)).multinomial(
        len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES
    )
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Figure(float(values.mean()), float(low), float(high), len(counts), level, "bootstrap over documents")
