"""Rows that are read from left to right: nothing is hidden, and every token is asked for.

What bites: special tokens are not asked for. Where a window ends says how documents were cut, not how they end, so
[SEP] is nothing to be learnt, and what stands behind it is another window's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from unmask.batch import IGNORE_INDEX, MASKED, NEXT, Rows
from unmask.masking import noise
from unmask.masking.mask import Masked


def nothing_hidden(rows: Rows) -> Masked:
    """Return ``rows`` as they are, every ordinary token asked for."""
    return Masked(
        input_ids=rows.input_ids,
        labels=np.where(rows.special, np.int32(IGNORE_INDEX), rows.input_ids),
        kind=np.where(rows.special, np.int8(-1), np.int8(NEXT)),
    )


def read_onward(rows: Rows, masked: Masked, chosen: npt.NDArray[np.bool_]) -> Masked:
    """Return ``masked`` with nothing hidden in the rows ``chosen`` (R,), and all of them asked for."""
    whole, here = nothing_hidden(rows), chosen[:, None]
    return Masked(
        input_ids=np.where(here, whole.input_ids, masked.input_ids),
        labels=np.where(here, whole.labels, masked.labels),
        kind=np.where(here, whole.kind, masked.kind),
    )


def uncovered(rows: Rows, masked: Masked) -> Masked:
    """Return ``masked`` as it was before anything was hidden, asked for the same tokens; all count as not seen."""
    kind = np.where(masked.labels == IGNORE_INDEX, np.int8(-1), np.int8(MASKED))
    return Masked(input_ids=rows.input_ids, labels=masked.labels, kind=kind)


def chance_of_rows(
    numbers: npt.NDArray[np.int64], seed: int, epoch: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Return (R,) a number in [0, 1) for the rows ``numbers`` (R,) in their ``epoch``: by it a row is chosen."""
    keys = noise.document_keys(seed, epoch, numbers.astype(np.uint64))
    return noise.uniform(noise.words(keys, np.zeros(len(numbers), np.int64), noise.FREE))
