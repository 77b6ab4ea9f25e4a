"""Masking by token: laws 1 and 4, BERT's shares, and a slow twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from unmask.batch import IGNORE_INDEX, KEPT, MASKED, RANDOM, Rows
from unmask.errors import SettingError
from unmask.masking.mask import Masked, MaskingSettings, mask_rows

CLS, SEP, MASK, PAD = 2, 3, 4, 0
VOCABULARY = 50
ORDINARY = np.arange(5, VOCABULARY, dtype=np.int32)


def pack(windows: list[tuple[int, int, int]], length: int, tokens: int = 0) -> Rows:
    """Pack windows (document, first offset, number of tokens) into rows in the order given, first fit."""
    names = ("input_ids", "segment", "document", "offset", "word")
    rows: list[dict[str, list[int]]] = []
    for document, first, count in windows:
        row = next((row for row in rows if len(row["segment"]) + count + 2 <= length), None)
        if row is None:
            row = {name: [] for name in names}
            rows.append(row)
        number = max(row["segment"], default=0) + 1
        text = [5 + (document * 7 + offset * 3 + tokens) % (VOCABULARY - 5) for offset in range(first, first + count)]
        row["input_ids"] += [CLS, *text, SEP]
        row["segment"] += [number] * (count + 2)
        row["document"] += [document] * (count + 2)
        row["offset"] += [0, *range(first, first + count), 0]
        row["word"] += [0, *range(first, first + count), 0]
    arrays = {name: np.array([row[name] + [0] * (length - len(row[name])) for row in rows]) for name in names}
    ids = arrays["input_ids"].astype(np.int32)
    return Rows(
        input_ids=ids,
        segment=arrays["segment"].astype(np.int32),
        document=arrays["document"].astype(np.uint64),
        offset=arrays["offset"].astype(np.int32),
        word=arrays["word"].astype(np.int32),
        special=np.isin(ids, [CLS, SEP, PAD]),
    )


def mask(rows: Rows, chosen: MaskingSettings | None = None, *, seed: int = 1, epoch: int = 0) -> Masked:
    chosen = chosen or MaskingSettings(mlm_probability=0.3)
    return mask_rows(
        rows,
        chosen,
        mask_id=MASK,
        ordinary_ids=ORDINARY,
        seed=seed,
        epoch=np.full(len(rows.input_ids), epoch),
        rate=chosen.mlm_probability,
    )


def by_place(rows: Rows, masked: Masked) -> dict[tuple[int, int], tuple[int, int]]:
    """Return (document, offset) -> (shown id, kind) of everything that was selected."""
    where = np.nonzero(masked.labels != IGNORE_INDEX)
    places = zip(rows.document[where].tolist(), rows.offset[where].tolist(), strict=True)
    return dict(
        zip(places, zip(masked.input_ids[where].tolist(), masked.kind[where].tolist(), strict=True), strict=True)
    )


DOCUMENTS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@settings(max_examples=60)
@given(DOCUMENTS, st.integers(5, 40), st.integers(5, 40), st.randoms(), st.integers(0, 2**63), st.integers(0, 9))
def test_windows_packing_and_row_order_change_no_mask(
    lengths: list[int], width_a: int, width_b: int, random: object, seed: int, epoch: int
) -> None:
    """Law 1: the same documents cut and packed in two ways, and in any order, are hidden at the same places."""

    def cut(width: int) -> list[tuple[int, int, int]]:
        return [
            (number, first, min(width - 2, length - first))
            for number, length in enumerate(lengths)
            for first in range(0, length, width - 2)
        ]

    shuffled = cut(width_b)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = pack(cut(width_a), width_a), pack(shuffled, 2 * width_b)
    assert by_place(one, mask(one, seed=seed, epoch=epoch)) == by_place(two, mask(two, seed=seed, epoch=epoch))


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 4))
def test_micro_batches_and_ranks_change_no_mask(micro: int, ranks: int) -> None:
    """Law 1: whole batch, micro-batches, or rows dealt to ranks: the same rows look the same."""
    rows = pack([(n, 0, 30) for n in range(12)], 32)
    whole = mask(rows)
    for rank in range(ranks):
        mine = np.arange(rank, 12, ranks)
        for first in range(0, len(mine), micro):
            part = mine[first : first + micro]
            piece = Rows(**{name: getattr(rows, name)[part] for name in Rows.__slots__})
            masked = mask(piece)
            for name in ("input_ids", "labels", "kind"):
                assert np.array_equal(getattr(masked, name), getattr(whole, name)[part])


def test_slow_twin_agrees() -> None:
    """Every token by itself, in Python's whole numbers, by the pinned formula."""
    from tests.unit.test_noise import slow_word

    rows, chosen = pack([(n * 977, 0, 40) for n in range(6)], 64), MaskingSettings(mlm_probability=0.4)
    fast = mask(rows, chosen, seed=9, epoch=3)
    for at in np.ndindex(rows.input_ids.shape):
        document, offset, truth = int(rows.document[at]), int(rows.offset[at]), int(rows.input_ids[at])
        hidden, kind, replacement = (slow_word(9, 3, document, offset, lane) for lane in range(3))
        if rows.special[at] or not (hidden >> 40) * 2.0**-24 < 0.4:
            assert [int(array[at]) for array in (fast.input_ids, fast.labels, fast.kind)] == [truth, IGNORE_INDEX, -1]
            continue
        draw = (kind >> 40) * 2.0**-24
        shown = (
            MASK if draw < 0.8 else int(ORDINARY[((replacement >> 32) * len(ORDINARY)) >> 32]) if draw < 0.9 else truth
        )
        assert [int(array[at]) for array in (fast.input_ids, fast.labels)] == [shown, truth]


