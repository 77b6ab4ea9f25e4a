"""Slices: the parts of the development examples that the model is worse on, by language, script or a field of the file.

What bites: of many slices one is always the worst. Intervals are widened for their number, and a slice of a few
examples is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from unmask.watch.diagnosis.case import LEVEL, Bools, Case, Finding, gain_of, is_worth, judged, shown
from unmask.watch.diagnosis.languages import UNCLEAR, languages_of, main_language

FEWEST = 20
"""Examples of a slice."""
LEAST = 0.02
"""Share of the examples that a slice must be."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the development examples."""

    field: str
    value: str
    part: Bools
    """(N,)"""


def slices(case: Case) -> Finding:
    """Return the slice that costs most, and how all of them do."""
    dev = case.dev
    found = list(_slices(case))
    level = 1 - (1 - LEVEL) / max(1, len(found))
    gains = [gain_of(dev.per_item, case.combine, one.part, level) for one in found]
    facts = {"slices": [_figures(case, one) for one in found]}
    worth = [(gain, one) for gain, one in zip(gains, found, strict=True) if is_worth(gain)]
    if not worth:
        names = ", ".join(f"{one.field} {one.value}" for one in found[:3]) or "no other language, and no field is named"
        return judged("slice", False, says=f"no slice is worse than the rest ({names})", facts=facts)
    gain, worst = max(worth, key=lambda pair: pair[0].value)
    return judged(
        "slice",
        True,
        says=_words(case, worst),
        gain=gain,
        examples=shown(dev, np.flatnonzero(worst.part), lambda _: f"{worst.field} {worst.value}"),
        advice=f"label more of {worst.field} {worst.value} and train on it too",
        command=case.finetune(train="TRAIN_AND_NEW"),
        facts=facts,
    )


def _slices(case: Case) -> Iterator[Slice]:
    """Yield the slices that are large enough: languages beside the main one, and all values of the fields."""
    languages = languages_of(case.dev.texts)
    main = main_language(case.train.texts if case.train is not None else case.dev.texts)
    for field, values in {"language": languages, **case.fields}.items():
        for value in np.unique(values).tolist():
            part = values == value
            is_large = max(FEWEST, LEAST * len(part)) <= part.sum() < len(part)
            if is_large and not (field == "language" and value in (main, UNCLEAR)):
                yield Slice(field, value, part)


def _figures(case: Case, one: Slice) -> dict[str, Any]:
    dev, rows = case.dev, one.part
    return {
        "field": one.field,
        "value": one.value,
        "examples": int(rows.sum()),
        "figure": float(case.combine(dev.per_item[rows].sum(0))),
        "tokens_per_word": float(dev.number("tokens_per_word")[rows].mean()),
        "cut": float(dev.number("truncated")[rows].mean()),
    }


def _words(case: Case, worst: Slice) -> str:
    value, rest = (float(case.combine(case.dev.per_item[rows].sum(0))) for rows in (worst.part, ~worst.part))
    says = f"{worst.field} {worst.value}: {case.figure} {value:.3f}, elsewhere {rest:.3f}"
    says += f"; it is {worst.part.mean():.0%} of the development examples"
    if worst.field == "language" and case.learned:
        says += f" and {np.mean(languages_of(case.learned) == worst.value):.0%} of the training examples"
    return says
