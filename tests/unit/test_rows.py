"""Rows: windows and packing by their properties, gathering against a twin that goes token by token."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmask.corpus import shards
from unmask.corpus.rows import NUM_SPECIAL, PackedRows, cut_windows, pack, pack_split
from unmask.corpus.shards import ShardWriter, Split
from unmask.corpus.tokenizer import Vocabulary

PAD, UNK, CLS, SEP = 0, 1, 2, 3
VOCABULARY = Vocabulary(
    size=100,
    pad_id=PAD,
    unk_id=UNK,
    cls_id=CLS,
    sep_id=SEP,
    mask_id=4,
    special_ids=(0, 1, 2, 3, 4),
    ordinary_ids=np.arange(5, 100, dtype=np.int32),
)


@given(st.lists(st.lists(st.booleans(), max_size=40), min_size=1, max_size=8), st.integers(1, 12))
def test_windows_cover_documents_and_begin_at_words(documents: list[list[bool]], room: int) -> None:
    begins = np.array([flag or not place for flags in documents for place, flag in enumerate(flags)], dtype=np.bool_)
    starts = np.concatenate(([0], np.cumsum([len(flags) for flags in documents])))
    windows = cut_windows(starts, begins, room)
    assert (windows.size >= 1).all()
    assert (windows.size <= room).all()
    ends = windows.begin + windows.size
    assert windows.begin[:1].tolist() == [0] * (len(begins) > 0)
    np.testing.assert_array_equal(windows.begin[1:], ends[:-1])
    assert ends[-1:].tolist() == [len(begins)] * (len(begins) > 0)
    assert (windows.begin >= starts[windows.document]).all()
    assert (ends <= starts[windows.document + 1]).all()
    for begin, size, document in zip(windows.begin, windows.size, windows.document, strict=True):
        end = begin + size
        if end == starts[document + 1]:
            continue
        assert begins[end] or (size == room and not begins[begin + 1 : end + 1].any()), (
            "cut inside a word that had fitted"
        )
        assert not begins[end + 1 : begin + room + 1].any(), "cut earlier than it had to be"


def test_only_chosen_documents_are_cut() -> None:
    windows = cut_windows(np.array([0, 3, 5, 9]), np.ones(9, np.bool_), 3, np.array([True, False, True]))
    assert windows.begin.tolist() == [0, 5, 8]
    assert windows.document.tolist() == [0, 2, 2]


@given(st.lists(st.integers(3, 20), max_size=80))
def test_packing_is_best_fit_with_the_largest_first(sizes: list[int]) -> None:
    length = 20
    order, row_starts = pack(np.array(sizes, dtype=np.int64), length)
    assert sorted(order.tolist()) == list(range(len(sizes)))
    packed = [order[a:b].tolist() for a, b in pairwise(row_starts)]
    free: list[int] = []
    for size in sorted(sizes, reverse=True):  # the obvious twin: look at all rows for the tightest place
        fitting = [row for row, left in enumerate(free) if left >= size]
        row = min(fitting, key=lambda row: free[row]) if fitting else len(free)
        free[row:] = free[row:] or [length]
        free[row] -= size
    assert sorted(length - sum(sizes[thing] for thing in row) for row in packed) == sorted(free)
    assert all(row for row in packed)


def test_short_documents_fill_rows_of_128() -> None:
    sizes = np.random.default_rng(0).geometric(1 / 60, size=20_000).clip(1, 126) + NUM_SPECIAL
    _, row_starts = pack(sizes, 128)
    assert sizes.sum() / (128 * (len(row_starts) - 1)) > 0.97


@pytest.fixture(params=[1 << 23, 300], ids=["one shard", "many shards"])
def split(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    monkeypatch.setattr(shards, "_SHARD_TOKENS", request.param)
    chance = np.random.default_rng(1)
    writer = ShardWriter(tmp_path, "train", VOCABULARY)
    for size in chance.integers(0, 60, size=120):
        begins = chance.random(size) < 0.6
        begins[:1] = True
        identity = chance.integers(0, 256, 16, dtype=np.uint8)
        tokens = np.where(chance.random(size) < 0.05, UNK, chance.integers(5, 100, size))
        writer.add(tokens, begins, identity=identity, characters=9, source=0)
    writer.flush()
    return Split(tmp_path, "train", writer.counts["shards"])


def _documents(split: Split) -> dict[int, tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]]:
    """Return tokens and word numbers of each document by the low half of its id."""
    found = {}
    for shard in split.shards:
        begins = shard.begins()
        for identity, start, stop in zip(shard.ids, shard.starts[:-1], shard.starts[1:], strict=True):
            name = int.from_bytes(identity.tobytes()[:8], "little")
            found[name] = (shard.tokens[start:stop], np.cumsum(begins[start:stop]) - 1)
    return found


def test_gathered_rows_are_the_documents_token_by_token(split: Split) -> None:
    packed = PackedRows(pack_split(split, 32), split, VOCABULARY, 32)
    documents = _documents(split)
    chosen = np.random.default_rng(2).permutation(packed.num_rows)
    rows = packed.gather(chosen)
    assert rows.input_ids.shape == (packed.num_rows, 32)
    seen = {name: np.zeros(len(tokens), dtype=np.int64) for name, (tokens, _) in documents.items()}
    for row in range(packed.num_rows):
        segments = rows.segment[row]
        num_windows, filled = segments.max(), np.count_nonzero(segments)
        assert segments[:filled].tolist() == sorted(segments[:filled].tolist())
        assert set(segments[:filled].tolist()) == set(range(1, num_windows + 1))
        assert not segments[filled:].any()
        for name in ("document", "offset", "word"):
            assert not getattr(rows, name)[row, filled:].any()
        assert (rows.input_ids[row, filled:] == PAD).all()
        for number in range(1, num_windows + 1):
            places = np.flatnonzero(segments == number)
            inner = places[1:-1]
            assert (rows.input_ids[row, places[0]], rows.input_ids[row, places[-1]]) == (CLS, SEP)
            (name,) = set(rows.document[row, places].tolist())
            tokens, words = documents[name]
            offset = rows.offset[row, inner]
            np.testing.assert_array_equal(offset, np.arange(offset[0], offset[0] + len(inner)))
            np.testing.assert_array_equal(rows.input_ids[row, inner], tokens[offset])
            np.testing.assert_array_equal(rows.word[row, inner], words[offset])
            assert not rows.offset[row, places[[0, -1]]].any()
            assert not rows.word[row, places[[0, -1]]].any()
            seen[name][offset] += 1
    assert all((count == 1).all() for count in seen.values()), "every token stands in exactly one row"
    np.testing.assert_array_equal(rows.special, rows.input_ids < 5)
    assert packed.num_tokens == split.num_tokens
    assert packed.efficiency == np.count_nonzero(rows.segment) / rows.segment.size


def test_a_row_is_the_same_in_any_company(split: Split) -> None:
    packed = PackedRows(pack_split(split, 32), split, VOCABULARY, 32)
    together, alone = packed.gather(np.array([5, 2, 5])), packed.gather(np.array([5]))
    for name in ("input_ids", "segment", "document", "offset", "word", "special"):
        np.testing.assert_array_equal(getattr(together, name)[2], getattr(alone, name)[0])
    assert packed.gather(np.zeros(0, dtype=np.int64)).input_ids.shape == (0, 32)


def test_chosen_documents_alone_are_packed(split: Split) -> None:
    chosen = np.arange(split.num_documents) % 3 == 0
    packed = PackedRows(pack_split(split, 32, chosen), split, VOCABULARY, 32)
    names = packed.gather(np.arange(packed.num_rows)).document
    sizes = np.concatenate([np.diff(shard.starts) for shard in split.shards])
    assert set(np.unique(names).tolist()) - {0} == set(split.documents()[chosen & (sizes > 0)].tolist())
