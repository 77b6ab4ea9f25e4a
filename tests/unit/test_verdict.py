"""The rule behind the verdict, at its edges, and the words that tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.comparison.verdict import (
    FAR,
    LEARNED,
    Evidence,
    Gap,
    best_of_its_kind,
    decide,
    labels_instead,
    missing,
)
from unmask.report.verdict_words import Voice, in_words
from unmask.stats import seeds_needed

NAMES = {
    "mlm": "MLM pre-training",
    "tfidf": "a bag of words",
    "scratch": "the same network without pre-training",
    "self": "MLM pre-training on the task's own text",
    "clm": "causal pre-training",
    "biphasic": "causal, then masked pre-training",
}


def gap(value: float, half: float = 0.01, p: float | None = None, spread: float = 0.01, by_items: float = 0.0) -> Gap:
    """Return a difference of ``value`` +- ``half``; by default it is there where its interval leaves 0 out."""
    sure = 1e-4 if abs(value) > half else 0.5
    return Gap(
        value=value, low=value - half, high=value + half, p=sure if p is None else p, spread=spread, by_items=by_items
    )


def evidence(above: Mapping[str, Gap], *, margin: float = 0.02, growth: Mapping[str, Gap] | None = None) -> Evidence:
    """Return the evidence in which MLM is ``above`` other arms, at 100 labels; every arm has learned something."""
    simple = [name for name in ("tfidf", "scratch", "self") if name in above]
    return Evidence(
        labels=100,
        seeds=6,
        held_out=400,
        margin=margin,
        first="mlm",
        simple=simple,
        gaps={"mlm": above},
        above_blind={name: gap(0.3) for name in ("mlm", *above)},
        growth=growth or {},
    )


def said(of: Evidence) -> str:
    """Return the title that the rule comes to."""
    return in_words(decide(of), Voice(of, "accuracy", NAMES))[0]


def test_pretraining_that_is_ahead_of_all_that_is_simple_is_used() -> None:
    of = evidence({"tfidf": gap(0.12), "scratch": gap(0.10)})
    title, sentences = in_words(decide(of), Voice(of, "accuracy", NAMES))
    assert title == "Use MLM pre-training"
    assert sentences[0] == (
        "At 100 labels MLM pre-training is 12.0 points [11.0, 13.0] of accuracy above a bag of words and 10.0 points "
        "[9.0, 11.0] of accuracy above the same network without pre-training."
    )


@pytest.mark.parametrize(("value", "half", "title"), [
    (0.0, 0.0199, "A bag of words is enough"),
    (-0.3, 0.1, "A bag of words is enough"),
    (0.0, 0.02, "The evidence does not decide"),  # the upper end touches the margin
    (0.02, 0.019, "Use MLM pre-training"),  # the margin itself is worth it
    (0.0199, 0.019, "The evidence does not decide"),  # surely above 0, and not by as much as was asked
])  # fmt: skip
def test_the_margin_is_the_edge(value: float, half: float, title: str) -> None:
    assert said(evidence({"tfidf": gap(value, half), "scratch": gap(0.2)})).startswith(title)


def test_the_cheapest_arm_that_is_enough_is_named() -> None:
    both = evidence({"tfidf": gap(0.0), "scratch": gap(0.0)})
    assert decide(both).over == ["tfidf"]
    network = evidence({"tfidf": gap(0.1), "scratch": gap(0.0)})
    assert said(network) == "The same network without pre-training is enough"
    open_below = evidence({"tfidf": gap(0.03, 0.05), "scratch": gap(0.0)})
    title, sentences = in_words(decide(open_below), Voice(open_below, "accuracy", NAMES))
    assert title == "The same network without pre-training is enough"
    assert "Whether a bag of words would do as well is open" in sentences[1]


def test_an_arm_that_is_behind_is_said_to_be_below() -> None:
    of = evidence({"tfidf": gap(-0.3, 0.1), "scratch": gap(0.2)})
    assert in_words(decide(of), Voice(of, "accuracy", NAMES))[1][0] == (
        "At 100 labels MLM pre-training is 30.0 points [20.0, 40.0] of accuracy below a bag of words, and even at its "
        "best that is less than the margin of 2 points."
    )


def test_p_values_are_corrected_for_being_several() -> None:
    one = evidence({"tfidf": gap(0.1, p=0.03), "scratch": gap(0.1, p=0.0001)})
    assert decide(one).kind == "use"  # Holm: the second of two is not doubled
    two = evidence({"tfidf": gap(0.1, p=0.03), "scratch": gap(0.1, p=0.03)})
    assert decide(two).kind == "undecided"  # both doubled


def test_own_text_says_which_text_and_not_whether() -> None:
    enough = evidence({"tfidf": gap(0.1), "scratch": gap(0.1), "self": gap(0.0)})
    assert said(enough) == "Use MLM pre-training, on the task's own text alone"
    behind = evidence({"tfidf": gap(0.1), "scratch": gap(0.1), "self": gap(0.05)})
    assert said(behind) == "Use MLM pre-training"
    useless = evidence({"tfidf": gap(0.0), "scratch": gap(0.1), "self": gap(0.0)})
    assert said(useless) == "A bag of words is enough"


def test_nothing_is_learned_where_no_arm_can_be_above_the_blind_answer() -> None:
    of = evidence({"tfidf": gap(0.0), "scratch": gap(0.0)})
    nothing = replace(of, above_blind={name: gap(0.0, LEARNED - 1e-9) for name in of.above_blind})
    assert said(nothing) == "Nothing here learns these labels"
    one_may = replace(of, above_blind={**nothing.above_blind, "tfidf": gap(0.0, LEARNED)})
    assert decide(one_may).kind == "simple"
    assert decide(replace(of, above_blind={})).kind == "simple"  # a task without a blind answer


def test_labels_are_the_better_buy_where_twice_as_many_do_as_much() -> None:
    above = {"tfidf": gap(0.10), "scratch": gap(0.14)}
    as_much = evidence(above, growth={"tfidf": gap(0.10), "scratch": gap(0.2)})
    title, sentences = in_words(decide(as_much), Voice(as_much, "accuracy", NAMES))
    assert title == "Label about 100 more examples instead"
    assert "10.0 points [9.0, 11.0] to a bag of words" in sentences[1]
    assert decide(evidence(above, growth={"tfidf": gap(0.099), "scratch": gap(0.2)})).kind == "use"  # the best counts


@pytest.mark.parametrize(("growth", "labels"), [
    (gap(0.1), 100), (gap(0.2), 42), (gap(0.05), None), (gap(0.1, 0.1), None), (gap(-0.1), None), (None, None),
])  # fmt: skip
def test_labels_that_would_do_as_much(growth: Gap | None, labels: int | None) -> None:
    assert labels_instead(gap(0.1), growth, 100) == labels


def test_an_alternative_that_is_ahead_is_the_one_that_is_weighed() -> None:
    of = evidence({"tfidf": gap(0.0), "scratch": gap(0.1), "clm": gap(-0.2), "biphasic": gap(-0.3)})
    other = {"tfidf": gap(0.3), "scratch": gap(0.4)}
    of = replace(of, gaps={**of.gaps, "biphasic": other, "clm": other})
    title, sentences = in_words(decide(of), Voice(of, "accuracy", NAMES))
    assert title == "Use causal, then masked pre-training"  # although MLM alone is not worth it
    assert "It is ahead of MLM pre-training by 30.0 points [29.0, 31.0]." in sentences
    near = replace(of, gaps={**of.gaps, "mlm": {**of.gaps["mlm"], "clm": gap(-0.01), "biphasic": gap(-0.3, 0.4)}})
    assert best_of_its_kind(near) == "mlm"


def test_what_is_missing_is_seeds_or_held_out_examples() -> None:
    of = evidence({"tfidf": gap(0.1), "scratch": gap(0.1)})
    seeds = gap(0.05, half=0.06, p=0.2, spread=0.06)
    assert missing(seeds, of) == (seeds_needed(0.06, 0.05) - 6, None)
    items = gap(0.05, half=0.08, p=0.2, spread=0.01, by_items=0.07)
    more_seeds, more_held_out = missing(items, of)
    assert more_seeds is None
    assert more_held_out == math.ceil((2 * (0.07 / 0.05) ** 2 - 1) * 400)
    assert (
        missing(gap(0.0, half=0.05, spread=0.05), of)[0] == seeds_needed(0.05, 0.02) - 6
    )  # it has to leave the margin
    assert missing(gap(0.02 - 1e-9, half=0.05, spread=0.05), of) == (None, None)  # no end of seeds
    assert missing(gap(0.05, half=0.06, spread=0.0), of) == (1, None)


def test_an_open_question_says_what_would_close_it() -> None:
    of = evidence({"tfidf": gap(0.05, half=0.06, p=0.2, spread=0.06), "scratch": gap(0.2)})
    assert said(of) == "The evidence does not decide: about 6 more seeds would"
    few = evidence(
        {"tfidf": gap(0.05, half=0.08, p=0.2, by_items=0.07), "scratch": gap(0.05, half=0.06, p=0.2, spread=0.06)}
    )
    assert said(few) == "The evidence does not decide: about 1,169 more held-out examples and about 6 more seeds would"
    edge = evidence({"tfidf": gap(0.0199999, half=0.06, p=0.2, spread=0.06), "scratch": gap(0.2)})
    assert said(edge) == "The evidence does not decide, and more of it hardly would"


shares = st.floats(-0.5, 0.5)
gaps = st.builds(
    gap, shares, st.floats(0, 0.3), st.floats(0, 1), spread=st.floats(0, 0.3), by_items=st.floats(0, 0.3)
)  # fmt: skip


@given(
    st.fixed_dictionaries(dict.fromkeys(("tfidf", "scratch"), gaps), optional={"self": gaps, "clm": gaps}),
    st.fixed_dictionaries(dict.fromkeys(("tfidf", "scratch"), gaps)),
    st.floats(0.001, 0.3),
)
def test_whatever_the_numbers_there_is_a_verdict_and_it_keeps_its_word(
    above: dict[str, Gap], growth: dict[str, Gap], margin: float
) -> None:
    of = evidence(above, margin=margin, growth=growth)
    of = replace(of, gaps={**of.gaps, "clm": {name: above[name] for name in of.simple}})
    decision = decide(of)
    title, sentences = in_words(decision, Voice(of, "accuracy", NAMES))
    assert title
    assert all(sentences)
    simple = [of.gaps[decision.arm][name] for name in of.untaught]
    if decision.kind in ("use", "label"):
        assert all(one.value >= margin and one.p < 0.05 for one in simple)
    if decision.kind == "simple":
        assert of.gaps[decision.arm][decision.over[0]].high < margin
    if decision.kind == "label":
        assert decision.more_labels is not None
        assert 0 < decision.more_labels <= of.labels
    if decision.kind == "undecided":
        assert not any(one.high < margin for one in simple)
        assert (decision.more_seeds or 1) <= FAR * of.seeds
