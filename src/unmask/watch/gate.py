"""The gate: a candidate passes where it is shown to be no worse than a baseline by more than a margin.

Non-inferiority by a paired bootstrap: all criteria are resampled by the same items, and each passes where its lower
bound is above minus the margin. All have to pass, so none needs a correction for the others: a candidate that is worse
by a margin is stopped as often as the level says (intersection-union, Berger 1982). What bites: the more criteria, the
more rarely an equal candidate passes them all by chance; the sizes that are asked for allow for that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.stats.calibration import BINS
from unmask.stats.figure import Combine, Figure, Floats, resampled_sums
from unmask.watch.policy import EvidenceSettings

METHOD = "paired bootstrap over items, one-sided bounds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A figure of both models on the same N items."""

    name: str
    candidate: Floats
    """(N, K); rows of zeros where an item does not count."""
    baseline: Floats
    """(N, L)"""
    combine: Combine
    margin: float
    items: int
    """How many of the N count."""
    is_loss: bool = False
    """Whether less is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of a criterion."""

    name: str
    passed: bool
    says: str
    margin: float
    difference: Figure | None = None
    """Candidate minus baseline, more being better; None where chance has no part in it."""
    needed: int | None = None
    """Items with which an equal candidate passes as often as the policy wishes."""

    def plain(self) -> dict[str, Any]:
        """Return it as JSON writes it."""
        return {
            "name": self.name,
            "passed": self.passed,
            "says": self.says,
            "margin": self.margin,
            "difference": None if self.difference is None else self.difference.plain(),
            "needed": self.needed,
        }


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts on criteria that were resampled together."""

    verdicts: list[Verdict]
    pass_rate: float
    """How often an equal candidate would pass all of them at this size."""


def judged(criteria: Sequence[Criterion], evidence: EvidenceSettings, *, others: int = 0, seed: int = 0) -> Judgement:
    """Return the verdicts on ``criteria``; ``others`` is how many more criteria the gate has beside them."""
    draws, values = _differences(criteria, seed)
    power = 1 - (1 - evidence.pass_rate) / (len(criteria) + others)
    lows, highs = np.quantile(draws, [1 - evidence.level, evidence.level], axis=0)
    margins = np.array([one.margin for one in criteria])
    equal = draws - draws.mean(0) - (values - lows)
    verdicts = []
    for place, one in enumerate(criteria):
        figure = Figure(
            float(values[place]), float(lows[place]), float(highs[place]), one.items, evidence.level, METHOD
        )
        needed = needed_items(float(draws[:, place].std() * math.sqrt(one.items)), one.margin, evidence.level, power)
        verdicts.append(_verdict(one, figure, needed, evidence.level))
    return Judgement(verdicts, float((equal > -margins).all(1).mean()))


def _differences(criteria: Sequence[Criterion], seed: int) -> tuple[Floats, Floats]:
    """Return (RESAMPLES, C) candidate minus baseline under the same draws of items, and (C,) as measured."""
    tables = [table for one in criteria for table in (one.candidate, one.baseline)]
    ends = np.cumsum([table.shape[1] for table in tables])[:-1]
    beside = np.concatenate(tables, 1)
    drawn = resampled_sums(beside, np.random.Generator(np.random.Philox(seed)))
    found = []
    for sums in (drawn, beside.sum(0)):
        parts = iter(np.split(sums, ends, axis=-1))
        pairs = [(one, one.combine(next(parts)), one.combine(next(parts))) for one in criteria]
        found.append(np.stack([theirs - ours if one.is_loss else ours - theirs for one, ours, theirs in pairs], -1))
    return found[0], found[1]


def needed_items(deviation: float, margin: float, level: float, power: float) -> int:
    """Return with how many items an equal candidate passes with probability ``power``.

    n = ((z_level + z_power) deviation / margin)^2 of paired differences whose standard deviation is ``deviation``; and
    at least as many as show a loss of the margin at all: fewer hold none of the items lost with probability 1 - level.
    """
    from scipy.stats import norm

    reach = float(norm.ppf(level) + norm.ppf(power))
    return max(fewest_items(margin, level), math.ceil((reach * deviation / margin) ** 2))


def fewest_items(margin: float, level: float) -> int:
    """Return how many items hold at least one of those that a loss of ``margin`` would cost, with ``level``."""
    return math.ceil(math.log(1 - level) / math.log(1 - margin))


def _verdict(one: Criterion, figure: Figure, needed: int, level: float) -> Verdict:
    """Return whether the bound of ``figure`` is above minus the margin, and in words why not."""
    fewest = fewest_items(one.margin, level)
    passed = figure.low > -one.margin and one.items >= fewest
    bound = f"{figure.value:+.4f}, at worst {figure.low:+.4f}"
    if one.items < fewest:
        says = f"{one.items:,} examples can not show a loss of {one.margin:g}; give at least {fewest:,}"
    elif passed:
        says = f"{bound}: no worse by {one.margin:g}"
    elif figure.high < 0:
        says = f"{bound}: worse, and a loss of {one.margin:g} is not ruled out"
    else:
        says = f"{bound}: not shown to be within {one.margin:g}; {needed:,} examples would show it of an equal model"
    return Verdict(name=one.name, passed=passed, says=says, margin=one.margin, difference=figure, needed=needed)


def of_part(table: Floats, part: npt.NDArray[np.bool_]) -> Floats:
    """Return ``table`` (N, K) with nothing outside of ``part`` (N,)."""
    return np.asarray(table * part[:, None])


def calibration_table(confidence: Floats, right: npt.NDArray[np.bool_]) -> Floats:
    """Return (N, BINS + 1) what each decision brings to :func:`calibration_error_of`, in bins of equal mass."""
    found = np.zeros((len(confidence), BINS + 1))
    for place, part in enumerate(np.array_split(np.argsort(confidence, kind="stable"), BINS)):
        found[part, place] = confidence[part] - right[part]
    found[:, -1] = 1.0
    return found


def calibration_error_of(sums: Floats) -> Floats:
    """Combine sums (..., BINS + 1) into the mean distance of confidence and accuracy, the bins as they were drawn."""
    return np.asarray(np.abs(sums[..., :-1]).sum(-1) / sums[..., -1])


def of_latency(candidate: Floats, baseline: Floats, margin: float, level: float) -> Verdict:
    """Return whether one text takes no longer than it did by a share of ``margin``; seconds (N,) of the same texts.

    The geometric mean of the ratios, bootstrapped over texts.
    """
    logs = np.log(candidate / baseline)
    table = np.stack([logs, np.ones_like(logs)], 1)
    drawn = resampled_sums(table, np.random.Generator(np.random.Philox(0)))
    slower = np.exp(drawn[:, 0] / drawn[:, 1]) - 1
    value, worst, best = float(np.exp(logs.mean()) - 1), *map(float, np.quantile(slower, [level, 1 - level]))
    figure = Figure(-value, -worst, -best, len(logs), level, "bootstrap over texts, ratio of times")
    says = (
        f"{1000 * float(np.median(candidate)):.1f} ms a text, {value:+.1%}, at worst {worst:+.1%}; {margin:.0%} allowed"
    )
    return Verdict(name="latency", passed=worst <= margin, says=says, margin=margin, difference=figure)


def of_size(candidate: int, baseline: int, margin: float) -> Verdict:
    """Return whether the weights are no larger by a share of ``margin``."""
    larger = candidate / baseline - 1
    says = f"{candidate / 1e6:.1f} MB, {larger:+.1%}; {margin:.0%} allowed"
    return Verdict(name="size", passed=larger <= margin, says=says, margin=margin)


def of_parity(form: str, otherwise: int, of: int, margin: float, level: float) -> Verdict:
    """Return whether ``form`` answers a share of at most ``margin`` otherwise, by the exact bound of a share."""
    from scipy.stats import beta

    most = 1.0 if otherwise == of else float(beta.ppf(level, otherwise + 1, of - otherwise))
    says = f"{otherwise:,} of {of:,} examples answered otherwise, at most {most:.2%} of all; {margin:.2%} allowed"
    figure = Figure(-otherwise / of, -most, 0.0, of, level, "exact binomial")
    return Verdict(name=f"parity of {form}", passed=most <= margin, says=says, margin=margin, difference=figure,
                   needed=fewest_items(margin, level))  # fmt: skip