def test_a_million_positions_pass_chi_square_and_touch_no_special_token() -> None:
    rows = pack([(n, 0, 510) for n in range(2000)], 512)
    chosen = MaskingSettings(mlm_probability=0.15)
    masked = mask(rows, chosen)
    selected = masked.labels != IGNORE_INDEX
    assert not selected[rows.special].any()
    assert np.array_equal(masked.input_ids[rows.special], rows.input_ids[rows.special])

    ordinary = int((~rows.special).sum())
    assert ordinary > 1_000_000
    assert chisquare([selected.sum(), ordinary - selected.sum()], [0.15 * ordinary, 0.85 * ordinary]).pvalue > 1e-4

    kinds = np.bincount(masked.kind[selected], minlength=3)
    assert chisquare(kinds, kinds.sum() * np.array([0.8, 0.1, 0.1])).pvalue > 1e-4
    assert (masked.input_ids[masked.kind == MASKED] == MASK).all()
    assert np.array_equal(masked.input_ids[masked.kind == KEPT], rows.input_ids[masked.kind == KEPT])
    drawn = masked.input_ids[masked.kind == RANDOM]
    assert np.isin(drawn, ORDINARY).all()
    assert chisquare(np.bincount(drawn, minlength=VOCABULARY)[5:]).pvalue > 1e-4


