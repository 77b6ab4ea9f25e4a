"""Distances of traffic from a reference, measured as the reference measured its own.

What bites: a reference measures each fifth of itself against the other four. Traffic that is measured against all five
lies nearer than that, shifted or not; so each of its vectors is measured against four fifths as well, in turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unmask.watch.distance import PARTS, Reference
from unmask.watch.waves import sampled
from unmask.watch.window import Vectors, Window


@dataclass(frozen=True, slots=True)
class Folds:
    """A reference without each of its fifths; none where it has too few vectors."""

    references: tuple[Reference, ...]

    @classmethod
    def of(cls, embedding: Vectors | None) -> Self:
        """Return the folds of the vectors (N, D) of a reference, cut as ``distance.within`` cuts them."""
        if embedding is None:
            return cls(())
        there = np.flatnonzero(sampled(embedding, len(embedding)))
        if len(there) < 2 * PARTS:
            return cls(())
        rests = (np.delete(there, np.s_[part::PARTS]) for part in range(PARTS))
        return cls(tuple(Reference.fit(embedding[rest]) for rest in rests))

    def measured(self, window: Window) -> Window:
        """Return ``window`` with the distances of its vectors."""
        if window.embedding is None or not self.references:
            return window
        from_middle, from_nearest = (np.full(len(window), np.nan) for _ in range(2))
        there = np.flatnonzero(sampled(window.embedding, len(window)))
        for part, reference in enumerate(self.references):
            own = there[part::PARTS]
            from_middle[own], from_nearest[own] = reference.distances(window.embedding[own])
        return replace(window, numbers={**window.numbers, "distance": from_middle, "neighbours": from_nearest})
