"""What the network sees at a step: a pure function of the step, so a place in the data is one number.

What bites: whatever deals rows differently (micro-batches, ranks) must deal the same rows to the same step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.batch import IGNORE_INDEX, KINDS, Batch, Rows, collate
from unmask.corpus.rows import PackedRows
from unmask.corpus.tokenizer import Vocabulary
from unmask.masking.mask import Masked, MaskingSettings, mask_rows
from unmask.masking.unit import Unit

MEASURED_POSITIONS = 100_000
"""Positions whose masks are counted before a run: a share of 15 % is then known to a tenth of a percent."""


def dealt_places(
    step: int, batch_rows: int, micro_batch_rows: int, rank: int = 0, ranks: int = 1
) -> list[npt.NDArray[np.int64]]:
    """Return the places of ``step`` that fall to ``rank``, each ``ranks``-th, micro-batch by micro-batch."""
    places = np.arange(step * batch_rows, (step + 1) * batch_rows)[rank::ranks]
    size = micro_batch_rows or len(places)
    return [places[first : first + size] for first in range(0, len(places), size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatches:
    """Makes the micro-batches of a step for one of ``ranks`` processes."""

    rows: PackedRows
    vocabulary: Vocabulary
    masking: MaskingSettings
    seed: int
    batch_rows: int
    micro_batch_rows: int
    rank: int = 0
    ranks: int = 1
    unit: Unit | None = None
    """The user's own unit of hiding, where ``masking`` says "function"."""

    def __call__(self, step: int) -> list[Batch]:
        """Return the micro-batches of ``step``, counted from 0; every rank gets each ``ranks``-th row."""
        dealt = dealt_places(step, self.batch_rows, self.micro_batch_rows, self.rank, self.ranks)
        return [self._batch(places) for places in dealt]

    def mask_rates(self) -> dict[str, Any]:
        """Return what the masking does to the first rows that the run will see, some MEASURED_POSITIONS positions.

        ``selected`` and its parts ``masked``, ``random`` and ``kept`` are shares of the ``tokens`` that may be hidden
        there; ``windows_unasked`` is the share of windows in which nothing was selected.
        """
        num_rows = min(self.rows.num_rows, -(-MEASURED_POSITIONS // self.rows.length))
        rows, masked = self._masked(*self.rows.order.at(np.arange(num_rows), self.seed))
        tokens = int((~rows.special).sum())
        counts = {name: int((masked.kind == number).sum()) for number, name in enumerate(KINDS)}
        shares = {name: count / max(1, tokens) for name, count in counts.items()}
        window = np.arange(num_rows)[:, None] * (self.rows.length + 1) + rows.segment  # a number for each window
        windows, asked = (np.unique(window[chosen]) for chosen in (rows.segment > 0, masked.labels != IGNORE_INDEX))
        unasked = 1 - len(asked) / max(1, len(windows))
        return {"tokens": tokens, "selected": sum(shares.values()), **shares, "windows_unasked": unasked}

    def _batch(self, places: npt.NDArray[np.int64]) -> Batch:
        numbers, epoch = self.rows.order.at(places, self.seed)
        rows, masked = self._masked(numbers, epoch)
        return collate(
            input_ids=masked.input_ids,
            segment=rows.segment,
            labels=masked.labels,
            kind=masked.kind,
            source=self.rows.source[numbers],
            num_sources=self.rows.num_sources,
        )

    def _masked(self, numbers: npt.NDArray[np.int64], epoch: npt.NDArray[np.int64]) -> tuple[Rows, Masked]:
        rows = self.rows.gather(numbers)
        masked = mask_rows(
            rows,
            self.masking,
            mask_id=self.vocabulary.mask_id,
            ordinary_ids=self.vocabulary.ordinary_ids,
            seed=self.seed,
            epoch=epoch,
            rate=self.masking.mlm_probability,
            unit=self.unit,
        )
        return rows, masked
