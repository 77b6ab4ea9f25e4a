"""Realised rates of every unit under every tokenizer family, in ten languages, within each unit's own sampling error.

A unit's error is that of its units, not of its tokens: words of many tokens and spans of many words are hidden at once,
so residuals are summed up within documents, whose masks are independent. Chance is fixed by seeds; under other seeds
each comparison would fail by chance less than once in 100,000 times (4.5 standard errors).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chisquare
from tests.unit.test_words import FAMILIES, TEXTS, family

from unmask.batch import IGNORE_INDEX, Rows
from unmask.corpus.segment import word_starts
from unmask.corpus.shards import Encoder
from unmask.corpus.tokenizer import vocabulary_of
from unmask.masking.effective import effective_rates
from unmask.masking.mask import UNITS, Masked, MaskingSettings, mask_rows

RATE = 0.15
LONGEST = 126
DOCUMENTS = 2000
SPACELESS = ("chinese", "japanese", "thai")


@cache
def rows_of(name: str, *, segmented: bool = False) -> Rows:
    """Return a row a document, each a text of one of the languages, one to six times over."""
    tokenizer = family(name)
    vocabulary = vocabulary_of(tokenizer)
    encoder = Encoder(tokenizer, vocabulary, word_starts if segmented else None)
    texts = [
        " ".join([text] * (1 + number % 6)) for number, text in enumerate(list(TEXTS.values()) * (DOCUMENTS // 10))
    ]
    shape = (len(texts), LONGEST + 2)
    ids, segment, offset, word = (np.zeros(shape, np.int32) for _ in range(4))
    special = np.ones(shape, bool)
    for row, (tokens, begins) in enumerate(encoder.encode(texts)):
        size = min(len(tokens), LONGEST)
        inside = slice(1, size + 1)
        ids[row, inside], offset[row, inside] = tokens[:size], np.arange(size)
        word[row, inside] = np.cumsum(begins[:size]) - 1
        segment[row, : size + 2] = 1
        special[row, inside] = np.isin(tokens[:size], vocabulary.special_ids)
    document = np.broadcast_to(
        np.arange(1, len(texts) + 1, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15), shape
    )
    return Rows(input_ids=ids, segment=segment, document=document.copy(), offset=offset, word=word, special=special)


def masked_by(unit: str, rows: Rows, name: str, seed: int = 7, rate: float = RATE) -> Masked:
    tokenizer = family(name)
    vocabulary = vocabulary_of(tokenizer)
    settings = MaskingSettings.model_construct(**{**MaskingSettings().model_dump(), "unit": unit})
    return mask_rows(
        rows,
        settings,
        mask_id=vocabulary.mask_id,
        ordinary_ids=vocabulary.ordinary_ids,
        seed=seed,
        epoch=np.zeros(len(rows.input_ids), np.int64),
        rate=rate,
    )


def table(unit: str, name: str, rows: Rows) -> dict[str, object]:
    masked = masked_by(unit, rows, name)
    vocabulary = vocabulary_of(family(name))
    counts = np.bincount(rows.input_ids[~rows.special], minlength=vocabulary.size)
    return effective_rates(
        rows,
        masked,
        MaskingSettings(),
        np.full(len(rows.input_ids), RATE),
        counts=counts,
        source=np.arange(len(rows.input_ids)) % len(TEXTS),
        source_names=list(TEXTS),
    )


def cells(found: dict[str, object]) -> Iterator[dict[str, object]]:
    yield found
    parts = found["by"]
    assert isinstance(parts, dict)
    for part in parts.values():
        yield from part


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("unit", UNITS)
def test_rates_are_the_recipe_s_for_every_language_length_frequency_and_position(unit: str, name: str) -> None:
    found = table(unit, name, rows_of(name))
    off = [cell for cell in cells(found) if cell["is_off"]]
    assert not off
    by = found["by"]
    assert isinstance(by, dict)
    assert {cell["name"] for cell in by["source"]} == set(TEXTS)
    assert len(by["word_length"]) >= 2
    assert len(by["frequency"]) >= 2


@pytest.mark.parametrize("unit", ["word", "span"])
def test_segmented_words_are_hidden_at_the_rate_too(unit: str) -> None:
    rows = rows_of("xlm-roberta", segmented=True)
    plain = rows_of("xlm-roberta")
    assert rows.word.max() > plain.word.max()
    assert not [cell for cell in cells(table(unit, "xlm-roberta", rows)) if cell["is_off"]]


@pytest.mark.parametrize("unit", UNITS)
def test_the_error_of_a_unit_is_that_of_its_units(unit: str) -> None:
    """Over 60 seeds the realised rate spreads as the stated error says: chi-square with 60 degrees, one in 100,000."""
    rows = rows_of("roberta")
    ordinary = ~rows.special
    shares = np.array([_selected(unit, rows, seed)[ordinary].mean() for seed in range(60)])
    stated = table(unit, "roberta", rows)["error"]
    assert isinstance(stated, float)
    spread = ((shares - RATE) ** 2).sum() / stated**2
    assert 19 < spread < 127


def _selected(unit: str, rows: Rows, seed: int) -> npt.NDArray[np.bool_]:
    return np.asarray(masked_by(unit, rows, "roberta", seed).labels != IGNORE_INDEX)


@pytest.mark.parametrize("unit", UNITS)
def test_the_mix_is_that_of_the_recipe(unit: str) -> None:
    """By token, or by span for spans, whose tokens share a kind."""
    rows = rows_of("modernbert")
    masked = masked_by(unit, rows, "modernbert")
    chosen = masked.kind >= 0
    kinds = masked.kind[chosen]
    if unit == "span":  # one token a document: documents do not share spans
        first = np.argmax(chosen, axis=1)
        kinds = masked.kind[np.arange(len(first)), first][chosen.any(1)]
    counts = np.bincount(kinds, minlength=3)
    assert chisquare(counts, counts.sum() * np.array([0.8, 0.1, 0.1])).pvalue > 1e-5


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_of_nothing_and_of_all_are_exact(unit: str, rate: float) -> None:
    rows = rows_of("bert")
    selected = masked_by(unit, rows, "bert", rate=rate).labels != IGNORE_INDEX
    assert np.array_equal(selected, ~rows.special if rate else np.zeros_like(selected))
