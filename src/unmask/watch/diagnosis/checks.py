"""The two lists of a diagnosis: can the figure be believed, and what would raise it.

What bites: the first list is in the order of causes, since a leak makes nonsense of all that is measured after it; the
second is in the order of gain, and training is not blamed for what wrong labels hold down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unmask.watch.diagnosis.belief import calibration, floor
from unmask.watch.diagnosis.case import Case, Finding
from unmask.watch.diagnosis.confusion import confusion, imbalance
from unmask.watch.diagnosis.copies import duplicates, leakage
from unmask.watch.diagnosis.fitting import forgetting, over_fitting, under_training
from unmask.watch.diagnosis.label_noise import label_noise
from unmask.watch.diagnosis.reading import tokenizer_fit, truncation
from unmask.watch.diagnosis.shift import shift
from unmask.watch.diagnosis.slices import slices
from unmask.watch.diagnosis.writing import skew

Check = Callable[[Case], Finding]
Told = Callable[[int, int], None]

BELIEVED: tuple[Check, ...] = (leakage, duplicates, skew, floor, calibration)
"""In the order of causes."""
RAISING: tuple[Check, ...] = (
    label_noise, under_training, truncation, tokenizer_fit, slices, confusion, imbalance, shift, over_fitting,
    forgetting,
)  # fmt: skip


def believed(case: Case) -> list[Finding]:
    """Return whether the figure can be believed: what fails first, each part in the order of causes."""
    found = [check(case) for check in BELIEVED]
    return sorted(found, key=lambda one: one.state != "found")


def raising(case: Case, told: Told = lambda _done, _total: None) -> list[Finding]:
    """Return what would raise the figure, what would raise it most first; then what is clear, then what is skipped."""
    found: list[Finding] = []
    for place, check in enumerate(RAISING):
        told(place, len(RAISING))
        found.append(under_training(case, 1 - _mislabelled(found)) if check is under_training else check(case))
    told(len(RAISING), len(RAISING))
    return sorted(found, key=_rank)


def _mislabelled(findings: Sequence[Finding]) -> float:
    """Return the share of wrong labels that was found, 0 where none was."""
    gains = [one.gain.value for one in findings if one.check == "label noise" and one.gain is not None]
    return sum(gains)


def _rank(finding: Finding) -> tuple[Any, ...]:
    order = ("found", "clear", "skipped").index(finding.state)
    return order, 0.0 if finding.gain is None else -finding.gain.value
