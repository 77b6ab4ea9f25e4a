"""The gate lets equal models pass and stops worse ones, as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.errors import SettingError
from unmask.settings import read_settings
from unmask.stats.calibration import calibration_error
from unmask.stats.figure import Floats, mean_of
from unmask.watch.gate import (
    Criterion,
    calibration_error_of,
    calibration_table,
    fewest_items,
    judged,
    needed_items,
    of_latency,
    of_parity,
    of_part,
    of_size,
)
from unmask.watch.policy import EvidenceSettings, GatePolicy

EVIDENCE = EvidenceSettings()
MARGIN = 0.02


def tables(discordant: float, worse: float, count: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
    """Return (N, 2) of two models that disagree on a share of items, the first right ``worse`` less often."""
    kind = chance.random(count)
    lost, won = kind < (discordant + worse) / 2, kind > 1 - (discordant - worse) / 2
    both = chance.random(count) < 0.8
    ours, theirs = np.where(lost, 0, np.where(won, 1, both)), np.where(lost, 1, np.where(won, 0, both))
    ones = np.ones(count)
    return np.stack([ours, ones], 1).astype(float), np.stack([theirs, ones], 1).astype(float)


def criterion(ours: Floats, theirs: Floats, **more: object) -> Criterion:
    values = {"name": "headline", "combine": mean_of, "margin": MARGIN, "items": len(ours), **more}
    return Criterion(candidate=ours, baseline=theirs, **values)  # type: ignore[arg-type]  # of a test's own making


def fast_pass(discordant: float, worse: float, count: int, repeats: int, seed: int) -> Floats:
    """Return (repeats,) whether a model passes; the paired bootstrap of right and wrong is drawn as a multinomial."""
    chance = np.random.default_rng(seed)
    shares = [(discordant + worse) / 2, (discordant - worse) / 2, 1 - discordant]
    seen = chance.multinomial(count, shares, size=repeats)
    passes = []
    for counts in seen:
        drawn = chance.multinomial(count, counts / count, size=1000)
        passes.append(np.quantile((drawn[:, 1] - drawn[:, 0]) / count, 1 - EVIDENCE.level) > -MARGIN)
    return np.array(passes, float)


@pytest.mark.parametrize("discordant", [0.04, 0.1, 0.25])
def test_at_the_size_it_asks_for_equal_models_pass_and_worse_ones_do_not(discordant: float) -> None:
    count = needed_items(np.sqrt(discordant), MARGIN, EVIDENCE.level, EVIDENCE.pass_rate)
    assert fast_pass(discordant, 0.0, count, 400, 1).mean() >= 0.95
    assert fast_pass(discordant, MARGIN, count, 400, 2).mean() <= 0.10


def test_the_multinomial_twin_passes_what_the_gate_passes() -> None:
    chance = np.random.default_rng(3)
    count = needed_items(np.sqrt(0.1), MARGIN, EVIDENCE.level, EVIDENCE.pass_rate)
    for worse in (0.0, 0.008, MARGIN):
        ours, theirs = tables(0.1, worse, count, chance)
        [verdict] = judged([criterion(ours, theirs)], EVIDENCE).verdicts
        gap = ours[:, 0] - theirs[:, 0]
        drawn = chance.multinomial(count, [(gap < 0).mean(), (gap > 0).mean(), (gap == 0).mean()], size=4000)
        low = np.quantile((drawn[:, 1] - drawn[:, 0]) / count, 1 - EVIDENCE.level)
        assert verdict.difference is not None
        assert verdict.difference.low == pytest.approx(low, abs=0.0012)


def test_the_size_that_is_asked_for_is_right_whatever_the_size_that_was_seen() -> None:
    chance = np.random.default_rng(4)
    true = needed_items(np.sqrt(0.1), MARGIN, EVIDENCE.level, EVIDENCE.pass_rate)
    [verdict] = judged([criterion(*tables(0.1, 0.0, 800, chance))], EVIDENCE).verdicts
    assert verdict.needed == pytest.approx(true, rel=0.25)


def test_equal_models_are_stopped_by_too_few_examples_and_told_how_many_it_takes() -> None:
    right = np.arange(200)
    ours, theirs = (np.stack([np.ones(200) - rows, np.ones(200)], 1) for rows in (right < 10, right >= 190))
    [verdict] = judged([criterion(ours, theirs)], EVIDENCE).verdicts
    assert not verdict.passed
    assert verdict.needed == pytest.approx(3249, rel=0.1)
    assert "would show it of an equal model" in verdict.says


def test_models_that_never_differ_pass_only_where_enough_was_looked_at() -> None:
    fewest = fewest_items(MARGIN, EVIDENCE.level)
    assert (1 - MARGIN) ** fewest <= 0.05 < (1 - MARGIN) ** (fewest - 1)
    same = np.ones((fewest, 2))
    assert judged([criterion(same, same)], EVIDENCE).verdicts[0].passed
    few = judged([criterion(same[1:], same[1:])], EVIDENCE).verdicts[0]
    assert not few.passed
    assert f"at least {fewest}" in few.says


def test_all_criteria_pass_together_as_often_as_is_stated() -> None:
    chance = np.random.default_rng(5)
    count = needed_items(np.sqrt(0.1), MARGIN, EVIDENCE.level, 1 - 0.025 / 4)
    parts = [criterion(*tables(0.1, 0.0, count, chance), name=str(place)) for place in range(4)]
    at_size = judged(parts, EVIDENCE)
    assert at_size.pass_rate >= 0.95
    fewer = judged([criterion(one.candidate[::4], one.baseline[::4], name=one.name) for one in parts], EVIDENCE)
    assert fewer.pass_rate < 0.6
    needed = [one.needed or 0 for one in at_size.verdicts]
    assert np.mean(needed) == pytest.approx(count, rel=0.1)
    [alone] = judged(parts[:1], EVIDENCE).verdicts
    assert (alone.needed or 0) < needed[0]


def test_a_part_is_judged_by_its_own_examples() -> None:
    chance = np.random.default_rng(6)
    ours, theirs = tables(0.1, 0.0, 4000, chance)
    part = np.arange(4000) < 1000
    ours[part, 0] = 0
    whole = criterion(ours, theirs)
    one = criterion(of_part(ours, part), of_part(theirs, part), items=1000, name="part")
    verdicts = judged([whole, one], EVIDENCE).verdicts
    assert verdicts[1].difference is not None
    assert verdicts[1].difference.value == pytest.approx(-theirs[part, 0].mean())
    assert not verdicts[1].passed


def test_less_is_better_of_a_loss() -> None:
    chance = np.random.default_rng(7)
    loss = np.stack([chance.random(2000), np.ones(2000)], 1)
    better = loss * [0.5, 1.0]
    assert judged([criterion(better, loss, is_loss=True)], EVIDENCE).verdicts[0].passed
    assert not judged([criterion(loss, better, is_loss=True)], EVIDENCE).verdicts[0].passed


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(20, 300))
def test_the_calibration_error_of_a_table_is_that_of_its_decisions(seed: int, count: int) -> None:
    chance = np.random.default_rng(seed)
    confidence = chance.random(count)
    right = chance.random(count) < confidence
    found = calibration_error_of(calibration_table(confidence, right).sum(0))
    assert float(found) == pytest.approx(calibration_error(confidence, right))


def test_time_size_and_forms_are_held_to_their_margins() -> None:
    chance = np.random.default_rng(8)
    base = np.exp(chance.normal(-5, 0.3, 200))
    noise = np.exp(chance.normal(0, 0.1, 200))
    assert of_latency(base * noise, base, 0.1, 0.95).passed
    slower = of_latency(1.3 * base * noise, base, 0.1, 0.95)
    assert not slower.passed
    assert slower.difference is not None
    assert slower.difference.value == pytest.approx(-0.3, abs=0.05)
    assert of_size(109, 100, 0.1).passed
    assert not of_size(111, 100, 0.1).passed
    assert of_parity("onnx", 0, 1000, 0.01, 0.95).passed
    assert not of_parity("onnx", 0, 100, 0.01, 0.95).passed
    assert not of_parity("onnx", 8, 1000, 0.01, 0.95).passed


def test_a_policy_is_closed_and_checked() -> None:
    assert read_settings(GatePolicy, None, ["headline.margin=0.01"]).headline.margin == 0.01
    with pytest.raises(SettingError, match="did you mean 'margin'"):
        read_settings(GatePolicy, None, ["headline.margn=0.01"])
    with pytest.raises(SettingError, match="headline.margin must be in"):
        read_settings(GatePolicy, None, ["headline.margin=0"])
