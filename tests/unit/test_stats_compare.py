"""Comparisons and calibration: against oracles, by simulation, and on the hand-made cases that people get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle
from sklearn.metrics import brier_score_loss

from unmask.errors import DataError
from unmask.stats import bootstrap, hierarchical, holm, paired_difference, permutation_p, seeds_needed
from unmask.stats import figure as of_figures
from unmask.stats import seeds as of_seeds
from unmask.stats.calibration import (
    Coverage,
    calibration,
    calibration_error,
    confidences,
    coverage_at,
    equal_mass_bins,
    fit_temperature,
    probabilities,
    risk_coverage,
)
from unmask.stats.figure import mean_of
from unmask.tasks.metrics import f1_of


def column(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    found = np.asarray(values, float)
    return np.stack([found, np.ones_like(found)], 1)


def test_a_bootstrap_is_scipy_s() -> None:
    values = np.random.default_rng(0).gamma(2, size=80)
    ours = bootstrap(column(values), mean_of)
    theirs = oracle.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=0.05)


def test_an_interval_of_a_ratio_covers_as_often_as_it_says() -> None:
    """F1 of items with tp, found, true: 95 % within three and a half standard errors over 300 worlds."""
    chance, covered = np.random.default_rng(1), 0
    true_f1 = 2 * 0.3 / (0.5 + 0.6)
    for _ in range(300):
        hit = chance.random(150) < 0.3
        found = np.stack([hit, hit | (chance.random(150) < 2 / 7), hit | (chance.random(150) < 3 / 7)], 1).astype(float)
        figure = bootstrap(found, f1_of)
        covered += figure.low <= true_f1 <= figure.high
    assert abs(covered / 300 - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 300)


def worlds(chance: np.random.Generator, seeds: int, items: int, sd_seed: float) -> list[npt.NDArray[np.float64]]:
    """Return the tables of seeds that differ by ``sd_seed`` on items of mean zero that are the same for all."""
    item = chance.normal(size=items)
    return [column(item + chance.normal(scale=sd_seed) + chance.normal(scale=0.3, size=items)) for _ in range(seeds)]


@pytest.mark.parametrize(("seeds", "sd_seed"), [(3, 1.0), (3, 0.1), (6, 0.5)])
def test_an_interval_over_seeds_covers_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch, seeds: int, sd_seed: float
) -> None:
    """Few seeds, that differ more or less than items do: within three standard errors of 95 %, or a little wide.

    A plain bootstrap of three seeds covers 77 %.
    """
    monkeypatch.setattr(of_figures, "RESAMPLES", 300)
    monkeypatch.setattr(of_seeds, "RESAMPLES", 300)
    chance = np.random.default_rng(2)
    found = [hierarchical(worlds(chance, seeds, 100, sd_seed), mean_of) for _ in range(400)]
    covered = np.mean([figure.low <= 0 <= figure.high for figure in found])
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400) < covered < 0.99


def slow_draws(seeds: Sequence[Sequence[npt.NDArray[np.float64]]], count: int) -> npt.NDArray[np.float64]:
    """Return what the Multi-Bootstrap draws, one thing after the other."""
    chance, found = np.random.default_rng(8), []
    for _ in range(count):
        items = chance.integers(len(seeds[0][0]), size=len(seeds[0][0]))
        outer = [seeds[place] for place in chance.integers(len(seeds), size=len(seeds))]
        inner = [[one[place] for place in chance.integers(len(one), size=len(one))] for one in outer]
        found.append(np.mean([np.mean([f1_of(table[items].sum(0)) for table in one]) for one in inner]))
    return np.array(found)


def test_the_draws_are_those_of_a_slow_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(9)

    def table(recall: float) -> npt.NDArray[np.float64]:
        true = chance.random(60) < 0.6
        hit = true & (chance.random(60) < recall)
        return np.stack([hit, hit | (chance.random(60) < 0.1), true], 1).astype(float)

    ragged = [[table(recall) for _ in range(size)] for recall, size in ((0.5, 2), (0.7, 3), (0.9, 1))]
    monkeypatch.setattr(of_seeds, "_widening", lambda seeds, level: 1.0)
    monkeypatch.setattr(of_figures, "RESAMPLES", 4000)
    monkeypatch.setattr(of_seeds, "RESAMPLES", 4000)
    nested: list[of_seeds.Nested] = [list(one) for one in ragged]
    figure, drawn = hierarchical(nested, f1_of), slow_draws(ragged, 4000)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert figure.value == pytest.approx(np.mean([np.mean([f1_of(one.sum(0)) for one in outer]) for outer in ragged]))
    assert (figure.low, figure.high) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_nested_seeds_are_drawn_at_both_levels() -> None:
    chance = np.random.default_rng(3)
    outer = [chance.normal(scale=1.0) for _ in range(3)]
    item = chance.normal(scale=0.1, size=100)
    nested: list[of_seeds.Nested] = [
        [column(item + shift + chance.normal(scale=0.01)) for _ in range(3)] for shift in outer
    ]
    figure = hierarchical(nested, mean_of)
    flat = hierarchical([table for tables in nested for table in tables], mean_of)
    assert figure.value == pytest.approx(flat.value)
    assert figure.high - figure.low > 1.3 * (flat.high - flat.low)  # three draws of seeds, not nine
    assert hierarchical(nested[:1], mean_of) == hierarchical(
        list(nested[0]), mean_of
    )  # within one, they are what varies


def test_one_seed_is_said_to_be_one() -> None:
    table = worlds(np.random.default_rng(10), 1, 100, 0.5)
    figure = hierarchical(table, mean_of)
    assert figure.method == "bootstrap over items, of one seed"
    assert (figure.low, figure.high) == pytest.approx(
        (bootstrap(table[0], mean_of).low, bootstrap(table[0], mean_of).high)
    )
    assert paired_difference(table, table, mean_of).method == "paired bootstrap over items, of one seed"


def test_a_paired_difference_is_that_of_the_pairs() -> None:
    chance = np.random.default_rng(4)
    theirs = worlds(chance, 5, 150, 2.0)
    ours = [table + np.array([0.1, 0.0]) for table in theirs]
    figure = paired_difference(ours, theirs, mean_of)
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.1, 0.1, 0.1))
    assert hierarchical(ours, mean_of).high - hierarchical(ours, mean_of).low > 1


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8), st.sampled_from([1e-12, 0.1, 1e9]))
def test_sign_flips_are_counted_as_by_hand(values: list[int], unit: float) -> None:
    """In whole numbers, which add up without rounding; ties are common and count as extreme."""
    flips = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in product((1, -1), repeat=len(values))
    ]
    expected = np.mean([flip >= abs(sum(values)) for flip in flips])
    assert permutation_p([unit * value for value in values]) == pytest.approx(expected)


def test_five_pairs_never_reach_five_per_cent_and_six_do() -> None:
    assert permutation_p([1.0] * 5) == pytest.approx(2 / 32)
    assert permutation_p([1.0] * 6) == pytest.approx(2 / 64)


def test_many_pairs_are_flipped_at_random_as_scipy_does() -> None:
    values = np.random.default_rng(5).normal(0.3, size=40)
    theirs = oracle.permutation_test(
        (values, np.zeros(40)), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=9999, rng=1
    )
    assert permutation_p(values) == pytest.approx(theirs.pvalue, abs=0.01)


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert list(holm({"z": 0.5, "a": 0.1})) == ["z", "a"]


def test_seeds_that_are_needed() -> None:
    assert [seeds_needed(2, effect) for effect in (4, 2, 1, 0.4)] == [6, 8, 32, 197]


def made_logits(count: int, seed: int = 0, classes: int = 4) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return logits that are calibrated by construction, and classes drawn from them."""
    chance = np.random.default_rng(seed)
    logits = chance.normal(scale=1.5, size=(count, classes))
    chances = probabilities(logits)
    return logits, np.array([chance.choice(classes, p=row) for row in chances])


