"""The reports of tasks and curves: what was reached is said in words, and half-written JSON breaks nothing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.test_report_run import Outline, cells

from unmask.report.curve_page import render_curve
from unmask.report.task_page import render_task


def figure(value: float, width: float = 0.02) -> dict[str, Any]:
    return {"value": value, "low": value - width, "high": value + width, "n": 100, "level": 0.95, "method": "bootstrap"}


RUN: dict[str, Any] = {
    "kind": "finetune",
    "parent": {"path": "runs/first"},
    "model": {"parameters": 3_800_000},
    "work": {"train": "a.csv"},
}
SETTINGS: dict[str, Any] = {"training": {"epochs": 3}}
BINS = [{"confidence": 0.6, "accuracy": 0.5, "count": 10}, {"confidence": 0.9, "accuracy": 0.95, "count": 10}]
SIDE = {"temperature": 1.4, "ece": figure(0.03), "perfect_ece": figure(0.02), "brier": figure(0.3), "bins": BINS}
TASK: dict[str, Any] = {
    "name": "classify",
    "headline": "accuracy",
    "held_out": "test",
    "examples": {"train": 900, "development": 100, "held_out": 300},
    "figures": {"accuracy": figure(0.81), "macro_f1": figure(0.7)},
    "development": {"accuracy": figure(0.84)},
    "floors": {"majority": {"accuracy": figure(0.2)}, "tfidf": {"accuracy": figure(0.75)}},
    "controls": {
        "scratch": {"value": 0.7, "difference": figure(0.11)},
        "shuffled": {"value": 0.1, "difference": figure(0.71)},
    },
    "probe": {"accuracy": figure(0.6)},
    "trust": {
        "raw": SIDE,
        "fitted": SIDE,
        "risk_coverage": {"coverage": [0.1, 0.5, 1.0], "risk": [0.0, 0.05, 0.19]},
        "coverage_at_risk": {
            "0.05": {"coverage": 0.5, "confidence": 0.8, "high": 0.11},
            "0.01": {"coverage": 0.0, "confidence": None, "high": None},
        },
    },
}
METRICS = [{"kind": "evaluation", "step": step, "score": score} for step, score in ((0, 0.1), (10, 0.6), (20, 0.84))]
CURVE: dict[str, Any] = {
    "task": "tag",
    "figure": "entity_f1",
    "counts": [50, 500],
    "seeds": 6,
    "held_out": 1300,
    "arms": {
        "pretrained": {"50": figure(0.2), "500": figure(0.43)},
        "scratch": {"50": figure(0.05), "500": figure(0.42)},
    },
    "floors": {"frequent_tag": {"50": 0.08, "500": 0.23}},
    "differences": {
        "pretrained - scratch at 50": {**figure(0.15), "p": 0.03, "p_holm": 0.06},
        "pretrained - scratch at 500": {**figure(0.01), "p": 0.4, "p_holm": 0.4},
    },
}


def task_page(**changes: Any) -> str:
    return render_task(RUN, SETTINGS, METRICS, {"task": {**TASK, **changes}})


def test_what_was_reached_is_said_beside_what_is_reached_without() -> None:
    page = task_page()
    text = Outline(page).text
    assert "Accuracy 0.810" in text
    assert "Pre-training paid: +0.110 [+0.090, +0.130]" in text
    assert cells(page, "TF-IDF and logistic regression (floor)") == ["0.75 [0.73, 0.77]", "\u2013"]
    assert cells(page, "the same network from scratch (control)")[1].startswith("0.11")
    assert cells(page, "5% wrong at most") == ["50.0\u202f%", "0.80", "11.0\u202f%"]
    assert cells(page, "1% wrong at most") == ["0.0\u202f%", "\u2013", "\u2013"]
    assert "a temperature of 1.40" in text
    assert "Perfect probabilities would show 0.02 [0.00, 0.04] on as many examples: the fitted ones show not" in text


@pytest.mark.parametrize(
    ("difference", "words"),
    [(figure(0.0), "Pre-training is not told apart"), (figure(-0.2), "Pre-training did harm here: -0.200")],
)
def test_a_null_and_a_harm_are_said_as_such(difference: dict[str, Any], words: str) -> None:
    assert words in Outline(task_page(controls={"scratch": {"value": 0.8, "difference": difference}})).text


def test_development_figures_say_that_they_are() -> None:
    assert "These examples also chose the weights" in Outline(task_page(held_out="development")).text
    assert "also chose the weights" not in Outline(task_page()).text


def test_without_controls_and_probabilities_there_is_still_a_page() -> None:
    text = Outline(task_page(controls={}, trust=None, probe=None, floors={})).text
    assert "beside what is reached without the model" in text
    assert "believed" not in text


def test_a_curve_says_where_pre_training_is_ahead_and_where_not() -> None:
    page = render_curve(RUN, SETTINGS, {"curve": CURVE})
    text = Outline(page).text
    assert "Pre-training is ahead of the same network from scratch, in strict entity F1, at 50 labels" in text
    assert "It is not told apart at 500 labels" in text
    assert cells(page, "pre-trained") == ["0.20 [0.18, 0.22]", "0.43 [0.41, 0.45]"]
    assert cells(page, "pretrained - scratch at 500")[1] == "0.400"
    assert "A sketch" not in text
    assert (
        "A sketch: a direction, not figures to quote."
        in Outline(render_curve(RUN, SETTINGS, {"curve": CURVE}, is_sketch=True)).text
    )


def test_a_curve_says_where_pre_training_is_behind() -> None:
    differences = {f"pretrained - scratch at {count}": figure(value) for count, value in ((50, -0.1), (500, 0.0))}
    text = Outline(render_curve(RUN, SETTINGS, {"curve": {**CURVE, "differences": differences}})).text
    assert "Pre-training is behind the same network from scratch, in strict entity F1, at 50 labels" in text
    assert "ahead of" not in text
    assert "It is not told apart at 500 labels" in text


def test_a_curve_has_bands_where_there_are_intervals() -> None:
    page = render_curve(RUN, SETTINGS, {"curve": CURVE})
    assert page.count("fill-opacity: 0.15") == 2 * 2  # two arms, drawn wide and narrow; a floor has none


def test_a_difference_of_one_seed_says_that_it_is() -> None:
    assert "another seed may say otherwise" in Outline(task_page()).text


def test_a_curve_of_nothing_but_nulls_says_so() -> None:
    differences = {"pretrained - scratch at 50": {**figure(0.0), "p": 1, "p_holm": 1}}
    text = Outline(render_curve(RUN, SETTINGS, {"curve": {**CURVE, "differences": differences}})).text
    assert "At no number of labels is pre-training told apart" in text


@pytest.mark.parametrize(
    "broken", [{}, {"task": None}, {"task": {"figures": 3, "floors": [], "controls": "x", "trust": {}}}]
)
def test_half_written_json_makes_a_page(broken: dict[str, Any]) -> None:
    assert "<h1" in render_task({}, {}, [], broken)
    assert "<h1" in render_curve({}, {}, broken)
