"""Effective rates: counted again by hand, right on a right recipe, and not fooled by a wrong one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.test_mask import VOCABULARY, in_words, mask

from unmask.batch import IGNORE_INDEX, Rows
from unmask.masking.effective import effective_rates
from unmask.masking.mask import Masked, MaskingSettings

HALF = MaskingSettings(mlm_probability=0.5)


def rates_of(rows: Rows, masked: Masked, settings: MaskingSettings = HALF) -> dict[str, Any]:
    num_rows = len(rows.input_ids)
    rate = np.full(num_rows, settings.mlm_probability)
    counts, source = np.arange(VOCABULARY), np.arange(num_rows) % 2
    return effective_rates(rows, masked, settings, rate, counts=counts, source=source, source_names=["even", "odd"])


def test_cells_hold_what_a_loop_counts() -> None:
    rows = in_words([20, 62, 31, 5], 3)
    masked = mask(rows, HALF)
    rates = rates_of(rows, masked)
    hidden = masked.labels != IGNORE_INDEX
    by = {part: {cell["name"]: cell for cell in cells} for part, cells in rates["by"].items()}
    wanted: dict[tuple[str, str], list[bool]] = {}
    for row, place in zip(*np.nonzero(~rows.special), strict=True):
        same = (rows.word[row] == rows.word[row, place]) & (rows.segment[row] == rows.segment[row, place])
        length = int((same & ~rows.special[row]).sum())
        window = np.flatnonzero(rows.segment[row] == rows.segment[row, place])
        first, last = place - window[0] <= 4, window[-1] - place <= 4
        names = {
            ("word_length", f"{length} token{'s' * (length > 1)}"),
            ("frequency", "1 to 9" if rows.input_ids[row, place] < 10 else "10 to 99"),
            ("source", ["even", "odd"][row % 2]),
            *([("position", "document's first 4")] if rows.offset[row, place] < 4 else []),
            *([("position", "window's last 4")] if last else []),
            *([("position", "in between")] if not first and not last else []),
        }
        for name in names:
            wanted.setdefault(name, []).append(bool(hidden[row, place]))
    for (part, cell), found in wanted.items():
        assert by[part][cell]["tokens"] == len(found), (part, cell)
        assert by[part][cell]["selected"] == pytest.approx(np.mean(found))
    assert {(part, cell) for part, cells in by.items() for cell in cells} == set(wanted)


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_a_right_recipe_is_off_nowhere(unit: str) -> None:
    settings = MaskingSettings.parse({"unit": unit, "mlm_probability": 0.2})
    rows = in_words([60] * 400, 2)
    rates = rates_of(rows, mask(rows, settings), settings)
    assert not rates["is_off"]
    assert not [cell for cells in rates["by"].values() for cell in cells if cell["is_off"]]
    assert rates["selected"] == pytest.approx(0.2, abs=5 * rates["error"])
    assert 0 < rates["error"] < 0.02


def test_a_budget_that_leaves_long_words_out_is_found() -> None:
    """The fault of implementations that skip a word where it exceeds what is left of their budget."""
    rows = in_words([60] * 200, 1)
    long = (rows.offset // 6) % 2 == 0
    rows = replace(
        rows, word=np.where(rows.special, 0, np.where(long, rows.offset // 6, rows.offset + 100)).astype(np.int32)
    )
    settings = MaskingSettings(unit="word", mlm_probability=0.3)
    masked = mask(rows, settings)
    unfair = long & ~rows.special & (rows.document % 3 == 0)[..., :]
    kind = np.where(unfair, -1, masked.kind).astype(np.int8)
    labels = np.where(unfair, IGNORE_INDEX, masked.labels)
    rates = rates_of(rows, replace(masked, kind=kind, labels=labels), settings)
    off = {cell["name"] for cell in rates["by"]["word_length"] if cell["is_off"]}
    assert off == {"5 tokens or more"}
    assert rates["is_off"]


def test_errors_are_those_of_windows_not_of_tokens() -> None:
    rows = in_words([60] * 300, 6)
    by_token = rates_of(rows, mask(rows, HALF))["error"]
    by_word = rates_of(rows, mask(rows, MaskingSettings(unit="word", mlm_probability=0.5)))["error"]
    assert by_word / by_token == pytest.approx(np.sqrt(6), rel=0.2)


def test_a_mix_that_is_all_mask_is_found() -> None:
    """The fault of whole-word masking that turns every share into [MASK] without a word."""
    rows = in_words([60] * 100, 3)
    masked = mask(rows, HALF)
    rates = rates_of(rows, replace(masked, kind=np.where(masked.kind >= 0, 0, -1).astype(np.int8)))
    assert rates["selected"] == pytest.approx(0.5, abs=5 * rates["error"])
    assert rates["is_off"]


@pytest.mark.parametrize("unit", ["token", "word", "span"])
@pytest.mark.parametrize("rate", [0.02, 0.15, 0.95, 1.0])
def test_small_cells_give_no_false_alarm(unit: str, rate: float) -> None:
    """A cell in which nothing came where little was expected has no spread of its own to be judged by."""
    settings = MaskingSettings.parse({"unit": unit, "mlm_probability": rate})
    for size in (1, 2, 4, 10, 30):
        for seed in range(30):
            rows = in_words([24] * size, 8)
            rates = rates_of(rows, mask(rows, settings, seed=seed), settings)
            assert not [cell["name"] for cells in rates["by"].values() for cell in cells if cell["is_off"]]


def test_windows_differ_by_what_the_unit_does() -> None:
    rows = in_words([60] * 300, 6)
    spans = []
    for unit in ("token", "word"):
        rates = rates_of(rows, mask(rows, MaskingSettings.parse({"unit": unit, "mlm_probability": 0.5})))
        low, middle, high = rates["window_shares"]
        assert low < middle < high
        assert middle == pytest.approx(0.5, abs=0.04)
        spans.append(high - low)
    assert spans[1] > 2 * spans[0]
