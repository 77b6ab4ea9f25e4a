"""Rows read from left to right and documents at rates of their own: pure functions of document, place and seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from tests.unit.test_mask import CLS, MASK, ORDINARY, PAD, SEP, mask, pack

from unmask.batch import IGNORE_INDEX, NEXT, collate
from unmask.masking.diffusion import LEAST_RATE, document_rates
from unmask.masking.mask import MaskingSettings, mask_rows
from unmask.masking.onward import chance_of_rows, nothing_hidden, read_onward, uncovered
from unmask.model.config import ModelSettings, resolve
from unmask.objectives import ObjectiveSettings

WINDOWS = [(1, 0, 9), (2, 0, 4), (3, 0, 11), (1, 9, 6), (4, 0, 1)]


def rates_by_document(width: int, windows: list[tuple[int, int, int]], epoch: int = 0) -> dict[int, set[float]]:
    rows, found = pack(windows, width), dict[int, set[float]]()
    rates = document_rates(rows, 3, np.full(len(rows.input_ids), epoch))
    for document, rate in zip(rows.document.ravel().tolist(), rates.ravel().tolist(), strict=True):
        found.setdefault(document, set()).add(rate)
    found.pop(0, None)
    return found


def test_a_document_has_one_rate_wherever_its_windows_are_packed_and_another_in_the_next_epoch() -> None:
    here = rates_by_document(16, WINDOWS)
    assert all(len(rates) == 1 for rates in here.values())
    assert here == rates_by_document(40, WINDOWS[::-1])
    assert here != rates_by_document(16, WINDOWS, epoch=1)


def test_rates_are_uniform_and_never_nothing() -> None:
    rows = pack([(document, 0, 1) for document in range(1, 4001)], 3)
    rates = document_rates(rows, 0, np.zeros(4000, np.int64))[:, 0]
    assert rates.min() >= LEAST_RATE
    assert kstest(rates, "uniform", args=(LEAST_RATE, 1 - LEAST_RATE)).pvalue > 0.01


def test_a_document_is_hidden_at_its_own_rate() -> None:
    rows = pack([(document, 0, 400) for document in range(1, 30)], 402)
    rates = document_rates(rows, 5, np.zeros(29, np.int64))
    settings = MaskingSettings(mask_replace_prob=1, random_replace_prob=0)
    epoch = np.zeros(29, np.int64)
    masked = mask_rows(rows, settings, mask_id=MASK, ordinary_ids=ORDINARY, seed=5, epoch=epoch, rate=rates)
    shares = (masked.input_ids == MASK).sum(1) / 400
    assert np.abs(shares - rates[:, 0]).max() < 0.1
    assert shares.std() > 0.2
    same = mask_rows(rows, settings, mask_id=MASK, ordinary_ids=ORDINARY, seed=5, epoch=epoch, rate=rates[:, 0])
    assert np.array_equal(masked.input_ids, same.input_ids)


@given(st.lists(st.tuples(st.integers(1, 9), st.just(0), st.integers(1, 12)), min_size=1, max_size=8))
def test_labels_of_rows_read_onward_never_cross_a_document_nor_ask_for_a_special_token(
    windows: list[tuple[int, int, int]],
) -> None:
    """The slow twin walks along each row: what is told at a place is the next token of the same window, if any."""
    rows = pack(windows, 20)
    shown = nothing_hidden(rows)
    batch = collate(
        input_ids=shown.input_ids, segment=rows.segment, labels=shown.labels, kind=shown.kind, read_before=True
    )
    told = dict(zip(batch.asked[: batch.num_asked].tolist(), batch.targets.tolist(), strict=False))
    expected = {}
    for row, (ids, segment) in enumerate(zip(rows.input_ids.tolist(), rows.segment.tolist(), strict=True)):
        for place in range(len(ids) - 1):
            if segment[place] and segment[place] == segment[place + 1] and ids[place + 1] not in (CLS, SEP, PAD):
                expected[row * len(ids) + place] = ids[place + 1]
    assert told == expected
    assert set(batch.kind[: batch.num_asked].tolist()) == {NEXT}
    assert np.array_equal(batch.input_ids.numpy(), rows.input_ids)


def test_the_rows_that_are_not_read_onward_stay_as_they_were_hidden() -> None:
    rows = pack(WINDOWS, 16)
    masked = mask(rows)
    chosen = np.arange(len(rows.input_ids)) % 2 == 0
    mixed, whole = read_onward(rows, masked, chosen), nothing_hidden(rows)
    for name in ("input_ids", "labels", "kind"):
        array = getattr(mixed, name)
        assert np.array_equal(array[chosen], getattr(whole, name)[chosen])
        assert np.array_equal(array[~chosen], getattr(masked, name)[~chosen])
        assert array.dtype == getattr(masked, name).dtype


def test_what_is_uncovered_is_asked_for_all_the_same() -> None:
    rows = pack(WINDOWS, 16)
    masked = mask(rows)
    shown = uncovered(rows, masked)
    assert np.array_equal(shown.input_ids, rows.input_ids)
    assert np.array_equal(shown.labels, masked.labels)
    assert set(shown.kind[masked.labels != IGNORE_INDEX].tolist()) == {0}


def test_rows_are_chosen_by_their_number_and_epoch_alone() -> None:
    numbers, epoch = np.arange(5000), np.zeros(5000, np.int64)
    chances = chance_of_rows(numbers, 7, epoch)
    order = np.random.default_rng(0).permutation(5000)
    assert np.array_equal(chance_of_rows(numbers[order], 7, epoch), chances[order])
    assert kstest(chances, "uniform").pvalue > 0.01
    assert not np.array_equal(chance_of_rows(numbers, 7, epoch + 1), chances)
    assert not np.array_equal(chance_of_rows(numbers, 8, epoch), chances)


def objective(**values: object) -> ObjectiveSettings:
    return ObjectiveSettings.parse(values)


def test_the_share_of_rows_that_hide_goes_as_the_objective_says() -> None:
    place = np.array([0.0, 0.25, 0.5, 1.0])
    expected = {
        "mlm": [1, 1, 1, 1],
        "mntp": [1, 1, 1, 1],
        "diffusion": [1, 1, 1, 1],
        "clm": [0, 0, 0, 0],
        "clm_then_mlm": [0, 1, 1, 1],
        "hybrid": [0.2, 0.3, 0.4, 0.6],
    }
    more: dict[str, dict[str, Any]] = {
        "clm_then_mlm": {"clm_share": 0.25},
        "hybrid": {"mntp_share": 0.2, "final_mntp_share": 0.6, "schedule": "linear"},
    }
    for name, shares in expected.items():
        assert objective(name=name, **more.get(name, {})).hiding_share(place).tolist() == pytest.approx(shares)


def test_a_constant_share_is_the_first_one() -> None:
    place = np.array([0.0, 1.0])
    assert objective(name="hybrid", mntp_share=0.25).hiding_share(place).tolist() == [0.25, 0.25]


def test_how_much_is_asked_over_a_run() -> None:
    masking = MaskingSettings(mlm_probability=0.2)
    expected = {"mlm": 0.2, "mntp": 0.2, "clm": 1.0, "diffusion": 0.5, "clm_then_mlm": 0.6, "hybrid": 0.6}
    for name, share in expected.items():
        assert objective(name=name).asked_share(masking) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "flags"),
    [("clm", (True, True)), ("mntp", (False, True)), ("mlm", (False, False)), ("diffusion", (False, False))],
)
def test_only_a_causal_model_that_predicts_the_next_token_reads_from_left_to_right(
    name: str, flags: tuple[bool, bool]
) -> None:
    from unmask.cli.starting import read_by

    config = read_by(resolve(ModelSettings(preset="tiny"), 50, 0), objective(name=name), is_asked=False)
    assert (config.is_causal, config.predicts_next) == flags
    assert config.is_left_to_right == (name == "clm")
