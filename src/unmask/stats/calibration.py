"""Whether probabilities can be believed, and what becomes of errors where a model may abstain.

What bites: the calibration error of few items is far from 0 even where probabilities are perfect (0.08 on 400 items).
So it is stated beside what perfect ones would show on as many, and beside the Brier score, which has no such bias.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from unmask.errors import DataError
from unmask.stats.figure import Figure, bootstrap, mean_of

Floats = npt.NDArray[np.float64]

BINS = 15
COLDEST, HOTTEST = 1e-2, 1e2
_ERROR_RESAMPLES = 200


def probabilities(logits: npt.NDArray[np.floating], temperature: float = 1.0, *, multi_label: bool = False) -> Floats:
    """Return probabilities of ``logits`` (..., C) at ``temperature``: of classes, or of each label for itself."""
    scaled = np.asarray(logits, np.float64) / temperature
    if multi_label:
        return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -500, 500))))
    grown = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


def fit_temperature(logits: npt.NDArray[np.floating], truth: npt.NDArray[Any], *, where: str = "scores") -> float:
    """Return the temperature at which ``logits`` (N, C) make ``truth`` most likely (Guo et al. 2017).

    ``truth`` is (N,) classes or (N, C) labels. Raises DataError where a score is not finite. Scores that are all right,
    or say nothing, have no best temperature: the nearest bound is returned.
    """
    from scipy.optimize import minimize_scalar

    if not np.isfinite(logits).all():
        raise DataError(where, f"{(~np.isfinite(logits)).any(1).sum()} examples have scores that are not finite")
    wanted = one_hot(truth, logits.shape[1])
    multi_label = truth.ndim == 2

    def loss(log_temperature: float) -> float:
        chance = probabilities(logits, float(np.exp(log_temperature)), multi_label=multi_label)
        given = np.where(wanted, chance, 1 - chance if multi_label else 1.0)
        return -float(np.log(np.maximum(given, 1e-300)).sum())

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def one_hot(truth: npt.NDArray[Any], num_classes: int) -> npt.NDArray[np.bool_]:
    """Return (N, C) whether each label is true."""
    return np.asarray(truth, bool) if truth.ndim == 2 else np.arange(num_classes) == truth[:, None]


def confidences(chance: Floats, truth: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return how sure each decision is and whether it is right: of the likeliest class, or of every label."""
    if truth.ndim == 2:
        flat = np.maximum(chance, 1 - chance).ravel()
        return flat, ((chance >= 0.5) == truth.astype(bool)).ravel()
    best = chance.argmax(1)
    return chance[np.arange(len(chance)), best], best == truth


def equal_mass_bins(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = BINS) -> list[dict[str, float]]:
    """Return bins of as many decisions each, by confidence: their mean confidence, their accuracy, their number."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return [
        {"confidence": float(confidence[part].mean()), "accuracy": float(right[part].mean()), "count": len(part)}
        for part in parts
    ]


def calibration_error(confidence: Floats, right: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Return the mean distance of confidence and accuracy over bins of equal mass (Nguyen and O'Connor 2015)."""
    found = equal_mass_bins(confidence, right, bins)
    return sum(part["count"] * abs(part["confidence"] - part["accuracy"]) for part in found) / len(confidence)