def test_logits_scaled_by_three_come_back() -> None:
    logits, truth = made_logits(20_000)
    assert fit_temperature(logits, truth) == pytest.approx(1, rel=0.05)
    assert fit_temperature(3 * logits, truth) == pytest.approx(3, rel=0.05)
    assert fit_temperature(logits / 3, truth) == pytest.approx(1 / 3, rel=0.05)


def test_several_labels_have_a_temperature_too() -> None:
    chance = np.random.default_rng(6)
    logits = chance.normal(scale=2, size=(20_000, 3))
    truth = chance.random(logits.shape) < probabilities(logits, multi_label=True)
    assert fit_temperature(3 * logits, truth) == pytest.approx(3, rel=0.05)


def test_scores_that_are_not_finite_are_one_line() -> None:
    logits, truth = made_logits(10)
    logits[3, 1] = np.nan
    with pytest.raises(DataError, match="^dev: 1 examples have scores that are not finite$"):
        fit_temperature(logits, truth, where="dev")


def test_calibrated_scores_have_little_error_and_overconfident_ones_much() -> None:
    logits, truth = made_logits(5000)
    fine, sure = calibration(logits, truth, 1.0), calibration(4 * logits, truth, 1.0)
    assert fine["ece"]["value"] < 0.03
    assert sure["ece"]["value"] > 0.15
    assert fine["ece"]["low"] <= fine["ece"]["value"] <= fine["ece"]["high"]
    assert fine["brier"]["value"] < sure["brier"]["value"]


