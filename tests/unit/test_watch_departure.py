from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import permutation_test
from sklearn.metrics import roc_auc_score
from tests.made_traffic import DAY, MONDAY, Traffic

from unmask.watch.alarms import AlarmSettings
from unmask.watch.baseline import Baseline
from unmask.watch.departure import Deals, Stretches, p_among
from unmask.watch.features import FeatureMap
from unmask.watch.rhythm import phase_of
from unmask.watch.told_apart import area, told_apart
from unmask.watch.window import Floats, Window

REPEATS = 30
ONLY_DEALS = AlarmSettings(alarms_per_month=1)


def drawn(seed: int, rows: int, **how: float) -> Window:
    """Return requests that all came at once."""
    window = Traffic(rows=rows, **how).days(np.random.default_rng(seed), 1)  # type: ignore[arg-type]
    return replace(window, time=np.full(rows, MONDAY))


def only(window: Window, name: str) -> Window:
    """Return ``window`` with no signal measured but one."""
    nothing = np.full(len(window), np.nan)
    numbers = {other: values if other == name else nothing for other, values in window.numbers.items()}
    return replace(window, numbers=numbers, classes=dict.fromkeys(window.classes, np.full(len(window), "")))


@pytest.mark.parametrize("seed", range(3))
def test_a_permutation_test_of_one_share_is_that_of_scipy(seed: int) -> None:
    reference, window = (only(drawn(seed + place, rows), "truncated") for place, rows in ((0, 300), (50, 60)))
    features = FeatureMap.fit(reference)
    _, [[p]] = Deals(features, 300, 60, 4000).test(features.rows(reference), features.rows(window))
    theirs = permutation_test(
        (window.numbers["truncated"], reference.numbers["truncated"]),
        lambda one, other, axis: np.abs(one.mean(axis) - other.mean(axis)),
        n_resamples=4000, vectorized=True, alternative="greater", rng=np.random.default_rng(0),
    )  # fmt: skip
    assert p == pytest.approx(theirs.pvalue, abs=0.03)


def test_p_values_of_the_same_traffic_are_no_smaller_than_they_say() -> None:
    smallest = []
    for seed in range(REPEATS):
        window = drawn(seed, 160, vectors=60)  # half as wide as there are vectors: what is fitted fits them alone
        made = Baseline.make(window.rows(slice(120)), ONLY_DEALS, "m")
        held = made.measured(window.rows(slice(120, None)))
        features = made.features
        _, p = Deals(features, 120, 40, 200).test(features.rows(made.rows), features.rows(held))
        smallest.append(p.min())
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.array(smallest) <= level)
        assert abs(share - level) <= 3 * np.sqrt(level * (1 - level) / REPEATS)


def test_other_vectors_are_noticed_by_the_embedding_alone() -> None:
    chance = np.random.default_rng(0)
    reference = drawn(0, 500, vectors=4)
    window = drawn(1, 150, vectors=4)
    assert window.embedding is not None
    ring = 2.5 * np.where(chance.random((150, 4)) < 0.5, 1, -1) * (np.arange(4) == 0)
    window = replace(window, embedding=(window.embedding + ring).astype(np.float32))  # the mean stays where it is
    made = Baseline.make(reference, ONLY_DEALS, "m")
    judged = made.judge(made.measured(window), MONDAY)
    assert judged.p["embedding"] <= 0.001
    assert judged.p["confidence"] > 0.05
    assert 0.1 < judged.effect["embedding"] <= 1


@pytest.mark.parametrize("tail", ["exponential", "normal", "student"])
def test_beyond_the_highest_of_the_reference_p_is_no_smaller_than_it_says(tail: str) -> None:
    chance = np.random.default_rng(0)
    draws: dict[str, Callable[[tuple[int, int]], Floats]] = {
        "exponential": lambda size: chance.exponential(size=size),
        "normal": lambda size: chance.standard_normal(size) ** 2 / 2,  # as scores of a mean are
        "student": lambda size: np.log1p(chance.standard_t(5, size) ** 2 / 5) * 3,  # as its own formula scales them
    }
    null, new = draws[tail]((3000, 28)), draws[tail]((3000, 50))
    p = np.stack([p_among(one, other) for one, other in zip(null, new, strict=True)])
    for level in (1 / 60, 1 / 200):
        assert 0.2 * level < (p <= level).mean() <= 1.1 * level


