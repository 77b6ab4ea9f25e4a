"""The chance of masks has no memory: epochs, neighbours, documents, lanes and seeds do not know of each other.

Over a million places each pair of streams is correlated; under independence the correlation times the root of their
number is standard normal. The bound of 5.3 makes a false alarm one in ten million, so one in 100,000 for all of the
some hundred comparisons under another seed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kstest

from unmask.batch import Rows
from unmask.corpus.order import rows_at
from unmask.masking import noise
from unmask.masking.mask import UNITS

PLACES = 1_000_000
BOUND = 5.3

Floats = npt.NDArray[np.float64]


def stream(*, seed: int = 3, epoch: int = 0, document: int = 0x1234_5678_9ABC_DEF1, lane: int = noise.HIDDEN) -> Floats:
    keys = noise.document_keys(seed, epoch, np.array([document], np.uint64))
    return noise.uniform(noise.words(keys, np.arange(PLACES), lane))


def documents(*, seed: int = 3, epoch: int = 0, step: int = 1, place: int = 5) -> Floats:
    """Return the number at one place of a million documents, ids ``step`` apart."""
    ids = np.arange(PLACES, dtype=np.uint64) * np.uint64(step)
    keys = noise.document_keys(seed, epoch, ids)
    return noise.uniform(noise.words(keys, np.full(PLACES, place), noise.HIDDEN))


def z_score(one: Floats, other: Floats) -> float:
    """Return the correlation of two streams in standard errors."""
    return float(np.corrcoef(one, other)[0, 1] * np.sqrt(len(one)))


def hidden_z(one: Floats, other: Floats, rate: float) -> float:
    """The same for what is hidden at ``rate``."""
    return z_score((one < rate).astype(float), (other < rate).astype(float))


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_epochs_do_not_know_of_each_other(rate: float) -> None:
    first = stream()
    for epoch in (1, 2, 3, 1000):
        assert abs(z_score(first, stream(epoch=epoch))) < BOUND
        assert abs(hidden_z(first, stream(epoch=epoch), rate)) < BOUND


def test_two_epochs_hide_other_tokens() -> None:
    both = ((stream() < 0.15) & (stream(epoch=1) < 0.15)).mean()
    assert both == pytest.approx(0.0225, abs=BOUND * np.sqrt(0.0225 / PLACES))


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 16, 128])
def test_neighbours_do_not_know_of_each_other(lag: int) -> None:
    numbers = stream()
    assert abs(z_score(numbers[:-lag], numbers[lag:])) < BOUND
    assert abs(hidden_z(numbers[:-lag], numbers[lag:], 0.15)) < BOUND


def test_lanes_do_not_know_of_each_other() -> None:
    lanes = [stream(lane=lane) for lane in (noise.HIDDEN, noise.KIND, noise.REPLACEMENT, noise.FREE)]
    for one in range(4):
        for other in range(one):
            assert abs(z_score(lanes[one], lanes[other])) < BOUND
            assert abs(z_score(lanes[one][:-1], lanes[other][1:])) < BOUND  # the place beside: counters must not meet


@pytest.mark.parametrize("step", [1, 2, 1 << 32, 0x9E3779B97F4A7C15])
def test_documents_do_not_know_of_each_other(step: int) -> None:
    numbers = documents(step=step)
    assert abs(z_score(numbers[:-1], numbers[1:])) < BOUND
    assert abs(z_score(numbers, documents(step=step, place=6))) < BOUND
    assert abs(z_score(numbers, documents(step=step, epoch=1))) < BOUND


@pytest.mark.parametrize("seed", [0, 2, 4, 3 + 0x9E3779B97F4A7C15])
def test_seeds_do_not_know_of_each_other(seed: int) -> None:
    assert abs(z_score(stream(), stream(seed=seed))) < BOUND


def words_in_rows(*, pieces: int = 2, length: int = 500) -> Rows:
    """Return a document a row, a million tokens in words of ``pieces``."""
    shape = (PLACES // length, length)
    place = np.broadcast_to(np.arange(length, dtype=np.int32), shape)
    ids = np.arange(1, shape[0] + 1, dtype=np.uint64)[:, None]
    return Rows(
        input_ids=np.ones(shape, np.int32),
        segment=np.ones(shape, np.int32),
        document=np.broadcast_to(ids, shape).copy(),
        offset=place.copy(),
        word=place // pieces,
        special=(place == 0) | (place == length - 1),
    )


@pytest.mark.parametrize("unit", UNITS)
def test_masks_of_every_unit_have_no_memory(unit: str) -> None:
    """Tokens of a word or span go together, so products of residuals are summed up by row: rows are independent."""
    rows, rate = words_in_rows(), 0.15
    ordinary = ~rows.special

    def residual(*, seed: int = 3, epoch: int = 0) -> Floats:
        count = len(ordinary)
        hidden, _ = UNITS[unit](rows, seed, np.full(count, epoch), np.full(count, rate))
        return np.where(ordinary, hidden - rate, 0.0)

    first = residual()
    pairs = {
        "next epoch": (first, residual(epoch=1)),
        "another epoch": (first, residual(epoch=1000)),
        "another seed": (first, residual(seed=4)),
        "document beside": (first[:-1], first[1:]),
        "20 words on": (first[:, :-40], first[:, 40:]),
    }
    for name, (one, other) in pairs.items():
        together = (one * other).sum(axis=1)
        assert abs(together.mean()) < BOUND * together.std() / np.sqrt(len(together)), name


def test_words_beside_each_other_are_hidden_each_for_itself() -> None:
    rows = words_in_rows(pieces=2)
    hidden, _ = UNITS["word"](rows, 3, np.zeros(len(rows.word), np.int64), np.full(len(rows.word), 0.15))
    words = hidden[:, 2:-2:2].astype(float)  # the first token of each, the cut ones at the edges left out
    for lag in (1, 2, 3):
        assert abs(z_score(words[:, :-lag].ravel(), words[:, lag:].ravel())) < BOUND


def test_a_seed_s_next_epoch_is_not_another_seed_s_epoch_in_reach() -> None:
    """The key mixes seed + G epoch: two runs whose seeds are small never share masks."""
    keys = {
        int(noise.document_keys(seed, epoch, np.array([9], np.uint64))[0]) for seed in range(50) for epoch in range(50)
    }
    assert len(keys) == 2500


def test_numbers_are_uniform() -> None:
    for numbers in (stream(), documents(), stream(lane=noise.REPLACEMENT)):
        assert kstest(numbers, "uniform", method="asymp").pvalue > 1e-6


def test_order_and_masks_share_no_chance() -> None:
    order = rows_at(np.arange(PLACES), PLACES, 3).astype(float)
    assert abs(z_score(order, stream())) < BOUND
    assert abs(z_score(order[:-1], order[1:])) < BOUND
