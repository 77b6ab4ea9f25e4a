"""From many fine-tunings to what the rule looks at, and to the tables of the page.

All arms are paired: the same examples under the same seed, the same held-out ones. What bites: what is claimed is
claimed at the most labels alone; the differences at fewer are shown and corrected for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from unmask.comparison.arms import MLM, SCRATCH, Floor
from unmask.comparison.verdict import OWN_TEXT, Evidence, Gap
from unmask.finetuning.cells import Cell
from unmask.stats import Figure, hierarchical, interval_p, paired_difference
from unmask.tasks.metrics import COMBINES

Found = Mapping[str, Mapping[int, Sequence[Cell]]]
"""Cells by arm and count of labels, one a seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The cells of a comparison, and how it was made."""

    found: Found
    floor: Floor
    counts: Sequence[int]
    held_out: int
    margin: float

    @property
    def figure(self) -> str:
        """The headline."""
        return self.found[MLM][self.counts[0]][0].headline

    @property
    def arms(self) -> list[str]:
        """The arms, the floor among them and the blind answer not."""
        return [name for name in self.found if name != self.floor.blind]

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.found[MLM][self.counts[0]])

    def tables(self, arm: str, count: int) -> list[Any]:
        """Return what each item brings to the headline, seed by seed."""
        return [cell.per_item[self.figure] for cell in self.found[arm][count]]

    def values(self, arm: str, count: int) -> list[float]:
        """Return the headline of each seed."""
        return [cell.value(self.figure) for cell in self.found[arm][count]]

    def quality(self, arm: str, count: int) -> Figure:
        """Return the headline with its interval over seeds and items, as far as the figure itself can reach."""
        found = hierarchical(self.tables(arm, count), COMBINES[self.figure])
        least = -1.0 if self.figure == "spearman" else 0.0
        return replace(found, low=max(least, found.low), high=min(1.0, found.high))

    def gap(self, ours: str, theirs: str, count: int, before: int | None = None) -> Gap:
        """Return how much ``ours`` is above ``theirs`` at ``count`` labels, or above itself at ``before`` labels."""
        from scipy.stats import t

        other = count if before is None else before
        whole = paired_difference(self.tables(ours, count), self.tables(theirs, other), COMBINES[self.figure])
        apart = np.subtract(self.values(ours, count), self.values(theirs, other))
        spread, half = float(apart.std(ddof=1)), (whole.high - whole.low) / 2
        by_seeds = t.ppf((1 + whole.level) / 2, self.seeds - 1) * spread / np.sqrt(self.seeds)
        return Gap(
            value=whole.value,
            low=whole.low,
            high=whole.high,
            p=interval_p(whole, self.seeds),
            spread=spread,
            by_items=float(np.sqrt(max(0.0, half**2 - by_seeds**2))),
        )

    def growth(self, arm: str) -> Gap | None:
        """Return what twice the labels are worth to ``arm``, by the last two counts; None where there is one."""
        if len(self.counts) < 2:
            return None
        before, last = self.counts[-2:]
        gap, doublings = self.gap(arm, arm, last, before), float(np.log2(last / before))
        each = {name: getattr(gap, name) / doublings for name in ("value", "low", "high", "spread", "by_items")}
        return replace(gap, **each)


def evidence_of(trial: Trial) -> Evidence:
    """Return what the rule looks at."""
    last, blind = trial.counts[-1], trial.floor.blind
    simple = [name for name in (trial.floor.name, SCRATCH, OWN_TEXT) if name in trial.found]
    others = [name for name in trial.arms if name not in (*simple, MLM)]
    above = {
        arm: {name: trial.gap(arm, name, last) for name in simple + (others if arm == MLM else [])}
        for arm in (MLM, *others)
    }
    growth = {name: trial.growth(name) for name in simple}
    return Evidence(
        labels=last,
        seeds=trial.seeds,
        held_out=trial.held_out,
        margin=trial.margin,
        first=MLM,
        simple=simple,
        gaps=above,
        above_blind={name: trial.gap(name, blind, last) for name in trial.arms} if blind else {},
        growth={name: gap for name, gap in growth.items() if gap is not None},
    )


def tables_of(trial: Trial) -> dict[str, Any]:
    """Return the figures of a comparison as JSON writes them."""

    def at_counts(arm: str) -> dict[str, Any]:
        return {
            str(count): {**trial.quality(arm, count).plain(), "seeds": trial.values(arm, count)}
            for count in trial.counts
        }

    others = [name for name in trial.arms if name != MLM]
    return {
        "figure": trial.figure,
        "counts": list(trial.counts),
        "seeds": trial.seeds,
        "held_out": trial.held_out,
        "margin": trial.margin,
        "quality": {name: at_counts(name) for name in trial.found},
        "differences": {
            name: {str(count): asdict(trial.gap(MLM, name, count)) for count in trial.counts} for name in others
        },
    }
