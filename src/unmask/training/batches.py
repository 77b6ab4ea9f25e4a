"""What the network sees at a step: a pure function of the step, so a place in the data is one number.

What bites: whatever deals rows differently (micro-batches, ranks) must deal the same rows to the same step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unmask.batch import Batch, collate
from unmask.corpus.order import rows_at
from unmask.corpus.rows import PackedRows
from unmask.corpus.tokenizer import Vocabulary
from unmask.masking.mask import MaskingSettings, mask_rows


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

    def __call__(self, step: int) -> list[Batch]:
        """Return the micro-batches of ``step``, counted from 0; every rank gets each ``ranks``-th row."""
        places = np.arange(step * self.batch_rows, (step + 1) * self.batch_rows)[self.rank :: self.ranks]
        size = self.micro_batch_rows or len(places)
        return [self._batch(places[first : first + size]) for first in range(0, len(places), size)]

    def _batch(self, places: np.ndarray) -> Batch:
        rows = self.rows.gather(rows_at(places, self.rows.num_rows, self.seed))
        masked = mask_rows(
            rows,
            self.masking,
            mask_id=self.vocabulary.mask_id,
            ordinary_ids=self.vocabulary.ordinary_ids,
            seed=self.seed,
            epoch=places // self.rows.num_rows,
            rate=self.masking.mlm_probability,
        )
        return collate(input_ids=masked.input_ids, segment=rows.segment, labels=masked.labels, kind=masked.kind)
