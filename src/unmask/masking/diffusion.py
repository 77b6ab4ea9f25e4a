"""Masked diffusion: every document hides its tokens at a rate of its own, uniform between nothing and all.

The mean over the rates of the losses, each weighted by one over its rate, bounds the negative log-likelihood of the
text from above (Sahoo et al. 2024, "Simple and effective masked diffusion language models"). What bites: a rate of
almost nothing would weigh almost without end, so rates begin at LEAST_RATE.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unmask.batch import Rows, runs_of
from unmask.masking import noise

LEAST_RATE = 1e-3


def document_rates(rows: Rows, seed: int, epoch: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return (R, L) the rate of the document that each token is of; ``epoch`` (R,) is that of each row."""
    start, size = runs_of(rows.document)
    keys = noise.document_keys(seed, epoch[start // rows.document.shape[1]], rows.document.ravel()[start])
    chance = noise.uniform(noise.words(keys, np.zeros(len(start), np.int64), noise.FREE))
    return np.repeat(LEAST_RATE + (1 - LEAST_RATE) * chance, size).reshape(rows.document.shape)
