"""The page of suites: what it says of each, and that half an evaluation does not break it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from unmask.report.copying import copying
from unmask.report.html import Prose
from unmask.report.suites import render_suites, suite_sections


def figure(value: float, around: float = 0.1) -> dict[str, Any]:
    return {"value": value, "low": value - around, "high": value + around, "n": 9, "level": 0.95, "method": "m"}


KIND = {
    "clean": figure(5.0),
    "at": {rate: figure(5.5) for rate in ("0.01", "0.02", "0.05", "0.1")},
    "slope": figure(0.05),
}
EVALUATION: dict[str, Any] = {
    "model": {"path": "runs/<b>first</b>"},
    "likelihood": {
        "documents": 30,
        "characters": 1234,
        **{
            method: {"bits_per_character": figure(1.3), "nats_per_token": figure(3.7)} for method in ("pll", "word_l2r")
        },
    },
    "minimal_pairs": {
        "pairs": 60,
        "accuracy": {name: figure(0.6) for name in ("pll", "word_l2r", "shorter", "trigrams")},
        "above": {"trigrams": figure(0.2)},
        "flipped": 0.07,
        "by_paradigm": {"<i>p</i>": {"pairs": 60, "accuracy": {"pll": figure(0.6)}}},
    },
    "calibration": {
        "ece": figure(0.08),
        "perfect_ece": figure(0.07),
        "brier": figure(0.7),
        "bins": [{"confidence": 0.1 * n, "accuracy": 0.1 * n, "count": 5} for n in range(1, 9)],
    },
    "robustness": {"figure": "nats per token of a hidden word", "kinds": {"typos": KIND, "case": KIND}},
    "memorisation": {
        "references": 1000,
        "most": 9.97,
        "by_chance": 1.44,
        "exposure": {"0": figure(1.4), "1": figure(2.0), "8": figure(9.0)},
        "control": {"canaries": 64, "uniform_p": 0.4},
    },
}


def test_every_suite_has_a_section_and_nothing_injects() -> None:
    page = render_suites(EVALUATION)
    for words in (
        "Pseudo-log-likelihood",
        "Minimal pairs",
        "beats counted trigrams",
        "Calibration error",
        "Errors in the text",
        "never planted (control)",
        "8 copies",
        "do not put it beside",
    ):
        assert words in page, words
    assert "<b>first" not in page
    assert "<i>p" not in page


@pytest.mark.parametrize("name", ["likelihood", "minimal_pairs", "calibration", "robustness", "memorisation"])
def test_a_suite_that_was_not_measured_has_no_section(name: str) -> None:
    only = {"model": EVALUATION["model"], name: EVALUATION[name]}
    assert [section.anchor.replace("-", "_") for section in suite_sections(only)] == [name]


@pytest.mark.parametrize(
    ("above", "words"), [(0.0, "not told apart from counted"), (-0.3, "Counted trigrams do better")]
)
def test_a_floor_that_is_not_beaten_is_said(above: float, words: str) -> None:
    changed = copy.deepcopy(EVALUATION)
    changed["minimal_pairs"]["above"]["trigrams"] = figure(above)
    assert words in render_suites(changed)


def line(kind: str, step: int, masked: float, kept: float) -> dict[str, Any]:
    found = {"kind": kind, "step": step, "tokens": 1000 * step, "masked": masked, "random": masked, "kept": kept}
    return {**found, "unigram": {"masked": 6.0}}


METRICS = [line("evaluation", 0, 9.0, 9.0), line("train", 10, 8.0, 4.0), line("train", 20, 5.0, 1.0)]
MIX = {"masking": {"mask_replace_prob": 0.8, "random_replace_prob": 0.1}}


def said(metrics: list[dict[str, Any]], settings: dict[str, Any]) -> str:
    section = copying(metrics, settings)
    assert section is not None
    [text, _] = section.blocks
    assert isinstance(text, Prose)
    return text.text


def test_copying_is_told_from_the_rest_of_the_fall() -> None:
    words = said(METRICS, MIX)
    assert "18\u202f% of the fall" in words  # 0.1 x 8 of 0.9 x 4 + 0.1 x 8
    assert "after 20,000 tokens" in words
    assert "made 100\u202f% of its own way" in words
    assert "has not come down to the unigram line" in said(METRICS[:2], MIX)


def test_a_run_that_keeps_nothing_or_began_elsewhere_says_nothing_of_copying() -> None:
    assert copying(METRICS, {"masking": {"mask_replace_prob": 1.0, "random_replace_prob": 0.0}}) is None
    assert copying(METRICS[1:], MIX) is None
    assert copying(METRICS[:1], MIX) is None
    assert copying([line("evaluation", 50, 4.0, 1.0), *METRICS[1:]], MIX) is None