def calibration(logits: npt.NDArray[np.floating], truth: npt.NDArray[Any], temperature: float) -> dict[str, Any]:
    """Return what a report says of probabilities: ``ece`` and ``brier`` with intervals, ``bins``, ``temperature``.

    ``perfect_ece`` is what the error would be if every decision were right as often as it says.
    """
    chance = probabilities(logits, temperature, multi_label=truth.ndim == 2)
    confidence, right = confidences(chance, truth)
    item = np.repeat(np.arange(len(chance)), len(confidence) // len(chance))
    squared = ((chance - one_hot(truth, chance.shape[1])) ** 2).sum(1)
    brier = bootstrap(np.stack([squared, np.ones_like(squared)], 1), mean_of)
    return {"temperature": temperature, **reliability(confidence, right, item), "brier": brier.plain()}


def reliability(confidence: Floats, right: npt.NDArray[np.bool_], item: npt.NDArray[Any]) -> dict[str, Any]:
    """Return ``ece``, ``perfect_ece`` and ``bins`` of decisions (N,); those of one ``item`` are drawn together."""
    return {
        "ece": _error_with_interval(confidence, right, item).plain(),
        "perfect_ece": _perfect_error(confidence, len(np.unique(item))).plain(),
        "bins": equal_mass_bins(confidence, right),
    }


def _error_with_interval(confidence: Floats, right: npt.NDArray[np.bool_], item: npt.NDArray[Any]) -> Figure:
    """Return the calibration error of decisions (N,), with an interval over the items that they belong to."""
    _, first = np.unique(item[order := np.argsort(item, kind="stable")], return_index=True)
    of_item = np.split(order, first[1:])
    chance, items = np.random.Generator(np.random.Philox(0)), len(first)
    drawn = []
    for chosen in (chance.integers(items, size=items) for _ in range(_ERROR_RESAMPLES)):
        places = np.concatenate([of_item[one] for one in chosen])
        drawn.append(calibration_error(confidence[places], right[places]))
    value = calibration_error(confidence, right)
    surplus = np.median(drawn) - value  # resampling adds noise to every bin, which looks like error
    low, high = np.maximum(np.quantile(drawn, [0.025, 0.975]) - surplus, 0.0)
    return Figure(value, float(low), float(high), items, 0.95, "bootstrap over items, equal-mass bins, recentred")


def _perfect_error(confidence: Floats, items: int) -> Figure:
    """Return the calibration error of outcomes drawn from the confidences themselves (Broecker and Smith 2007)."""
    chance = np.random.Generator(np.random.Philox(1))
    drawn = [
        calibration_error(confidence, chance.random(len(confidence)) < confidence) for _ in range(_ERROR_RESAMPLES)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Figure(float(np.mean(drawn)), float(low), float(high), items, 0.95, "outcomes drawn from the confidences")


def risk_coverage(confidence: Floats, right: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return coverage (N,) and risk (N,): the share answered, and of that the share wrong, the surest first.

    Decisions of equal confidence are answered together (Geifman and El-Yaniv 2017).
    """
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(~right[order])
    count = np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, [True])  # the end of each run of equals
    return count[last] / len(order), wrong[last] / count[last]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What can be answered at a chosen risk, read off decisions whose outcome is known."""

    coverage: float
    """Share of the decisions that is answered."""
    confidence: float | None
    """From which on is answered; None where nothing is."""
    high: float | None
    """Share that is wrong among other answers of this confidence at most, with 95 % confidence."""

    def plain(self) -> dict[str, float | None]:
        """Return it as JSON writes it."""
        return asdict(self)


def coverage_at(confidence: Floats, right: npt.NDArray[np.bool_], risk: float) -> Coverage:
    """Return the most that can be answered with a share of at most ``risk`` wrong among these decisions.

    No promise for others: the confidence was chosen because few errors happened to lie above it. Simulated, 1 % chosen
    on 300 decisions is 2 % on others, and 5 % chosen on 1,000 is above 5 % as often as not. What holds is ``high``, the
    exact bound of a share (Clopper and Pearson 1934) of decisions that are independent; simulated, on others no more
    than that is wrong in 18 to 19 choices of 20.
    """
    from scipy.stats import beta

    covered, risks = risk_coverage(confidence, right)
    fine = np.flatnonzero(risks <= risk)
    if not len(fine):
        return Coverage(0.0, None, None)
    answered = round(covered[fine[-1]] * len(confidence))
    wrong = round(risks[fine[-1]] * answered)
    high = 1.0 if wrong == answered else float(beta.ppf(0.95, wrong + 1, answered - wrong))
    return Coverage(float(covered[fine[-1]]), float(np.sort(confidence)[::-1][answered - 1]), high)
