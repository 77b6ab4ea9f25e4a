from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.made_traffic import Traffic

from unmask.watch.features import FeatureMap
from unmask.watch.waves import WAVES, Waves
from unmask.watch.window import Window


def made(seed: int = 0, **how: float) -> Window:
    return Traffic(rows=300, vectors=6, **how).days(np.random.default_rng(seed), 2)


@pytest.fixture(scope="module")
def features() -> FeatureMap:
    return FeatureMap.fit(made())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), blocks=st.integers(1, 5), missing=st.floats(0, 1))
def test_sums_of_blocks_are_sums_of_rows(features: FeatureMap, seed: int, blocks: int, missing: float) -> None:
    chance = np.random.default_rng(seed)
    window = made(seed).rows(slice(80))
    gone = chance.random(80) < missing
    numbers = {**window.numbers, "confidence": np.where(gone, np.nan, window.numbers["confidence"])}
    assert window.embedding is not None
    vectors = np.where(gone[:, None], np.nan, window.embedding).astype(np.float32)
    window = replace(window, numbers=numbers, embedding=vectors)
    block = chance.integers(blocks, size=80)
    values, measured = features.rows(window)
    found = features.sums(window, block, blocks)
    for number in range(blocks):
        own = block == number
        np.testing.assert_allclose(found.sums[number], values[own].sum(0), atol=1e-4)
        np.testing.assert_allclose(found.counts[number], measured[own].sum(0))
        assert found.rows[number] == own.sum()


def test_no_request_can_swing_a_mean(features: FeatureMap) -> None:
    window = made(1)
    slow = window.numbers["latency_ms"].copy()
    slow[0] = 1e30
    wild = replace(window, numbers={**window.numbers, "latency_ms": slow})
    apart = np.abs(features.one(wild).sums - features.one(window).sums)
    assert apart.max() <= 1


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_what_changed_at_least_is_never_more_than_what_changed(features: FeatureMap, share: float) -> None:
    healthy, shifted = (
        Traffic(rows=20_000, vectors=6, strange=part).days(np.random.default_rng(3), 1) for part in (0, share)
    )
    one, other = features.one(healthy), features.one(shifted)
    owner = features.owner
    apart = other.sums / other.counts[:, owner] - one.sums / one.counts[:, owner]
    [effects] = features.effects(apart)
    found = dict(zip(features.names, effects, strict=True))
    assert max(found.values()) <= share + 0.02
    assert found["prediction"] > 0.7 * share  # all of those are of one class, which a fifth is of anyway
    assert found["latency_ms"] < 0.02


def test_an_effect_of_classes_is_the_distance_of_shares() -> None:
    labels = np.array(["a", "b", "c"])
    before, now = (
        replace(made(), classes={**made().classes, "prediction": labels[np.arange(600) % one]}) for one in (3, 2)
    )
    features = FeatureMap.fit(before)
    one, other = features.one(before), features.one(now)
    [effects] = features.effects(
        other.sums / other.counts[:, features.owner] - one.sums / one.counts[:, features.owner]
    )
    assert effects[features.names.index("prediction")] == pytest.approx(1 / 3)


def test_a_label_that_the_reference_has_not_counts_as_another(features: FeatureMap) -> None:
    signal = features.signals[features.names.index("prediction")]
    window = made()
    strange = replace(window, classes={**window.classes, "prediction": np.full(len(window), "unheard of")})
    assert set(signal.bins(strange)) == {len(signal.labels)}


def test_numbers_outside_of_the_reference_have_bins_of_their_own(features: FeatureMap) -> None:
    window = made()
    signal = features.signals[features.names.index("tokens")]
    outside = np.array([-1.0, 1e9, np.nan])
    few = replace(window.rows(slice(3)), numbers={**window.rows(slice(3)).numbers, "tokens": outside})
    assert signal.bins(few).tolist() == [0, len(signal.table) - 1, -1]
    inside = signal.bins(window)
    assert inside.min() > 0
    assert inside.max() < len(signal.table) - 1


def test_a_signal_that_never_varied_is_seen_to_vary() -> None:
    window = made()
    still = replace(window, numbers={**window.numbers, "unknown_share": np.zeros(len(window))})
    features = FeatureMap.fit(still)
    moved = replace(window, numbers={**window.numbers, "unknown_share": np.full(len(window), 0.5)})
    [sums] = features.one(moved).sums - features.one(still).sums
    own = features.owner == features.names.index("unknown_share")
    assert np.abs(sums[own]).max() == len(window)


def test_a_signal_that_was_hardly_measured_is_not_watched() -> None:
    window = made()
    few = np.where(np.arange(len(window)) < 99, 0.5, np.nan)
    features = FeatureMap.fit(replace(window, numbers={**window.numbers, "margin": few}))
    assert "margin" not in features.names
    assert "confidence" in features.names


def test_what_is_written_is_what_is_read(features: FeatureMap) -> None:
    again = FeatureMap.from_tensors(*features.tensors())
    window = made(5)
    np.testing.assert_array_equal(again.one(window).sums, features.one(window).sums)
    np.testing.assert_array_equal(again.variance, features.variance)


def test_means_of_waves_are_as_far_apart_as_the_kernel_says() -> None:
    """The slow twin: the MMD of a Gaussian kernel over all pairs (Gretton et al. 2012, equation 5)."""
    chance = np.random.default_rng(0)
    one = chance.standard_normal((400, 5)).astype(np.float32)
    other = (chance.standard_normal((300, 5)) + 0.8 * np.eye(5)[0]).astype(np.float32)
    waves = Waves.fit(one, 100)
    assert waves is not None
    width = np.median(np.sqrt(((one[:, None] - one[None]) ** 2).sum(-1))[np.triu_indices(400, 1)])
    apart = waves.values(one).mean(0) - waves.values(other).mean(0)
    kernel = [
        np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 2 / width**2).mean()
        for a, b in ((one, one), (other, other), (one, other))
    ]
    assert (apart**2).sum() / WAVES == pytest.approx(kernel[0] + kernel[1] - 2 * kernel[2], rel=0.25)
