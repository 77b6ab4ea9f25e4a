from __future__ import annotations

import numpy as np
import pytest

from unmask.watch.estimate import (
    BackTest,
    Labelled,
    average_confidence,
    back_test,
    estimates,
    refusal,
    thresholded,
)


def answers(chance: np.random.Generator, count: int, sure: float = 2.0, off: float = 0.0) -> Labelled:
    """Return answers that are right as often as they say, or ``off`` less; ``sure`` moves how sure they are."""
    confidence = 1 / (1 + np.exp(-(sure + chance.standard_normal(count))))
    return Labelled(confidence, chance.random(count) < confidence - off)


@pytest.mark.parametrize("sure", [2.0, 1.0])
def test_the_interval_of_average_confidence_holds_the_truth(sure: float) -> None:
    """Labelled where the model is sure, used where it is less: confidence that can be believed carries over."""
    held = 0
    for seed in range(300):
        chance = np.random.default_rng(seed)
        labelled, now = answers(chance, 300), answers(chance, 500, sure)
        figure = average_confidence(labelled, now.confidence)
        held += figure.low <= now.right.mean() <= figure.high
    assert 0.91 <= held / 300 <= 0.99


def test_a_confidence_that_is_off_by_as_much_everywhere_is_corrected() -> None:
    chance = np.random.default_rng(0)
    labelled, now = answers(chance, 4000, off=0.1), answers(chance, 4000, sure=1.5, off=0.1)
    figure = average_confidence(labelled, now.confidence)
    assert figure.value == pytest.approx(now.right.mean(), abs=0.02)
    assert abs(now.confidence.mean() - now.right.mean()) > 0.08


def test_the_threshold_says_of_its_own_requests_what_is_true() -> None:
    labelled = answers(np.random.default_rng(0), 1000)
    figure = thresholded(labelled, labelled.confidence)
    assert figure.value == pytest.approx(labelled.right.mean(), abs=1e-9)
    assert figure.low < figure.value < figure.high


def test_the_threshold_is_right_where_what_is_surest_is_right() -> None:
    chance = np.random.default_rng(1)
    known, now = answers(chance, 3000), answers(chance, 3000, sure=1.0)
    labelled = Labelled(known.confidence, known.confidence > 0.7)
    found = thresholded(labelled, now.confidence)
    assert found.value == pytest.approx((now.confidence > 0.7).mean(), abs=0.01)
    assert found.value < labelled.right.mean() - 0.1


def test_nothing_is_refused_where_all_is_well() -> None:
    chance = np.random.default_rng(0)
    assert refusal(answers(chance, 500), answers(chance, 500).confidence, {"tokens": 0.1}) is None


@pytest.mark.parametrize(
    ("labelled", "now", "changed", "words"),
    [
        ({"count": 99}, {"count": 500}, 0.0, "99 labelled requests are too few"),
        ({"count": 500}, {"count": 99}, 0.0, "99 requests are too few"),
        ({"count": 500, "off": 0.2}, {"count": 500}, 0.0, "confidence is off by"),
        ({"count": 500}, {"count": 500}, 0.5, "50% of the requests changed"),
        ({"count": 500, "sure": 4.0}, {"count": 500, "sure": 0.0}, 0.0, "less sure than nearly all labelled ones"),
    ],
)
def test_what_can_not_be_estimated_is_refused(
    labelled: dict[str, float], now: dict[str, float], changed: float, words: str
) -> None:
    chance = np.random.default_rng(0)
    known, asked = (answers(chance, **how) for how in (labelled, now))  # type: ignore[arg-type]
    why = refusal(known, asked.confidence, {"tokens": changed})
    assert why is not None
    assert words in why


def test_an_estimate_that_was_off_is_the_last_one() -> None:
    chance = np.random.default_rng(0)
    labelled = answers(chance, 500)
    good = back_test(labelled, answers(chance, 500))
    bad = back_test(labelled, answers(chance, 500, off=0.3))
    assert good is not None
    assert bad is not None
    assert good.held
    assert not bad.held
    confidence = answers(chance, 500).confidence
    assert refusal(labelled, confidence, {}, [bad, good]) is None
    why = refusal(labelled, confidence, {}, [good, bad])
    assert why is not None
    assert "the last estimate was off" in why


def test_there_is_no_back_test_of_too_few() -> None:
    chance = np.random.default_rng(0)
    assert back_test(answers(chance, 50), answers(chance, 500)) is None
    assert back_test(answers(chance, 500), answers(chance, 50)) is None


def test_a_back_test_says_what_was_said_and_what_was_true() -> None:
    labelled = answers(np.random.default_rng(0), 500)
    tested = BackTest(estimates(labelled, labelled.confidence), 0.5, 500)
    assert "50.0% was true" in tested.words
