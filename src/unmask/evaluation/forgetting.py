"""What a model forgets while it learns other text: its loss on general text, before and after, at the same positions.

What bites: the losses before are those of the model that a run starts from, which may be gone when the run ends, so
they are kept as they were measured and compared position by position.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from unmask.batch import MASKED
from unmask.evaluation.masked import FrozenSet, Scores
from unmask.stats import Figure, mean_by_cluster

BEFORE: Final = "general.safetensors"
"""What a run calls the losses that it started from on general text."""


def losses_file(scores: Scores) -> bytes:
    """Return the losses of ``scores`` as the bytes of a file."""
    return save({"loss": scores.loss})


def forgetting(frozen: FrozenSet, before: bytes, after: Scores) -> dict[str, Any]:
    """Return cross entropy at [MASK] before and ``after``, and what was added to it, in nats.

    ``before`` is what losses_file gave for the same ``frozen`` set. Intervals resample documents; that of the
    difference is paired.
    """
    masked = after.kind == MASKED
    earlier = load(before)["loss"]

    def figure(values: npt.NDArray[np.float64]) -> dict[str, Any]:
        found: Figure | None = mean_by_cluster(values[masked], after.document[masked])
        assert found is not None, "a frozen set has something masked"
        return found.plain()

    return {
        "frozen": frozen.plain(),
        "before": figure(earlier),
        "after": figure(after.loss),
        "forgotten": figure(after.loss - earlier),
    }