def in_words(lengths: list[int], pieces: int) -> Rows:
    """Return rows whose words are ``pieces`` tokens each."""
    rows = pack([(n, 0, length) for n, length in enumerate(lengths)], 64)
    return replace(rows, word=np.where(rows.special, 0, rows.offset // pieces).astype(np.int32))


@pytest.mark.parametrize("unit", ["word", "span"])
@settings(max_examples=30)
@given(lengths=st.lists(st.integers(1, 62), min_size=1, max_size=6), pieces=st.integers(1, 5), seed=st.integers(0, 99))
def test_words_and_spans_hide_whole_words_and_labels_are_the_original(
    unit: str, lengths: list[int], pieces: int, seed: int
) -> None:
    rows = in_words(lengths, pieces)
    masked = mask(rows, MaskingSettings.parse({"unit": unit, "mlm_probability": 0.4}), seed=seed)
    hidden = masked.labels != IGNORE_INDEX
    assert np.array_equal(masked.labels[hidden], rows.input_ids[hidden])
    assert np.array_equal(masked.input_ids[~hidden], rows.input_ids[~hidden])
    assert not hidden[rows.special].any()
    for row, document in enumerate(rows.document):
        for word in {(int(d), int(w)) for d, w in zip(document, rows.word[row], strict=True)}:
            of_word = (document == word[0]) & (rows.word[row] == word[1]) & ~rows.special[row]
            assert hidden[row][of_word].all() or not hidden[row][of_word].any()


@pytest.mark.parametrize("unit", ["word", "span"])
def test_words_of_every_length_are_hidden_alike(unit: str) -> None:
    """No budget, so long words are not left out: within 4.5 standard errors over words, or over spans of 3.8 words."""
    for pieces in (1, 2, 6):
        rows = in_words([60] * 1500, pieces)
        hidden = mask(rows, MaskingSettings.parse({"unit": unit, "mlm_probability": 0.15})).labels != IGNORE_INDEX
        share, words = hidden[~rows.special].mean(), 1500 * 60 / pieces
        assert abs(share - 0.15) < 4.5 * np.sqrt(0.15 * 0.85 / words * (1 if unit == "word" else 5.5))


def test_a_span_shows_one_kind_and_a_word_may_show_several() -> None:
    rows = in_words([60] * 300, 2)
    kinds = {}
    for unit in ("word", "span"):
        masked = mask(rows, MaskingSettings.parse({"unit": unit, "mask_replace_prob": 0.5, "random_replace_prob": 0.3}))
        pairs = masked.kind[:, 1:61].reshape(len(rows.input_ids), 30, 2)
        kinds[unit] = (pairs[..., 0] != pairs[..., 1]).sum()
    assert kinds["span"] == 0
    assert kinds["word"] > 100


def test_epochs_and_seeds_differ_and_repeat() -> None:
    rows = pack([(n, 0, 62) for n in range(100)], 64)
    first = mask(rows, seed=1, epoch=0)
    assert np.array_equal(first.labels, mask(rows, seed=1, epoch=0).labels)
    for other in (mask(rows, seed=1, epoch=1), mask(rows, seed=2, epoch=0)):
        both = ((first.labels != IGNORE_INDEX) & (other.labels != IGNORE_INDEX)).sum() / (~rows.special).sum()
        assert abs(both - 0.09) < 0.015


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"mlm_probability": 1.5}, "mlm_probability must be in [0, 1], got 1.5"),
        ({"mlm_probability": 0}, "mlm_probability must be in (0, 1], got 0: nothing would ever be asked"),
        ({"mlm_probability": float("nan")}, "mlm_probability must be in [0, 1], got nan"),
        ({"mask_replace_prob": -0.1}, "mask_replace_prob must be in [0, 1], got -0.1"),
        ({"mask_replace_prob": 0.9, "random_replace_prob": 0.2}, "must be at most 1, got 1.1"),
        ({"mask_prob": 0.9}, "unknown setting mask_prob"),
        ({"mlm_probability": -0.1}, "mlm_probability must be in [0, 1], got -0.1"),
        ({"schedule": "exponential"}, "schedule must be one of 'constant', 'linear', 'cosine' or 'steps'"),
        ({"schedule": "linear", "final_probability": 0}, "final_probability must be in (0, 1], got 0"),
        ({"schedule_steps": [0.5, 0.5]}, "schedule_steps must be shares of the run that ascend, got [0.5, 0.5]"),
        ({"schedule_steps": []}, "schedule_steps must be shares of the run that ascend, got []"),
        ({"unit": "phrase"}, "unit phrase needs a list: give masking.phrases=FILE"),
        ({"phrases": "names.txt"}, "phrases belong to unit phrase, got unit token"),
    ],
)
def test_shares_that_can_not_be(values: dict[str, float], line: str) -> None:
    with pytest.raises(SettingError) as caught:
        MaskingSettings.parse(values)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("masked", "random", "kinds"),
    [
        (0.7, 0.2, {MASKED, RANDOM, KEPT}),
        (0.7 + 0.1, 0.2, {MASKED, RANDOM}),  # more than 1 by rounding
        (0.7 + 0.2, 0.1, {MASKED, RANDOM}),  # less than 1 by rounding
        (1.0, 0.0, {MASKED}),
        (0.0, 1.0, {RANDOM}),
        (0.0, 0.0, {KEPT}),
    ],
)
def test_mixes_hold_to_the_last_place(masked: float, random: float, kinds: set[int]) -> None:
    chosen = MaskingSettings.parse({"mask_replace_prob": masked, "random_replace_prob": random, "mlm_probability": 1})
    rows = pack([(number, 0, 510) for number in range(40)], 512)
    assert set(mask(rows, chosen).kind[~rows.special].tolist()) == kinds


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_nothing_is_hidden_at_rate_0_and_every_ordinary_token_at_rate_1(unit: str) -> None:
    rows = in_words([60] * 50, 3)
    chosen = MaskingSettings.parse({"unit": unit, "mlm_probability": 1})
    assert np.array_equal(mask(rows, chosen).labels != IGNORE_INDEX, ~rows.special)
    none = mask_rows(rows, chosen, mask_id=MASK, ordinary_ids=ORDINARY, seed=1, epoch=np.zeros(50, np.int64), rate=0.0)
    assert np.array_equal(none.input_ids, rows.input_ids)
    assert (none.labels == IGNORE_INDEX).all()
