"""Whether the probabilities of the language model itself can be believed: its first guesses at hidden tokens of text.

What bites: this compares with what the text says, one outcome a position. Where the exact posterior of a source is
known, comparing with that tells more.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from unmask.batch import IGNORE_INDEX, MASKED
from unmask.evaluation.asking import asked_logits
from unmask.evaluation.masked import FrozenSet
from unmask.stats import mean_by_cluster
from unmask.stats.calibration import reliability


def calibration(model: nn.Module, frozen: FrozenSet) -> dict[str, Any]:
    """Return calibration error and Brier score of the first guesses at [MASK], with intervals over documents.

    Keys: ``positions``, ``accuracy``, ``confidence`` (the mean probability of the first guess), ``ece``,
    ``perfect_ece``, ``brier``, ``bins``.
    """
    confidence, right, squared = [], [], []
    for logits, targets in asked_logits(model, frozen.batches()):
        chance = logits.double().softmax(1)
        best, guess = chance.max(1)
        true = chance.gather(1, targets[:, None])[:, 0]
        confidence.append(best.cpu().numpy())
        right.append((guess == targets).cpu().numpy())
        squared.append((1 - 2 * true + chance.square().sum(1)).cpu().numpy())  # sum over the vocabulary of (p - y)^2
    asked = frozen.masked.labels != IGNORE_INDEX
    masked = frozen.masked.kind[asked] == MASKED
    document = frozen.rows.document[asked][masked]
    sure, is_right, brier = (np.concatenate(part)[masked] for part in (confidence, right, squared))

    def mean(values: Any) -> Any:
        figure = mean_by_cluster(values.astype(float), document)
        assert figure is not None, "a frozen set hides something"
        return figure.plain()

    return {
        "positions": len(sure),
        "accuracy": mean(is_right),
        "confidence": mean(sure),
        **reliability(sure, is_right, document),
        "brier": mean(brier),
    }
