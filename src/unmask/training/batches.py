"""What the network sees at a step: a pure function of the step, so a place in the data is one number.

What bites: whatever deals rows differently (micro-batches, ranks) must deal the same rows to the same step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from unmask.batch import Batch, Rows, collate
from unmask.corpus.rows import PackedRows
from unmask.corpus.tokenizer import Vocabulary
from unmask.masking.diffusion import LEAST_RATE, document_rates
from unmask.masking.effective import effective_rates
from unmask.masking.mask import Masked, MaskingSettings, mask_rows
from unmask.masking.onward import chance_of_rows, read_onward
from unmask.masking.unit import Unit
from unmask.objectives import ObjectiveSettings

MEASURED_POSITIONS = 100_000
"""Positions whose masks are counted before a run: a share of 15 % is then known to a few tenths of a percent."""


ALL_MASKS: Final = {"mask_replace_prob": 1.0, "random_replace_prob": 0.0}
"""What diffusion shows in place of hidden tokens."""


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
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)

    def __call__(self, step: int) -> list[Batch]:
        """Return the micro-batches of ``step``, counted from 0; every rank gets each ``ranks``-th row."""
        dealt = dealt_places(step, self.batch_rows, self.micro_batch_rows, self.rank, self.ranks)
        return [self._batch(places) for places in dealt]

    def rate_in_force(self, step: int) -> dict[str, float]:
        """Return the mean over the rows of ``step`` of what changes over the run: rate of masking, rows that hide."""
        place = self._place(np.arange(step * self.batch_rows, (step + 1) * self.batch_rows))
        found = {}
        if self.masking.schedule != "constant" and self.has_rate:
            found["mlm_probability"] = float(self.masking.rates(place).mean())
        if self.objective.hangs_on_length:
            found["hiding_rows"] = float(self.objective.hiding_share(place).mean())
        return found

    @property
    def has_rate(self) -> bool:
        """Whether the rate of ``masking`` is what tokens are hidden at."""
        return self.objective.name not in ("clm", "diffusion")

    def mask_rates(self, counts: npt.NDArray[np.integer], source_names: Sequence[str]) -> dict[str, Any]:
        """Return the effective rates of the first rows that the run will see, some MEASURED_POSITIONS positions.

        ``counts`` (V,) is how often each token occurs in train. Where the rate changes over the run, ``end`` holds what
        the rate of its end does to the same rows.
        """
        assert self.has_rate, "nothing is hidden at the rate of the recipe"
        places = np.arange(min(self.rows.num_rows, -(-MEASURED_POSITIONS // self.rows.length)))
        numbers, epoch = self.rows.order.at(places, self.seed)

        def rates_at(place: float) -> dict[str, Any]:
            rate = self.masking.rates(np.full(len(places), place))
            rows = self.rows.gather(numbers)
            masked = self._masked(rows, epoch, rate)
            source = self.rows.source[numbers]
            return effective_rates(
                rows, masked, self.masking, rate, counts=counts, source=source, source_names=source_names
            )

        begin = rates_at(0.0)
        return begin if self.masking.schedule == "constant" else {**begin, "end": rates_at(1.0)}

    def masked_at(self, places: npt.NDArray[np.int64], *, epoch: int = 0, place: float = 0.0) -> tuple[Rows, Masked]:
        """Return the rows at the global ``places`` (B,), hidden as in ``epoch`` and at ``place`` of the run, 0 to 1."""
        numbers, _ = self.rows.order.at(places, self.seed)
        rows = self.rows.gather(numbers)
        return rows, self._masked(rows, np.full_like(places, epoch), self.masking.rates(np.full(len(places), place)))

    def _batch(self, places: npt.NDArray[np.int64]) -> Batch:
        objective, place = self.objective, self._place(places)
        numbers, epoch = self.rows.order.at(places, self.seed)
        rows, is_diffusion = self.rows.gather(numbers), objective.name == "diffusion"
        rate = document_rates(rows, self.seed, self._mask_epoch(epoch)) if is_diffusion else self.masking.rates(place)
        masked = self._masked(rows, epoch, rate)
        onward = chance_of_rows(numbers, self.seed, epoch) >= self._hiding_share(place)
        if onward.any():
            masked = read_onward(rows, masked, onward)
        weights = None
        if objective.weighs_by_rate:
            hidden = 1 / np.maximum(rate, LEAST_RATE).reshape(len(rate), -1)
            weights = np.broadcast_to(np.where(onward[:, None], 1.0, hidden), rows.segment.shape)
        return collate(
            input_ids=masked.input_ids,
            segment=rows.segment,
            labels=masked.labels,
            kind=masked.kind,
            source=self.rows.source[numbers],
            num_sources=self.rows.num_sources,
            weights=weights,
            is_causal=onward if objective.is_mixed else None,
            read_before=onward | objective.predicts_next,
        )

    def _place(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return (B,) how far the run is at the global ``places`` (B,), from 0 to 1."""
        if self.rows_in_all is None:
            return np.full(len(places), 0.5)
        return (places + 0.5) / self.rows_in_all

    def _hiding_share(self, place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return (B,) the share of rows that hide; while the length is open all of the run is in each step."""
        if self.rows_in_all is None:  # so that a trial step costs what a step does on average
            place = (np.arange(len(place)) + 0.5) / len(place)
        return self.objective.hiding_share(place)

    def _mask_epoch(self, epoch: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.zeros_like(epoch) if self.masking.static else epoch

    def _masked(self, rows: Rows, epoch: npt.NDArray[np.int64], rate: npt.NDArray[np.float64]) -> Masked:
        shown = ALL_MASKS if self.objective.name == "diffusion" else {}
        return mask_rows(
            rows,
            self.masking.model_copy(update=shown),
            mask_id=self.vocabulary.mask_id,
            ordinary_ids=self.vocabulary.ordinary_ids,
            seed=self.seed,
            epoch=self._mask_epoch(epoch),
            rate=rate,
            unit=self.unit,
        )
