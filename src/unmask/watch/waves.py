"""An embedding as bounded functions: cosine and sine along random directions.

Their means tell any two distributions apart: with random Fourier features (Rahimi and Recht 2007) the distance of the
means is the MMD of a Gaussian kernel (Gretton et al. 2012), as wide as the middle distance of two vectors of the
reference. What bites: only middle and width come from the reference; axes that were fitted to it would tell every other
vector apart, shifted or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from unmask.watch.window import Floats, Vectors

WAVES = 64
_FITTED_ROWS, _BANDWIDTH_ROWS, _AT_ONCE = 4000, 400, 8192


@dataclass(frozen=True, slots=True)
class Waves:
    """How an embedding becomes bounded functions: its first axes in the reference, then cosine and sine of WAVES."""

    middle: Floats
    """(D,)"""
    directions: Floats
    """(D, WAVES) over the kernel's width."""

    @classmethod
    def fit(cls, embedding: Vectors | None, least: int) -> Self | None:
        """Return waves for vectors (N, D) like these; None where fewer than ``least`` were sampled."""
        if embedding is None or sampled(embedding, len(embedding)).sum() < least:
            return None
        vectors = spread_rows(embedding)
        few = vectors[:: -(-len(vectors) // _BANDWIDTH_ROWS)]
        apart = np.sqrt(((few[:, None] - few[None]) ** 2).sum(-1))
        width = float(np.median(apart[np.triu_indices(len(few), 1)])) or 1.0
        chance = np.random.Generator(np.random.Philox(0))
        return cls(vectors.mean(0), chance.standard_normal((vectors.shape[1], WAVES)) / width)

    def values(self, embedding: npt.NDArray[np.floating]) -> Floats:
        """Return (N, 2 WAVES) in [-1, 1] of vectors (N, D)."""
        turned = (embedding - self.middle) @ self.directions
        return np.concatenate([np.cos(turned), np.sin(turned)], axis=1)

    def sums(self, embedding: Vectors | None, block: npt.NDArray[np.integer], num_blocks: int) -> tuple[Floats, Floats]:
        """Return (B, 2 WAVES) the sums over the sampled rows of each block, and (B,) how many there were."""
        total, count = np.zeros((num_blocks, 2 * WAVES)), np.zeros(num_blocks)
        if embedding is None:
            return total, count
        rows = np.flatnonzero(sampled(embedding, len(embedding)))
        for start in range(0, len(rows), _AT_ONCE):
            chosen = rows[start : start + _AT_ONCE]
            chosen = chosen[np.argsort(block[chosen], kind="stable")]
            blocks, first = np.unique(block[chosen], return_index=True)
            total[blocks] += np.add.reduceat(self.values(embedding[chosen]), first, axis=0)
        return total, np.bincount(block[rows], minlength=num_blocks).astype(np.float64)


def sampled(embedding: Vectors | None, count: int) -> npt.NDArray[np.bool_]:
    """Return (N,) which of ``count`` rows have a vector."""
    return np.zeros(count, bool) if embedding is None else np.asarray(np.isfinite(embedding[:, 0]))


def spread_rows(embedding: Vectors) -> Floats:
    """Return at most _FITTED_ROWS of the sampled vectors, evenly spread."""
    rows = np.flatnonzero(sampled(embedding, len(embedding)))
    return embedding[rows[:: -(-len(rows) // _FITTED_ROWS)]].astype(np.float64)
