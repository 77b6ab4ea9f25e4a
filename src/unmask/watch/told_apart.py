"""How well a classifier tells the vectors of a window from those of the reference, and which of them it tells best.

The classifier two-sample test (Lopez-Paz and Oquab 2017) as a description: the alarm has been decided elsewhere, this
says how far apart the two are (0.5 is not at all) and which texts to look at. What bites: rows are scored by a
classifier that has not seen them, or everything would look told apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unmask.stats import Figure
from unmask.watch.window import Floats, Vectors

LEAST = 30
"""Vectors on either side below which nothing is told apart."""
_PARTS, _MOST, _AXES = 5, 2000, 50


@dataclass(frozen=True, slots=True)
class ToldApart:
    """How well the window (N) is told from the reference."""

    auc: Figure
    """Chance that a vector of the window looks more like the window than one of the reference does."""
    order: npt.NDArray[np.int64]
    """(N,) rows of the window, those that are least like the reference first."""


def told_apart(reference: Vectors, window: Vectors, seed: int = 0) -> ToldApart | None:
    """Return how well ``window`` (N, D) is told from ``reference`` (M, D); None where either is too small."""
    from sklearn.linear_model import LogisticRegression

    if min(len(reference), len(window)) < LEAST:
        return None
    reference = reference[:: -(-len(reference) // _MOST)]
    values = _principal(np.concatenate([reference, window]).astype(np.float64))
    is_new = np.arange(len(values)) >= len(reference)
    part = np.random.Generator(np.random.Philox(seed)).permutation(len(values)) % _PARTS
    scores = np.empty(len(values))
    for own in range(_PARTS):
        fitted = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500)
        fitted.fit(values[part != own], is_new[part != own])
        scores[part == own] = fitted.decision_function(values[part == own])
    return ToldApart(area(scores[~is_new], scores[is_new]), np.argsort(-scores[is_new], kind="stable"))


def _principal(vectors: Floats) -> Floats:
    """Return the first _AXES of all ``vectors`` together, each as wide as the others."""
    away = vectors - vectors.mean(0)
    _, _, turned = np.linalg.svd(away, full_matrices=False)
    found = away @ turned[:_AXES].T
    return np.asarray(found / np.maximum(found.std(0), 1e-9))


def area(low: Floats, high: Floats) -> Figure:
    """Return the chance that one of ``high`` is above one of ``low``, ties by half, with an interval.

    The variance is that of DeLong, DeLong and Clarke-Pearson (1988).
    """
    below = _share_below(low, high)
    above = 1 - _share_below(high, low)
    value = float(below.mean())
    error = math.sqrt(below.var(ddof=1) / len(high) + above.var(ddof=1) / len(low))
    ends = (max(0.0, value - 1.96 * error), min(1.0, value + 1.96 * error))
    return Figure(value, *ends, len(low) + len(high), 0.95, "DeLong")


def _share_below(others: Floats, values: Floats) -> Floats:
    """Return for each of ``values`` the share of ``others`` below it, equal ones by half."""
    ordered = np.sort(others)
    found = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(found / 2 / len(others))
