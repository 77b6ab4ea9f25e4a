"""The posterior is exact: every outcome is enumerated, and every broken rule is caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.enumerated import Enumeration, Hiding, every_text, text_chances

from unmask.oracle.posterior import EmissionRule, causal_losses, emission_rule, posterior, pseudo_losses
from unmask.oracle.sources import Source, chain, entropy_rate, hidden

LENGTH = 5

CHAIN = chain(np.array([[0.7, 0.2, 0.1], [0.05, 0.15, 0.8], [0.5, 0.3, 0.2]]))
HIDDEN = hidden(np.array([[0.9, 0.1], [0.25, 0.75]]), np.array([[0.6, 0.3, 0.1], [0.05, 0.15, 0.8]]))
KNOWN = {"chain": CHAIN, "hidden": HIDDEN}

MIXES = {
    "80/10/10": Hiding(0.3, 0.8, 0.1, 3),
    "100/0/0": Hiding(0.3, 1.0, 0.0, 3),
    "80/20/0": Hiding(0.15, 0.8, 0.2, 3),
    "80/0/20": Hiding(0.15, 0.8, 0.0, 3),
    "0/20/80": Hiding(0.4, 0.0, 0.2, 3),
    "a larger pool": Hiding(0.3, 0.6, 0.3, 5),
}


def rule_of(hiding: Hiding) -> EmissionRule:
    return emission_rule(rate=hiding.rate, mask=hiding.mask, random=hiding.random, pool=hiding.pool)


def distance(source: Source, hiding: Hiding, rule: EmissionRule) -> float:
    """Return the largest difference between the posterior under ``rule`` and the enumeration, over all that can be."""
    slow = Enumeration(source, LENGTH, hiding)
    fast = posterior(source, slow.observed(), rule)
    assert fast.shape == (len(slow.seen), LENGTH, source.num_symbols)
    differences = []
    for place in range(LENGTH):
        exact = slow.posterior(place)
        can_be = np.isfinite(exact[:, 0])
        assert can_be.any()
        differences.append(np.abs(fast[can_be, place] - exact[can_be]).max())
    return float(max(differences))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("source", KNOWN)
def test_it_is_what_enumerating_every_outcome_says(source: str, mix: str) -> None:
    assert distance(KNOWN[source], MIXES[mix], rule_of(MIXES[mix])) < 1e-12


BROKEN: dict[str, Callable[[EmissionRule, Hiding], EmissionRule]] = {
    "a visible context token is trusted fully": lambda rule, _: replace(rule, context_doubt=0.0),
    "kept tokens are forgotten in the context": lambda rule, hiding: replace(rule, context_trust=1 - hiding.rate),
    "a random one is as frequent in the context as where selected": lambda rule, _: replace(
        rule, context_doubt=rule.own_doubt
    ),
    "the scored position is read like a context": lambda rule, _: replace(
        rule, own_trust=rule.context_trust, own_doubt=rule.context_doubt
    ),
    "the scored position is never random": lambda rule, _: replace(rule, own_doubt=0.0),
    "the scored position is never kept": lambda rule, _: replace(rule, own_trust=0.0),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("source", KNOWN)
def test_a_broken_rule_is_caught(source: str, broken: str) -> None:
    hiding = MIXES["80/10/10"]
    assert distance(KNOWN[source], hiding, BROKEN[broken](rule_of(hiding), hiding)) > 1e-4


@st.composite
def sources(draw: st.DrawFn) -> Source:
    states, symbols = draw(st.integers(2, 3)), draw(st.integers(2, 3))
    chance = np.random.Generator(np.random.Philox(draw(st.integers(0, 2**32))))
    spread = draw(st.sampled_from([0.3, 1.0, 5.0]))
    rows = [0.98 * chance.dirichlet(np.full(size, spread), states) + 0.02 / size for size in (states, symbols)]
    return hidden(rows[0], rows[1])


@given(sources(), st.floats(0.05, 0.95), st.floats(0.05, 0.9), st.floats(0.05, 0.95), st.integers(0, 2))
@settings(max_examples=15)
def test_it_is_exact_on_any_source_under_any_mix(
    source: Source, rate: float, mask: float, random: float, foreign: int
) -> None:
    hiding = Hiding(rate, mask, (1 - mask) * random, source.num_symbols + foreign)
    slow = Enumeration(source, 3, hiding)
    fast = posterior(source, slow.observed(), rule_of(hiding))
    for place in range(3):
        exact = slow.posterior(place)
        can_be = np.isfinite(exact[:, 0])
        assert np.abs(fast[can_be, place] - exact[can_be]).max() < 1e-12


def test_empty_places_behind_a_text_change_nothing() -> None:
    text, rule = np.array([[0, -1, 2, 1]]), rule_of(MIXES["80/10/10"])
    padded = np.pad(text, ((0, 0), (0, 3)), constant_values=-1)
    assert np.allclose(posterior(HIDDEN, padded, rule)[:, :4], posterior(HIDDEN, text, rule), rtol=0, atol=1e-15)


def test_what_was_not_selected_has_no_answer_under_a_rule_that_always_hides() -> None:
    found = posterior(CHAIN, np.array([[0, -1, 2]]), rule_of(MIXES["100/0/0"]))
    assert np.isnan(found[0, [0, 2]]).all()
    assert np.isfinite(found[0, 1]).all()


@pytest.mark.parametrize("source", KNOWN)
def test_the_least_causal_losses_are_the_entropy_of_the_text(source: str) -> None:
    known, texts = KNOWN[source], every_text(3, LENGTH)
    chances = text_chances(known, LENGTH)
    assert chances.sum() == pytest.approx(1)
    assert np.allclose(causal_losses(known, texts).sum(1), -np.log(chances), rtol=0, atol=1e-12)


def test_a_chain_loses_its_entropy_rate_after_the_first_symbol() -> None:
    texts, chances = every_text(3, LENGTH), text_chances(CHAIN, LENGTH)
    by_place = chances @ causal_losses(CHAIN, texts)
    rate = entropy_rate(CHAIN)
    assert rate is not None
    assert np.allclose(by_place[1:], rate, rtol=0, atol=1e-12)
    assert by_place[0] == pytest.approx(-(CHAIN.frequencies * np.log(CHAIN.frequencies)).sum())
    assert entropy_rate(HIDDEN) is None


@pytest.mark.parametrize("source", KNOWN)
def test_masked_losses_over_all_rates_are_the_entropy_and_pseudo_likelihood_is_not(source: str) -> None:
    """The mean over t in (0, 1) of the losses at [MASK] at rate t, weighted by 1 / t, is the entropy (exactly).

    Sahoo et al. 2024 and others, "Simple and effective masked diffusion language models". At rate t a text of L symbols
    asks t L positions, so 1 / t leaves the mean over positions, a polynomial of t that Gauss-Legendre integrates.
    """
    known, chances = KNOWN[source], text_chances(KNOWN[source], LENGTH)
    entropy = float(-(chances * np.log(chances)).sum())
    nodes, weights = np.polynomial.legendre.leggauss(LENGTH)
    limits = [Enumeration(known, LENGTH, Hiding(rate, 1.0, 0.0, 3)).limits()["masked"] for rate in (nodes + 1) / 2]
    assert LENGTH * float(weights / 2 @ limits) == pytest.approx(entropy, abs=1e-12)

    hidden_alone = Enumeration(known, LENGTH, Hiding(1e-9, 1.0, 0.0, 3)).limits()["masked"]
    pseudo = float(chances @ pseudo_losses(known, every_text(3, LENGTH)).sum(1))
    assert pseudo == pytest.approx(LENGTH * hidden_alone, abs=1e-6)
    assert pseudo < 0.97 * entropy
