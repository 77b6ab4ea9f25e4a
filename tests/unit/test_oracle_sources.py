"""Sources are what they say: stationary, reproducible, and as frequent as their tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

from unmask.oracle.sources import SOURCES, Source, chain, entropy_rate


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> Source:
    return SOURCES[request.param](32, generator(3))


def test_texts_follow_the_tables_from_the_first_symbol_to_the_last(source: Source) -> None:
    texts = source.sample(20_000, 6, generator(0))
    pairs = source.emission.T @ np.diag(source.initial) @ source.transition @ source.emission
    for place in (0, 4):
        seen = np.zeros((32, 32))
        np.add.at(seen, (texts[:, place], texts[:, place + 1]), 1 / len(texts))
        often = pairs * len(texts) > 5
        assert np.abs((seen - pairs) / np.sqrt(pairs / len(texts)))[often].max() < 6
        assert np.abs(seen.sum(1) - source.frequencies).max() < 0.02
    assert texts.max() == 31


def test_the_same_chance_gives_the_same_texts(source: Source) -> None:
    one, two, other = (source.sample(5, 20, generator(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_source_survives_json_to_the_bit(source: Source) -> None:
    again = Source.parse(json.loads(json.dumps(source.plain())))
    assert np.array_equal(again.transition, source.transition)
    assert np.array_equal(again.emission, source.emission)
    assert np.array_equal(again.initial, source.initial)


def test_the_entropy_rate_of_chains_that_are_known() -> None:
    assert entropy_rate(chain(np.full((4, 4), 0.25))) == pytest.approx(np.log(4))
    fair = chain(np.array([[0.5, 0.5], [1.0, 0.0]]))  # the golden mean process: visits its first state 2 of 3 times
    assert entropy_rate(fair) == pytest.approx(2 / 3 * np.log(2))


def test_tables_that_do_not_fit_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="rows must be distributions"):
        chain(np.array([[0.5, 0.4], [0.5, 0.5]]))
    with pytest.raises(AssertionError, match="must be stationary"):
        Source(initial=np.array([1.0, 0.0]), transition=np.full((2, 2), 0.5), emission=np.eye(2))
