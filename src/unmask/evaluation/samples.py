"""Samples beside the known source that they should be from: exactly how likely they are, and how their pairs differ.

What bites: neither figure is enough alone. Texts of one likely symbol have few nats under the source and the wrong
pairs; and a finite sample of the source itself is never at a distance of 0, so that one stands beside it, as large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.oracle.posterior import causal_losses
from unmask.oracle.sources import Floats, Source, Symbols, pair_chances
from unmask.stats import bootstrap, mean_by_cluster


def sample_figures(source: Source, texts: Symbols) -> dict[str, Any]:
    """Return how ``texts`` (N, L) of symbols stand to ``source``, with intervals over texts.

    ``nats`` are those of a symbol under the source, exactly; of texts of the source itself, its entropy. ``distance``
    is the total variation of neighbouring pairs from the source's: the largest difference of the chances of any event.
    ``divergence`` is their KL divergence from the source, in nats a pair.
    """
    text = np.repeat(np.arange(len(texts)), texts.shape[1])
    nats = mean_by_cluster(causal_losses(source, texts).ravel(), text)
    assert nats is not None, "there are texts"
    expected, pairs = pair_chances(source).ravel(), _pairs(texts, source.num_symbols)

    def distance(sums: Floats) -> Floats:
        return np.asarray(np.abs(_shares(sums) - expected).sum(-1) / 2)

    def divergence(sums: Floats) -> Floats:
        shares = _shares(sums)
        ratio = np.log(shares / expected, where=shares > 0, out=np.zeros_like(shares))
        return np.asarray((shares * ratio).sum(-1))

    method = "bootstrap over texts"
    return {
        "texts": len(texts),
        "length": texts.shape[1],
        "nats": nats.plain(),
        "distance": bootstrap(pairs, distance, method=method).plain(),
        "divergence": bootstrap(pairs, divergence, method=method).plain(),
    }


def _pairs(texts: Symbols, num_symbols: int) -> Floats:
    """Return (N, V * V) how often each pair of neighbours is in each text."""
    pair = texts[:, :-1] * num_symbols + texts[:, 1:]
    found: npt.NDArray[np.int64] = np.stack([np.bincount(one, minlength=num_symbols**2) for one in pair])
    return found.astype(np.float64)


def _shares(sums: Floats) -> Floats:
    return np.asarray(sums / sums.sum(-1, keepdims=True))
