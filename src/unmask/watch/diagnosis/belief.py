"""Whether the figure means what it seems to: a floor that is as good, and probabilities that can be believed."""

from __future__ import annotations

from unmask.stats import paired_difference
from unmask.stats.calibration import reliability
from unmask.watch.diagnosis.case import Case, Finding, judged, skipped

LEAST_ERROR = 0.02
"""Calibration error beyond what perfect probabilities would show."""


def floor(case: Case) -> Finding:
    """Return whether something without a network is as good as the model."""
    name = "floor"
    if not case.floors:
        return skipped(name, "give --train FILE to build the floors that the figure is read beside")
    values = {label: float(case.combine(table.sum(0))) for label, table in case.floors.items()}
    best = max(values, key=lambda label: values[label])
    ahead = paired_difference([case.dev.per_item], [case.floors[best]], case.combine)
    is_found = not ahead.low > 0
    beside = f"{case.value:.3f} {case.figure} beside {values[best]:.3f} of {best}: {ahead.value:+.3f}"
    told = "is not told apart from" if ahead.high >= 0 else "is behind"
    says = (
        f"the model {told if is_found else 'is ahead of'} the best floor, {beside} [{ahead.low:.3f}, {ahead.high:.3f}]"
    )
    return judged(
        name,
        is_found,
        says=says,
        advice="see at how many labels it is ahead, or serve the floor",
        command=f"{case.finetune()} --labels 100,500,all",
        facts={"floors": values, "ahead": ahead.plain()},
    )


def calibration(case: Case) -> Finding:
    """Return whether the model is right as often as it says."""
    name, made = "calibration", case.dev.decisions
    if made is None:
        return skipped(name, f"a model of {case.block.name} has no probabilities of classes")
    found = reliability(made.confidence, made.right, made.item)
    error, perfect = found["ece"], found["perfect_ece"]
    is_found = error["low"] > perfect["high"] and error["value"] > perfect["value"] + LEAST_ERROR
    sure, right = float(made.confidence.mean()), float(made.right.mean())
    says = (
        f"calibration error {error['value']:.3f} [{error['low']:.3f}, {error['high']:.3f}], perfect probabilities "
        f"would show {perfect['value']:.3f}; it says {sure:.1%} on average and is right {right:.1%} of the time"
    )
    return judged(
        name,
        is_found,
        says=says,
        advice="fit the temperature on these examples, as every fine-tuning does at its end",
        command=case.finetune(),
        facts=found,
    )
