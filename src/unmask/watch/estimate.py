"""How often a classifier is right where nobody has looked: estimates from its own confidence, and when to refuse them.

Average confidence adds how far it was off on labelled requests; the thresholded one (Garg et al. 2022) counts who is
above the confidence that as many labelled ones were above as were right. What bites: both read confidence, and a model
that is sure of what it has never seen is sure there too. So an estimate is refused where its assumptions visibly fail,
and every labelled window that arrives is estimated first and then compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unmask.stats import Figure
from unmask.stats.calibration import reliability
from unmask.stats.figure import RESAMPLES, interval
from unmask.watch.window import Floats

LEAST = 100
"""Labelled requests, and requests to estimate, below which nothing is estimated."""
MOST_OFF = 0.05
"""Calibration error, beyond what perfect probabilities would show on as many, from which on nothing is estimated."""
MOST_CHANGED = 0.3
"""Share of the requests that changed at least, from which on nothing is estimated."""
MOST_OUTSIDE = 0.1
"""Share of confidences below all but a hundredth of the labelled ones, from which on nothing is estimated."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """M requests with their confidence and whether the prediction was right."""

    confidence: Floats
    right: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.right)

    @classmethod
    def joined(cls, parts: Sequence[Labelled]) -> Self:
        """Return all requests of ``parts``."""
        every: list[Labelled] = [cls(np.empty(0), np.empty(0, bool)), *parts]
        return cls(np.concatenate([one.confidence for one in every]), np.concatenate([one.right for one in every]))


def average_confidence(labelled: Labelled, confidence: Floats) -> Figure:
    """Return how often answers of this ``confidence`` (N,) are right: their mean, plus what labelled ones were off by.

    The interval holds the chance of the answers themselves and of the M labelled ones.
    """
    off = labelled.right - labelled.confidence
    value = float(confidence.mean() + off.mean())
    error = math.sqrt((confidence * (1 - confidence)).mean() / len(confidence) + off.var(ddof=1) / len(labelled))
    return _figure(value, 1.96 * error, len(confidence), "average confidence, corrected by labelled requests")


def thresholded(labelled: Labelled, confidence: Floats, *, seed: int = 0) -> Figure:
    """Return the share of ``confidence`` (N,) above the threshold that as many labelled ones are above as are right.

    The interval resamples the labelled ones and adds the chance of the answers themselves.
    """
    ordered = np.sort(confidence)
    chance = np.random.Generator(np.random.Philox(seed))
    drawn = chance.integers(len(labelled), size=(RESAMPLES, len(labelled)))
    wrong = 1 - labelled.right[drawn].mean(1)
    levels = np.sort(labelled.confidence[drawn], axis=1)
    places = np.minimum((wrong * len(labelled)).round().astype(np.int64), len(labelled) - 1)
    shares = _share_from(ordered, levels[np.arange(RESAMPLES), places])
    own = min(round((~labelled.right).sum()), len(labelled) - 1)
    value = float(_share_from(ordered, np.sort(labelled.confidence)[own : own + 1])[0])
    low, high = interval(shares, 0.95)
    half = math.hypot((high - low) / 2, 1.96 * math.sqrt(max(value * (1 - value), 0.0) / len(confidence)))
    return _figure(value, half, len(confidence), "average thresholded confidence")


def refusal(
    labelled: Labelled, confidence: Floats, changed: Mapping[str, float], tests: Sequence[BackTest] = ()
) -> str | None:
    """Return why nothing is estimated for requests of this ``confidence``, or None where it may be.

    ``changed`` says by signal how large a share of the requests changed at least.
    """
    if len(labelled) < LEAST:
        return f"{len(labelled)} labelled requests are too few, {LEAST} are the least: unmask watch labels FILE"
    if len(confidence) < LEAST:
        return f"{len(confidence)} requests are too few, {LEAST} are the least"
    found = reliability(labelled.confidence, labelled.right, np.arange(len(labelled)))
    surplus = found["ece"]["value"] - found["perfect_ece"]["value"]
    if surplus > MOST_OFF:
        return f"confidence is off by {surplus:.2f} on labelled requests, {MOST_OFF} is the most; calibrate the model"
    if changed and (most := max(changed, key=lambda name: changed[name])) and changed[most] > MOST_CHANGED:
        return f"{changed[most]:.0%} of the requests changed at least ({most}), {MOST_CHANGED:.0%} is the most"
    outside = float((confidence < np.quantile(labelled.confidence, 0.01)).mean())
    if outside > MOST_OUTSIDE:
        return f"{outside:.0%} of the answers are less sure than nearly all labelled ones; label some of these"
    if tests and not tests[-1].held:
        return f"the last estimate was off: {tests[-1].words}; label more of what comes now"
    return None


@dataclass(frozen=True, slots=True)
class BackTest:
    """An estimate beside what labels then said."""

    estimates: Mapping[str, Mapping[str, Any]]
    accuracy: float
    count: int

    @property
    def held(self) -> bool:
        """Whether the truth lay within half as much again as the interval of the average confidence.

        Chance alone is outside of that once in three hundred times, and once in twenty outside of the interval.
        """
        figure = self.estimates["average_confidence"]
        half = max(figure["value"] - figure["low"], figure["high"] - figure["value"])
        return bool(abs(self.accuracy - figure["value"]) <= 1.5 * half)

    @property
    def words(self) -> str:
        """What was said and what was true."""
        figure = self.estimates["average_confidence"]
        return f"{figure['low']:.1%} to {figure['high']:.1%} was said, {self.accuracy:.1%} was true"


def estimates(labelled: Labelled, confidence: Floats) -> dict[str, dict[str, Any]]:
    """Return both estimates of the accuracy at this ``confidence``, as JSON writes them."""
    return {
        "average_confidence": average_confidence(labelled, confidence).plain(),
        "thresholded": thresholded(labelled, confidence).plain(),
    }


def back_test(before: Labelled, now: Labelled) -> BackTest | None:
    """Return what would have been said of ``now`` by what was labelled ``before``; None where either is too small."""
    if min(len(before), len(now)) < LEAST:
        return None
    return BackTest(estimates(before, now.confidence), float(now.right.mean()), len(now))


def _share_from(ordered: Floats, levels: Floats) -> Floats:
    return np.asarray(1 - np.searchsorted(ordered, levels, side="left") / len(ordered))


def _figure(value: float, half: float, count: int, method: str) -> Figure:
    value = min(max(value, 0.0), 1.0)
    return Figure(value, max(0.0, value - half), min(1.0, value + half), count, 0.95, method)
