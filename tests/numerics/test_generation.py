"""Texts drawn from exact conditionals are texts of the source; what is drawn at once, or from another model, is not."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests.enumerated import every_text, text_chances

from unmask.corpus.tokenizer import Vocabulary
from unmask.evaluation.samples import sample_figures
from unmask.inference.generation import Ask, Chances, Ids, Places, Way, asking, draw
from unmask.oracle.posterior import causal_losses, emission_rule, onward, posterior
from unmask.oracle.sources import Source, chain, hidden, pair_chances

MASK, FIRST, LENGTH, TEXTS = 4, 5, 8, 1500
CHAIN = chain(np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]]))
HIDDEN = hidden(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.7, 0.2, 0.1], [0.05, 0.15, 0.8]]))
SOURCES = {"chain": CHAIN, "hidden": HIDDEN}
VOCABULARY = Vocabulary(
    size=8,
    pad_id=0,
    unk_id=1,
    cls_id=2,
    sep_id=3,
    mask_id=MASK,
    special_ids=(0, 1, 2, 3, 4),
    ordinary_ids=np.arange(FIRST, 8, dtype=np.int32),
)
HIDES_ALL = emission_rule(rate=0.5, mask=1, random=0, pool=3)


def symbols(windows: Ids) -> np.ndarray:
    return np.where(windows == MASK, -1, windows - FIRST).astype(np.int64)


def exact(source: Source) -> Ask:
    """Return the true conditionals: of a hidden place all others, and of the last place of a beginning those before."""

    def ask(windows: Ids, places: Places) -> Chances:
        assert (np.diff(places) > 0).all(), "an engine answers in the order of the places"
        if windows.shape[1] == LENGTH + 2:
            found = posterior(source, symbols(windows[:, 1:-1]), HIDES_ALL)
        else:
            found = onward(source, symbols(windows[:, 1:]))
        return np.take_along_axis(found, (places - 1)[..., None], 1)

    return ask


def drawn(way: Way, ask: Ask, texts: int = TEXTS) -> np.ndarray:
    windows = np.full((texts, LENGTH + 2), MASK, np.int32)
    windows[:, 0], windows[:, -1] = 2, 3
    chance = np.random.Generator(np.random.Philox(1))
    found = draw(way, ask, windows, np.arange(1, LENGTH + 1), VOCABULARY, chance)
    assert (windows[:, 1:-1] == MASK).all()
    assert found[:, [0, -1]].tolist() == windows[:, [0, -1]].tolist()
    return symbols(found[:, 1:-1])


def entropy(source: Source) -> float:
    losses = causal_losses(source, every_text(3, LENGTH)).sum(1)
    return float((np.exp(-losses) * losses).sum()) / LENGTH


def is_of_the_source(source: Source, figures: dict[str, Any]) -> bool:
    """Say whether both figures are what chance makes of so few texts: a distance of some 0.01."""
    nats = figures["nats"]
    width = nats["high"] - nats["low"]
    return bool(abs(nats["value"] - entropy(source)) < width and figures["distance"]["value"] < 0.03)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize(
    "way", [Way("ancestral"), Way("unmasking", LENGTH), Way("gibbs", 8)], ids=lambda way: way.method
)
def test_true_conditionals_draw_texts_of_the_source(name: str, way: Way) -> None:
    source = SOURCES[name]
    assert is_of_the_source(source, sample_figures(source, drawn(way, exact(source))))


def test_texts_of_the_source_itself_pass_and_independent_symbols_do_not() -> None:
    chance = np.random.Generator(np.random.Philox(9))
    for source in SOURCES.values():
        assert is_of_the_source(source, sample_figures(source, source.sample(TEXTS, LENGTH, chance)))
        independent = chance.choice(3, (TEXTS, LENGTH), p=source.frequencies)
        assert not is_of_the_source(source, sample_figures(source, independent))


def test_what_is_drawn_at_once_does_not_know_of_each_other_and_more_steps_come_nearer() -> None:
    figures = [sample_figures(CHAIN, drawn(Way("unmasking", steps), exact(CHAIN))) for steps in (1, 3, LENGTH)]
    far, nearer, there = (one["distance"]["value"] for one in figures)
    assert far > 3 * nearer > 3 * there
    frequencies = CHAIN.frequencies
    independent = np.abs(np.outer(frequencies, frequencies) - pair_chances(CHAIN)).sum() / 2
    assert far == pytest.approx(independent, abs=0.02)
    assert figures[0]["nats"]["low"] > entropy(CHAIN) + 0.2


def test_no_sweep_of_gibbs_leaves_what_was_drawn_at_once() -> None:
    assert np.array_equal(drawn(Way("gibbs", 0), exact(CHAIN), 50), drawn(Way("unmasking", 1), exact(CHAIN), 50))


def test_conditionals_that_do_not_fit_are_seen() -> None:
    """A model that trusts its neighbours too much is no source: neither figure lets it pass."""

    def sharper(windows: Ids, places: Places) -> Chances:
        chances = exact(CHAIN)(windows, places) ** 2
        return np.asarray(chances / chances.sum(-1, keepdims=True))

    figures = sample_figures(CHAIN, drawn(Way("gibbs", 8), sharper))
    assert not is_of_the_source(CHAIN, figures)
    assert figures["nats"]["high"] < entropy(CHAIN)


def test_pairs_of_a_source_are_what_enumeration_says() -> None:
    for source in SOURCES.values():
        expected = np.zeros((3, 3))
        for text, chance in zip(every_text(3, 4), text_chances(source, 4), strict=True):
            for one, other in pairwise(text):
                expected[one, other] += chance / 3
        assert np.allclose(pair_chances(source), expected, rtol=0, atol=1e-12)


def test_distances_are_what_counting_says() -> None:
    texts = np.array([[0, 1, 2], [0, 1, 1]])
    figures = sample_figures(CHAIN, texts)
    shares = np.zeros((3, 3))
    shares[0, 1], shares[1, 2], shares[1, 1] = 0.5, 0.25, 0.25
    expected = pair_chances(CHAIN)
    assert figures["distance"]["value"] == pytest.approx(np.abs(shares - expected).sum() / 2)
    there = shares > 0
    assert figures["divergence"]["value"] == pytest.approx(
        (shares[there] * np.log(shares[there] / expected[there])).sum()
    )
    nats = -np.log(CHAIN.frequencies[0] * np.array([0.1 * 0.8, 0.1 * 0.1])).mean() / 3
    assert figures["nats"]["value"] == pytest.approx(nats)


class Fixed:
    """An engine that likes special tokens best."""

    hidden_size, max_length = 1, 99

    def logits_at(self, windows: list[Ids], asked: list[Ids]) -> list[np.ndarray]:
        best = np.array([9, 9, 9, 9, 9, 0, np.log(3), -np.inf], np.float32)
        return [np.tile(best, (len(places), 1)) for places in asked]


def test_only_ordinary_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    ask = asking(Fixed(), VOCABULARY.ordinary_ids)  # type: ignore[arg-type]  # has what is asked for
    found = drawn(Way("unmasking", 2), ask)
    counts = np.bincount(found.ravel(), minlength=3) / found.size
    assert counts == pytest.approx([0.25, 0.75, 0.0], abs=0.01)
