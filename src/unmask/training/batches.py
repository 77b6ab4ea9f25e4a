"""What the network sees at a step: a pure function of the step, so a place in the data is one number.

What bites: whatever deals rows differently (micro-batches, ranks) must deal the same rows to the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.batch import Batch, Rows, collate
from unmask.corpus.rows import PackedRows
from unmask.corpus.tokenizer import Vocabulary
from unmask.masking.effective import effective_rates
from unmask.masking.mask import Masked, MaskingSettings, mask_rows
from unmask.masking.unit import Unit

MEASURED_POSITIONS = 100_000
"""Positions whose masks are counted before a run: a share of 15 % is then known to a few tenths of a percent."""


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
    rows_in_all: int | None = None
    """Rows that the whole run will see: where it stands decides the rate of masking. While that is open, half-way."""
    rank: int = 0
    ranks: int = 1
    unit: Unit | None = None
    """The user's own unit of hiding, where ``masking`` says "function"."""

    def __call__(self, step: int) -> list[Batch]:
        """Return the micro-batches of ``step``, counted from 0; every rank gets each ``ranks``-th row."""
        dealt = dealt_places(step, self.batch_rows, self.micro_batch_rows, self.rank, self.ranks)
        return [self._batch(places) for places in dealt]

    def rate_in_force(self, step: int) -> dict[str, float]:
        """Return the mean rate of masking over the rows of ``step``, or nothing where it never changes."""
        if self.masking.schedule == "constant":
            return {}
        places = np.arange(step * self.batch_rows, (step + 1) * self.batch_rows)
        return {"mlm_probability": float(self._rates(places).mean())}

    def mask_rates(self, counts: npt.NDArray[np.integer], source_names: Sequence[str]) -> dict[str, Any]:
        """Return the effective rates of the first rows that the run will see, some MEASURED_POSITIONS positions.

        ``counts`` (V,) is how often each token occurs in train. Where the rate changes over the run, ``end`` holds what
        the rate of its end does to the same rows.
        """
        places = np.arange(min(self.rows.num_rows, -(-MEASURED_POSITIONS // self.rows.length)))
        numbers, epoch = self.rows.order.at(places, self.seed)

        def rates_at(place: float) -> dict[str, Any]:
            rate = self.masking.rates(np.full(len(places), place))
            rows, masked = self._masked(numbers, epoch, rate)
            source = self.rows.source[numbers]
            return effective_rates(
                rows, masked, self.masking, rate, counts=counts, source=source, source_names=source_names
            )

        begin = rates_at(0.0)
        return begin if self.masking.schedule == "constant" else {**begin, "end": rates_at(1.0)}

    def masked_at(self, places: npt.NDArray[np.int64], *, epoch: int = 0, place: float = 0.0) -> tuple[Rows, Masked]:
        """Return the rows at the global ``places`` (B,), hidden as in ``epoch`` and at ``place`` of the run, 0 to 1."""
        numbers, _ = self.rows.order.at(places, self.seed)
        return self._masked(numbers, np.full_like(places, epoch), self.masking.rates(np.full(len(places), place)))

    def _batch(self, places: npt.NDArray[np.int64]) -> Batch:
        numbers, epoch = self.rows.order.at(places, self.seed)
        rows, masked = self._masked(numbers, epoch, self._rates(places))
        return collate(
            input_ids=masked.input_ids,
            segment=rows.segment,
            labels=masked.labels,
            kind=masked.kind,
            source=self.rows.source[numbers],
            num_sources=self.rows.num_sources,
        )

    def _rates(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the rate of masking in force at the global ``places`` (B,)."""
        if self.rows_in_all is None:
            return self.masking.rates(np.full(len(places), 0.5))
        return self.masking.rates((places + 0.5) / self.rows_in_all)

    def _masked(
        self, numbers: npt.NDArray[np.int64], epoch: npt.NDArray[np.int64], rate: npt.NDArray[np.float64]
    ) -> tuple[Rows, Masked]:
        rows = self.rows.gather(numbers)
        masked = mask_rows(
            rows,
            self.masking,
            mask_id=self.vocabulary.mask_id,
            ordinary_ids=self.vocabulary.ordinary_ids,
            seed=self.seed,
            epoch=np.zeros_like(epoch) if self.masking.static else epoch,
            rate=rate,
            unit=self.unit,
        )
        return rows, masked
