"""From rows to masked rows: which tokens are hidden, what they show instead, what is asked.

What bites: the masks depend on nothing but their arguments. Never add a generator, a counter or a budget here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from unmask.batch import IGNORE_INDEX, KEPT, MASKED, RANDOM, Rows
from unmask.masking import noise
from unmask.masking.schedule import ScheduleName, rate_at
from unmask.masking.span import choose_spans
from unmask.masking.token import token_places
from unmask.masking.unit import Choose, Unit, by_place
from unmask.masking.word import word_places
from unmask.settings import OpenShare, Settings, Share

UNITS: dict[str, Choose] = {
    "token": by_place(token_places),
    "word": by_place(word_places),
    "span": choose_spans,
    "phrase": by_place(word_places),  # in its rows the words of a phrase are one word
}


class MaskingSettings(Settings):
    """What is hidden, how much of it, and what stands in its place."""

    unit: Literal["token", "word", "span", "phrase", "function"] = "token"
    """What is hidden as one piece; function is one of your own, given from Python as masking_unit."""
    phrases: Path | None = None
    """A text file with a phrase a line (people, products), for unit phrase; all other words stand for themselves."""
    mlm_probability: Share = 0.3
    """Share of the ordinary tokens that are selected."""
    mask_replace_prob: Share = 0.8
    """Share of the selected tokens that become [MASK]."""
    random_replace_prob: Share = 0.1
    """Share of the selected tokens that become a random ordinary token; the rest stays as it is."""
    schedule: ScheduleName = "constant"
    """How the share that is selected goes over the run: not at all, or to final_probability, in one of three ways."""
    final_probability: Share = 0.15
    """Share of the ordinary tokens that is selected at the end of the run; constant does not look at it."""
    schedule_steps: tuple[OpenShare, ...] = (0.5,)
    """Where steps changes the share, in shares of the run, ascending; it changes by equal parts."""
    static: bool = False
    """Hide the same tokens in every epoch, as BERT's first data did; for comparison."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if not self.mlm_probability > 0:
            raise ValueError("mlm_probability must be in (0, 1], got 0: nothing would ever be asked")
        total = self.mask_replace_prob + self.random_replace_prob
        if total > 1 + 1e-9:
            raise ValueError(f"mask_replace_prob + random_replace_prob must be at most 1, got {total:g}")
        if self.unit == "phrase" and self.phrases is None:
            raise ValueError("unit phrase needs a list: give masking.phrases=FILE, a phrase a line")
        if self.unit != "phrase" and self.phrases is not None:
            raise ValueError(f"phrases belong to unit phrase, got unit {self.unit}; leave one of the two out")
        if self.schedule != "constant" and not self.final_probability > 0:
            raise ValueError("final_probability must be in (0, 1], got 0: nothing would be asked at the end")
        if not self.schedule_steps or list(self.schedule_steps) != sorted(set(self.schedule_steps)):
            raise ValueError(f"schedule_steps must be shares of the run that ascend, got {list(self.schedule_steps)}")
        return self

    def rates(self, places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the share that is selected at ``places`` (N,) of the run, from 0 to 1."""
        return rate_at(places, self.schedule, self.mlm_probability, self.final_probability, self.schedule_steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """Rows after masking. All arrays are (R, L)."""

    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]
    """The token that was there where it was selected, IGNORE_INDEX elsewhere."""
    kind: npt.NDArray[np.int8]
    """MASKED, RANDOM or KEPT where selected, -1 elsewhere."""


def mask_rows(
    rows: Rows,
    settings: MaskingSettings,
    *,
    mask_id: int,
    ordinary_ids: npt.NDArray[np.int32],
    seed: int,
    epoch: npt.NDArray[np.integer],
    rate: npt.NDArray[np.floating] | float,
    unit: Unit | None = None,
) -> Masked:
    """Hide tokens of ``rows``.

    ``epoch`` (R,) and ``rate`` (R,) or one number are those in force at each row; a unit that goes by place takes a
    rate (R, L), the same for all tokens of a document, as well. Random replacements are drawn from
    ``ordinary_ids``, the tokenizer's ids that are not special, uniformly. ``unit`` is the user's own, where the
    settings say "function".
    """
    choose = by_place(unit) if unit else UNITS[settings.unit]
    rates = np.asarray(rate, np.float64)
    selected, kind_place = choose(rows, seed, epoch, rates if rates.ndim == 2 else np.broadcast_to(rates, epoch.shape))

    where = np.flatnonzero(selected)  # flat places: all that follows is of the selected alone
    keys = noise.document_keys(seed, epoch[where // selected.shape[1]], rows.document.ravel()[where])
    offset, truth = rows.offset.ravel()[where], rows.input_ids.ravel()[where]
    draw = noise.uniform(noise.words(keys, kind_place.ravel()[where], noise.KIND))
    kind = np.full(len(draw), KEPT, dtype=np.int8)
    kind[draw < settings.mask_replace_prob + settings.random_replace_prob] = RANDOM
    kind[draw < settings.mask_replace_prob] = MASKED
    random = ordinary_ids[noise.below(noise.words(keys, offset, noise.REPLACEMENT), len(ordinary_ids))]

    input_ids, labels = np.array(rows.input_ids, order="C"), np.full(selected.shape, IGNORE_INDEX, np.int32)
    kinds = np.full(selected.shape, -1, dtype=np.int8)
    input_ids.ravel()[where] = np.where(kind == MASKED, np.int32(mask_id), np.where(kind == RANDOM, random, truth))
    labels.ravel()[where], kinds.ravel()[where] = truth, kind
    return Masked(input_ids=input_ids, labels=labels, kind=kinds)
