"""Realised rates of every unit under every tokenizer family, in ten languages, within each unit's own sampling error.

A unit's error is that of its units, not of its tokens: words of many tokens and spans of many words are hidden at once,
so residuals are summed up within windows, whose masks are independent. Chance is fixed by seeds; under other seeds
each comparison would fail by chance less than once in 100,000 times (4.5 standard errors).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chisquare
from tests.made_split import split_of
from tests.unit.test_words import FAMILIES, TEXTS, family

from unmask.batch import IGNORE_INDEX, Rows
from unmask.corpus.phrases import PhrasePlaces, read_phrases, words_back
from unmask.corpus.rows import PackedRows, pack_split
from unmask.corpus.segment import word_starts
from unmask.corpus.shards import Encoder
from unmask.corpus.tokenizer import vocabulary_of
from unmask.masking.effective import effective_rates
from unmask.masking.mask import UNITS, Masked, MaskingSettings, mask_rows

RATE = 0.15
LENGTH = 128
DOCUMENTS = 1200
PHRASES = (
    "it's 3.5 km",
    "fährt schnell",
    "вышел из тумана",
    "يقرأ الولد",
    "पढ़ती है",
    "我们去",
    "東京へ",
    "Hi \U0001f44b\U0001f3fd",
    "x =",
)


@cache
def packed(name: str, *, segmented: bool = False, phrases: bool = False) -> PackedRows:
    """Return rows of documents, each a text of one of the languages, one to six times over."""
    tokenizer = family(name)
    vocabulary = vocabulary_of(tokenizer)
    encoder = Encoder(tokenizer, vocabulary, word_starts if segmented else None)
    texts = [
        " ".join([text] * (1 + number % 6)) for number, text in enumerate(list(TEXTS.values()) * (DOCUMENTS // 10))
    ]
    split = split_of(encoder.encode(texts), sources=range(len(TEXTS)))
    places = None
    if phrases:
        with NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write("\n".join(PHRASES))
            file.flush()
            listed = read_phrases(Path(file.name), tokenizer, vocabulary)
        places = PhrasePlaces(words_back(split, listed), listed.count)
    return PackedRows(pack_split(split, LENGTH), split, vocabulary, LENGTH, [None] * len(TEXTS), places)


@cache
def rows_of(name: str, unit: str = "word", *, segmented: bool = False) -> Rows:
    """Return all rows; those of the unit phrase have PHRASES for words."""
    rows = packed(name, segmented=segmented, phrases=unit == "phrase")
    return rows.gather(np.arange(rows.num_rows))


def settings_of(unit: str) -> MaskingSettings:
    return MaskingSettings.parse({"unit": unit, **({"phrases": "phrases.txt"} if unit == "phrase" else {})})


def masked_by(unit: str, rows: Rows, name: str, seed: int = 7, rate: float = RATE) -> Masked:
    tokenizer = family(name)
    vocabulary = vocabulary_of(tokenizer)
    return mask_rows(
        rows,
        settings_of(unit),
        mask_id=vocabulary.mask_id,
        ordinary_ids=vocabulary.ordinary_ids,
        seed=seed,
        epoch=np.zeros(len(rows.input_ids), np.int64),
        rate=rate,
    )


def table(unit: str, name: str, seed: int = 7, *, segmented: bool = False) -> dict[str, object]:
    rows = rows_of(name, unit, segmented=segmented)
    masked = masked_by(unit, rows, name, seed)
    vocabulary = vocabulary_of(family(name))
    counts = np.bincount(rows.input_ids[~rows.special], minlength=vocabulary.size)
    return effective_rates(
        rows,
        masked,
        settings_of(unit),
        np.full(len(rows.input_ids), RATE),
        counts=counts,
        source=packed(name, segmented=segmented).source,
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
    found = table(unit, name)
    off = [cell for cell in cells(found) if cell["is_off"]]
    assert not off
    by = found["by"]
    assert isinstance(by, dict)
    assert {cell["name"] for cell in by["source"]} == set(TEXTS)
    assert len(by["word_length"]) >= 2
    assert len(by["frequency"]) >= 2


@pytest.mark.parametrize("name", FAMILIES)
def test_phrases_stand_in_the_texts_of_every_family(name: str) -> None:
    """A language's phrase stands in some 360 or 480 places; GPT-2's rule and spaces alone do not part all scripts."""
    found = packed(name, phrases=True).phrases
    assert found
    assert found["places"] >= 357 * (9 if FAMILIES[name] == "wordpiece" else 6)
    assert (rows_of(name, "phrase").word != rows_of(name).word).any()


@pytest.mark.parametrize("seed", [29, 63])
def test_a_few_spans_of_a_kind_are_no_alarm(seed: int) -> None:
    """Under these seeds a language has next to no spans of random tokens: much for so many words, little for spans."""
    assert not [cell for cell in cells(table("span", "xlm-roberta", seed)) if cell["is_off"]]


@pytest.mark.parametrize("unit", ["word", "span"])
def test_segmented_words_are_hidden_at_the_rate_too(unit: str) -> None:
    assert rows_of("xlm-roberta", segmented=True).word.max() > rows_of("xlm-roberta").word.max()
    assert not [cell for cell in cells(table(unit, "xlm-roberta", segmented=True)) if cell["is_off"]]


@pytest.mark.parametrize("unit", UNITS)
def test_the_error_of_a_unit_is_that_of_its_units(unit: str) -> None:
    """Over 60 seeds the realised rate spreads as the stated error says: chi-square with 60 degrees, one in 100,000."""
    rows = rows_of("roberta", unit)
    ordinary = ~rows.special
    shares = np.array([_selected(unit, rows, seed)[ordinary].mean() for seed in range(60)])
    stated = table(unit, "roberta")["error"]
    assert isinstance(stated, float)
    spread = ((shares - RATE) ** 2).sum() / stated**2
    assert 19 < spread < 127


def _selected(unit: str, rows: Rows, seed: int) -> npt.NDArray[np.bool_]:
    return np.asarray(masked_by(unit, rows, "roberta", seed).labels != IGNORE_INDEX)


@pytest.mark.parametrize("unit", UNITS)
def test_the_mix_is_that_of_the_recipe(unit: str) -> None:
    """By token, or by span for spans, whose tokens share a kind."""
    rows = rows_of("modernbert", unit)
    masked = masked_by(unit, rows, "modernbert")
    chosen = masked.kind >= 0
    kinds = masked.kind[chosen]
    if unit == "span":  # one token a row: rows do not share spans
        first = np.argmax(chosen, axis=1)
        kinds = masked.kind[np.arange(len(first)), first][chosen.any(1)]
    counts = np.bincount(kinds, minlength=3)
    assert chisquare(counts, counts.sum() * np.array([0.8, 0.1, 0.1])).pvalue > 1e-5


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_rates_of_nothing_and_of_all_are_exact(unit: str, rate: float) -> None:
    rows = rows_of("bert", unit)
    selected = masked_by(unit, rows, "bert", rate=rate).labels != IGNORE_INDEX
    assert np.array_equal(selected, ~rows.special if rate else np.zeros_like(selected))
