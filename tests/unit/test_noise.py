"""The noise: published vectors, a slow twin in whole numbers, and its uniformity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.masking import noise

WRAP = (1 << 64) - 1
BITS64 = st.integers(0, WRAP)

# The first three are SplitMix64's published outputs for seed 0: the pinned formula at the origin.
VECTORS = [
    # seed, epoch, low64(document id), place, lane, word
    (0, 0, 0x0, 0, 0, 0xE220A8397B1DCDAF),
    (0, 0, 0x0, 0, 1, 0x6E789E6AA1B965F4),
    (0, 0, 0x0, 0, 2, 0x06C45D188009454F),
    (0, 0, 0x0, 1, 0, 0x1B39896A51A8749B),
    (0, 0, 0x1, 0, 0, 0xBFEF8030DDC2D772),
    (0, 1, 0x0, 0, 0, 0x568A9B0B1A2C05EC),
    (1, 0, 0x0, 0, 0, 0x4181B152FB77616F),
    (1234, 3, 0xDEADBEEFCAFEF00D, 17, 0, 0x13873DD003C4CE66),
    (1 << 63, 7, WRAP, 125, 2, 0xEB73024CD1B6C496),
    (42, 1_000_000, 0x0123456789ABCDEF, 2**31 - 1, 3, 0x09E787C4C911FC48),
]


def slow_mix(word: int) -> int:
    """SplitMix64's finaliser in Python's whole numbers."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WRAP
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WRAP
    return word ^ (word >> 31)


def slow_word(seed: int, epoch: int, document: int, place: int, lane: int) -> int:
    """The pinned formula in Python's whole numbers."""
    gamma = 0x9E3779B97F4A7C15
    key = slow_mix(slow_mix((seed + gamma * epoch) & WRAP) ^ document)
    return slow_mix((key + gamma * (4 * place + lane + 1)) & WRAP)


def fast_word(seed: int, epoch: int, document: int, place: int, lane: int) -> int:
    keys = noise.document_keys(seed, np.array([epoch]), np.array([document], dtype=np.uint64))
    return int(noise.words(keys, np.array([place]), lane)[0])


@pytest.mark.parametrize("vector", VECTORS)
def test_vectors(vector: tuple[int, int, int, int, int, int]) -> None:
    *place, word = vector
    assert fast_word(*place) == word
    assert slow_word(*place) == word


@given(BITS64, st.integers(0, 2**31), BITS64, st.integers(0, 2**31 - 1), st.integers(0, 3))
def test_agrees_with_its_slow_twin(seed: int, epoch: int, document: int, place: int, lane: int) -> None:
    assert fast_word(seed, epoch, document, place, lane) == slow_word(seed, epoch, document, place, lane)


@given(BITS64)
def test_uniform_is_a_multiple_of_two_to_the_minus_24(word: int) -> None:
    number = float(noise.uniform(np.array([word], dtype=np.uint64))[0])
    assert 0 <= number < 1
    assert number * 2**24 == word >> 40


@given(BITS64, st.integers(1, 2**32))
def test_below_stays_below(word: int, bound: int) -> None:
    number = int(noise.below(np.array([word], dtype=np.uint64), bound)[0])
    assert number == ((word >> 32) * bound) >> 32
    assert 0 <= number < bound


def test_lanes_places_epochs_and_documents_do_not_correlate() -> None:
    """Twelve correlations over a million places, each within 4.5 standard errors: false alarm about 1 in 12,000."""
    count = 1_000_000
    documents = np.arange(count, dtype=np.uint64)
    places = np.arange(count)

    def numbers(epoch: int, document: np.ndarray, place: np.ndarray, lane: int) -> np.ndarray:
        return noise.uniform(noise.words(noise.document_keys(5, epoch, document), place, lane))

    views = [
        numbers(0, documents[:1], places, 0),
        numbers(1, documents[:1], places, 0),
        numbers(0, documents[:1], places + 1, 0),
        numbers(0, documents[:1], places, 1),
        numbers(0, documents, places[:1], 0),
    ]
    correlations = np.corrcoef(np.stack(views))[np.triu_indices(len(views), 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(count)
    assert abs(views[0].mean() - 0.5) < 4.5 * np.sqrt(1 / 12 / count)