def test_an_error_stands_beside_that_of_perfect_probabilities() -> None:
    """Few decisions show an error where there is none, and the perfect range holds it."""
    within = []
    for seed in range(10):
        found = calibration(*made_logits(200, seed), 1.0)
        assert found["ece"]["value"] > 0.04
        within.append(found["perfect_ece"]["low"] <= found["ece"]["value"] <= found["perfect_ece"]["high"])
    assert sum(within) >= 8
    logits, truth = made_logits(200)
    sure = calibration(4 * logits, truth, 1.0)
    assert sure["ece"]["value"] > sure["perfect_ece"]["high"]


def test_brier_is_scikit_learn_s() -> None:
    logits, truth = made_logits(500)
    chances = probabilities(logits)
    theirs = sum(brier_score_loss(truth == place, chances[:, place]) for place in range(4))
    assert calibration(logits, truth, 1.0)["brier"]["value"] == pytest.approx(theirs)


def test_bins_hold_as_many_decisions_each() -> None:
    confidence = np.random.default_rng(7).random(1003)
    bins = equal_mass_bins(confidence, confidence > 0.5, 10)
    assert {part["count"] for part in bins} == {100, 101}
    assert [part["confidence"] for part in bins] == sorted(part["confidence"] for part in bins)
    assert calibration_error(np.ones(50), np.ones(50, bool)) == 0
    assert calibration_error(np.ones(50), np.zeros(50, bool)) == 1


def test_risk_against_coverage_by_hand() -> None:
    confidence, right = np.array([0.9, 0.8, 0.8, 0.4]), np.array([True, True, False, False])
    covered, risk = risk_coverage(confidence, right)
    assert covered.tolist() == [0.25, 0.75, 1.0]  # equals are answered together
    assert risk.tolist() == pytest.approx([0, 1 / 3, 0.5])
    some, one = coverage_at(confidence, right, 0.4), coverage_at(confidence, right, 0.0)
    assert (some.coverage, some.confidence) == (0.75, 0.8)
    assert (one.coverage, one.confidence) == (0.25, 0.9)
    assert (some.high, one.high) == pytest.approx((0.8647, 0.95), abs=1e-4)  # 1 of 3, 0 of 1
    assert coverage_at(confidence, ~right, 0.1) == Coverage(0.0, None, None)
    assert coverage_at(confidence, np.zeros(4, bool), 1.0) == Coverage(1.0, 0.4, 1.0)


def test_the_bound_of_a_chosen_risk_holds_on_others_where_the_risk_does_not() -> None:
    """Confidences that are true, in 300 worlds of 300 decisions."""
    chance, others = np.random.default_rng(11), []
    for _ in range(300):
        confidence = 1 / (1 + np.exp(-chance.normal(1.5, 1.5, size=300)))
        found = coverage_at(confidence, chance.random(300) < confidence, 0.05)
        more = 1 / (1 + np.exp(-chance.normal(1.5, 1.5, size=30_000)))
        assert found.confidence is not None
        others.append((1 - more[more >= found.confidence].mean(), found.high))
    risk, high = np.array(others, float).T
    assert (risk > 0.05).mean() > 0.5
    assert (risk <= high).mean() > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


def test_several_labels_are_each_a_decision() -> None:
    confidence, right = confidences(np.array([[0.9, 0.2]]), np.array([[True, True]]))
    assert confidence.tolist() == pytest.approx([0.9, 0.8])
    assert right.tolist() == [True, False]


def test_an_error_of_several_labels_resamples_texts() -> None:
    """Every label of a text says the same, so ten labels know no more than one."""
    logits, truth = made_logits(300, classes=2)
    one, label = logits[:, :1] - logits[:, 1:], (truth == 0)[:, None]
    narrow, wide = calibration(one, label, 0.3)["ece"], calibration(one.repeat(10, 1), label.repeat(10, 1), 0.3)["ece"]
    assert wide["n"] == 300
    assert wide["high"] - wide["low"] > 0.7 * (narrow["high"] - narrow["low"])