def days_of(traffic: Traffic, seed: int, days: int) -> tuple[Baseline, Window]:
    chance = np.random.default_rng(seed)
    window = traffic.days(chance, days + 28)
    is_reference = window.time < MONDAY + days * DAY
    return Baseline.make(window.rows(is_reference), AlarmSettings(), "m"), window.rows(~is_reference)


def smallest_p(made: Baseline, later: Window) -> list[float]:
    return [
        min(made.judge(later.rows((later.time >= start) & (later.time < start + DAY)), start).p.values())
        for start in np.unique(np.floor(later.time / DAY)) * DAY
    ]


@pytest.mark.parametrize(
    "traffic",
    [Traffic(rows=60), Traffic(rows=60, daily=0.3), Traffic(rows=60, weekend=1.5, daily=0.2)],
    ids=["independent", "days that differ", "weekends that differ"],
)
def test_ranks_of_days_are_no_smaller_than_they_say(traffic: Traffic) -> None:
    found = np.concatenate([smallest_p(*days_of(traffic, seed, 28)) for seed in range(12)])
    for level in (2 / 29, 6 / 29, 15 / 29):
        share = np.mean(found <= level)
        assert share == pytest.approx(level, abs=0.3 * level + 0.03)


def test_a_saturday_is_held_against_saturdays() -> None:
    made, later = days_of(Traffic(rows=200, weekend=1.5), 0, 28)
    assert made.rhythm == "weekday"
    saturday = MONDAY + (28 + 5) * DAY
    found = later.rows((later.time >= saturday) & (later.time < saturday + DAY))
    assert min(made.judge(found, saturday).p.values()) > 1 / 29
    assert min(made.judge(found, saturday - 2 * DAY).p.values()) < 1e-6  # as a Thursday it is strange


def test_stretches_are_held_against_the_others_as_a_new_one_is() -> None:
    """The slow twin: leave a day out, build the rest, and judge it as a stranger."""
    made, _ = days_of(Traffic(rows=100, weekend=0.5, daily=0.2), 1, 28)
    phase = phase_of(made._starts, "weekday")
    fast = made.stretches.null
    for left_out in (0, 7, 19):
        rest = np.arange(28) != left_out
        slow = Stretches(made.features, made.sums.take(rest), phase[rest]).depart(
            made.sums.take([left_out]), phase[[left_out]]
        )
        np.testing.assert_allclose(slow.differences[0], fast.differences[left_out], atol=0.02)
        numbers = [name != "embedding" for name in made.features.names]
        np.testing.assert_allclose(slow.scores[0][numbers], fast.scores[left_out][numbers], rtol=0.25, atol=0.4)


def test_a_signal_that_is_gone_is_not_taken_for_a_change() -> None:
    made, later = days_of(Traffic(rows=100), 2, 28)
    day = later.rows(slice(100))
    gone = replace(day, numbers={**day.numbers, "confidence": np.full(100, np.nan)})
    judged = made.judge(gone, float(day.time[0]))
    assert judged.p["confidence"] == 1.0
    assert judged.effect["confidence"] == 0.0


def test_a_signal_that_is_gone_from_rows_is_not_taken_for_a_change() -> None:
    reference, window = drawn(0, 300), drawn(1, 80)
    gone = replace(window, numbers={**window.numbers, "confidence": np.full(80, np.nan)})
    judged = Baseline.make(reference, ONLY_DEALS, "m").judge(gone, MONDAY)
    assert judged.p["confidence"] == 1.0
    assert judged.effect["confidence"] == 0.0


def test_the_area_is_that_of_sklearn() -> None:
    chance = np.random.default_rng(0)
    low, high = chance.integers(8, size=90).astype(float), chance.integers(3, 10, size=70).astype(float)
    truth = np.repeat([0, 1], [90, 70])
    figure = area(low, high)
    assert figure.value == pytest.approx(roc_auc_score(truth, np.concatenate([low, high])))
    assert figure.low < figure.value < figure.high


def test_a_classifier_tells_what_differs_and_nothing_else() -> None:
    chance = np.random.default_rng(0)
    reference, same, other = (chance.standard_normal((300, 6)).astype(np.float32) for _ in range(3))
    other[:40, 0] += 4
    nothing, found = told_apart(reference, same), told_apart(reference, other)
    assert nothing is not None
    assert nothing.auc.low < 0.5 < nothing.auc.high
    assert found is not None
    assert found.auc.low > 0.5
    assert np.isin(found.order[:20], np.arange(40)).mean() > 0.9
    assert told_apart(reference[:10], same) is None
