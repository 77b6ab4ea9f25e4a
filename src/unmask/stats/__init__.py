"""Figures with intervals, tests between models, calibration: how this project states and compares what it measured."""

from unmask.stats.compare import holm, interval_p, permutation_p, seeds_needed
from unmask.stats.figure import Figure, bootstrap, mean_by_cluster
from unmask.stats.seeds import hierarchical, paired_difference

__all__ = [
    "Figure",
    "bootstrap",
    "hierarchical",
    "holm",
    "interval_p",
    "mean_by_cluster",
    "paired_difference",
    "permutation_p",
    "seeds_needed",
]
