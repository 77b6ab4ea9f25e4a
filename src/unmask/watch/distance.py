"""How far vectors of texts are from those of a reference: from its middle, and from its nearest neighbours.

What bites: the vectors that a reference was made of are nearer to it than any others. Their own distances come from
:func:`within`, which measures each part against the rest; distances of traffic are compared with those.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from unmask.errors import DataError
from unmask.watch.window import Floats, Vectors, Window

MOST_NEIGHBOURS: Final = 2000
"""Vectors of a reference that are kept to look for neighbours among."""

NEAREST: Final = 10
PARTS: Final = 5


@dataclass(frozen=True, slots=True)
class Reference:
    """The middle of M vectors, their shape, and some of them."""

    middle: Floats
    """(D,)"""
    whitening: Floats
    """(D, D): turns a difference from the middle into one of which every direction is as wide."""
    directions: Vectors
    """(K, D) vectors of length one."""

    @classmethod
    def fit(cls, embedding: Vectors) -> Self:
        """Return the reference of ``embedding`` (M, D), rows of NaN left out.

        The covariance is shrunk (Ledoit and Wolf 2004), so that M may be smaller than D. Raises DataError where fewer
        than two rows are there.
        """
        from sklearn.covariance import ledoit_wolf

        found = embedding[~np.isnan(embedding).any(1)].astype(np.float64)
        if len(found) < 2:
            raise DataError("the reference", f"has {len(found)} vectors of texts, 2 are the least; sample more")
        middle = found.mean(0)
        covariance, _ = ledoit_wolf(found - middle, assume_centered=True)
        values, axes = np.linalg.eigh(covariance)
        scales = 1 / np.sqrt(np.maximum(values, values[-1] * 1e-10 + 1e-30))
        step = -(-len(found) // MOST_NEIGHBOURS)
        return cls(middle, axes * scales, _directions(found[::step]))

    def distances(self, embedding: Vectors) -> tuple[Floats, Floats]:
        """Return (N,) the Mahalanobis distance from the middle by the root of D, about 1 for texts like these.

        And (N,) one less the mean cosine to the NEAREST neighbours. NaN for rows of NaN.
        """
        away = (embedding - self.middle) @ self.whitening
        from_middle = np.sqrt((away**2).mean(1))
        cosines = _directions(embedding.astype(np.float64)) @ self.directions.T
        nearest = min(NEAREST, cosines.shape[1])
        best = np.partition(cosines, -nearest, axis=1)[:, -nearest:]
        return from_middle, np.where(np.isnan(from_middle), np.nan, 1 - best.mean(1))


def within(embedding: Vectors) -> tuple[Floats, Floats]:
    """Return both distances (N,) of vectors (N, D) from the others of them: a fifth at a time from the rest.

    NaN where they are too few for that.
    """
    measured = np.flatnonzero(~np.isnan(embedding).any(1))
    from_middle, from_nearest = np.full(len(embedding), np.nan), np.full(len(embedding), np.nan)
    for part in range(PARTS):
        mine, rest = measured[part::PARTS], np.delete(measured, np.s_[part::PARTS])
        if len(measured) >= 2 * PARTS:
            from_middle[mine], from_nearest[mine] = Reference.fit(embedding[rest]).distances(embedding[mine])
    return from_middle, from_nearest


def with_distances(window: Window, reference: Reference | None = None) -> Window:
    """Return ``window`` with its distances from ``reference``, or (None) from itself by :func:`within`."""
    if window.embedding is None:
        return window
    found = within(window.embedding) if reference is None else reference.distances(window.embedding)
    return replace(window, numbers={**window.numbers, "distance": found[0], "neighbours": found[1]})


def _directions(vectors: Floats) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-30), np.float32)
